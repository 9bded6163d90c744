// Memory that cannot be had is a status, whichever allocation of a call it is, and the next call works. And damaged
// programs ask for little of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "espalier.h"
#include "simd/isa.h"

namespace {

// Allocations of the armed thread until one fails; -1: none does.
thread_local int64_t t_countdown = -1;
std::atomic<bool> g_failed{false};
// Bytes that this thread has asked for, given back or not.
thread_local size_t t_asked = 0;

bool fails_now() {
  if (t_countdown < 0 || t_countdown-- > 0) return false;
  g_failed = true;
  return true;
}

}  // namespace

// The linker sends the library's calls here (--wrap).
extern "C" void* __real_aligned_alloc(size_t alignment, size_t bytes);
extern "C" void* __wrap_aligned_alloc(size_t alignment, size_t bytes);
extern "C" void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  t_asked += bytes;
  return fails_now() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
// Out of line: inlined, GCC takes the pair for a mismatch of new and free.
[[gnu::noinline]] void* operator new(size_t bytes) {
  t_asked += bytes;
  void* const made = fails_now() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}
// What is asked for this way can be done without (the spare room of a sort): that always can be had.
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  t_asked += bytes;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
[[gnu::noinline]] void operator delete(void* made) noexcept { std::free(made); }
[[gnu::noinline]] void operator delete(void* made, size_t) noexcept { std::free(made); }

namespace {

struct Array {
  explicit Array(int64_t length) : values(static_cast<size_t>(length), 0.5f) {}
  espalier_in in() const { return {values.data(), static_cast<int64_t>(values.size()), ESPALIER_FLOAT32}; }
  espalier_out out() { return {values.data(), static_cast<int64_t>(values.size()), ESPALIER_FLOAT32}; }
  std::vector<float> values;
};

// Calls once for each allocation the call makes, that one failing, each time in a thread without any
// memory kept from earlier calls.
void try_every_allocation(const char* name, const std::function<espalier_status()>& call) {
  for (int64_t n = 0; n < 200; ++n) {
    espalier_status status = ESPALIER_INTERNAL;
    std::thread([&] {
      g_failed = false;
      t_countdown = n;
      status = call();
      t_countdown = -1;
    }).join();
    if (!g_failed) {
      EXPECT_EQ(status, ESPALIER_OK) << name;
      return;
    }
    // A pool that cannot grow is no failure: the caller works alone.
    EXPECT_TRUE(status == ESPALIER_OUT_OF_MEMORY || status == ESPALIER_OK) << name << " allocation " << n;
  }
  ADD_FAILURE() << name << " allocates without end";
}

TEST(Memory, EveryAllocationMayFail) {
  Array x(2 * 8 * 20 * 20), weight(16 * 8 * 3 * 3), y(2 * 16 * 20 * 20), small(16), scores(5000), mask(5000);
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT32};
  const espalier_conv2d shape{2, 8, 20, 20, 16, 20, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1};
  try_every_allocation("conv2d_forward",
                       [&] { return espalier_conv2d_forward(x.in(), weight.in(), none, 0, y.out(), shape); });
  try_every_allocation("conv2d_data_grad",
                       [&] { return espalier_conv2d_data_grad(weight.in(), y.in(), none, x.out(), shape); });
  try_every_allocation("conv2d_weight_grad",
                       [&] { return espalier_conv2d_weight_grad(x.in(), y.in(), weight.out(), shape); });
  try_every_allocation("channel_sum", [&] { return espalier_channel_sum(2, 16, 400, y.in(), small.out()); });
  try_every_allocation("keep_largest",
                       [&] { return espalier_keep_largest(scores.in(), none, 1, 5, 1000, 100, mask.out()); });
  const int64_t dims[] = {16, 800}, reduced[] = {0, 1};
  try_every_allocation("sum", [&] { return espalier_sum({dims, 2}, {reduced, 2}, 1, y.in(), small.out()); });
}

// The description of a padded convolution of 3×3, two channels of 6×6 to three of them, as docs/programs.md has it; on
// codes or not, in a format.
std::string convolution(bool codes, const char* format) {
  std::string made;
  const auto put = [&](const void* from, size_t size) { made.append(static_cast<const char*>(from), size); };
  const auto whole = [&](std::initializer_list<int64_t> numbers) {
    for (const int64_t number : numbers) put(&number, sizeof number);
  };
  const auto text = [&](const char* of) {
    whole({static_cast<int64_t>(std::strlen(of))});
    put(of, std::strlen(of));
  };
  std::vector<float> weight(3 * 2 * 3 * 3);
  for (size_t i = 0; i < weight.size(); i += 4) weight[i] = static_cast<float>(i % 5) - 1;
  whole({1, static_cast<int64_t>(weight.size()), 0});
  put(weight.data(), weight.size() * sizeof(float));
  whole({2, 72, 108, 1, 3, 2, 6, 6, 1, 3, 3, 6, 6});  // values; the output; the shapes
  whole({1, 1});
  text("layer");
  text("conv2d");
  whole({0, 1, 2, 6, 6, 3, 6, 6, 3, 3, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, codes});
  if (codes) whole({0, 255});
  whole({1, 0, 1});
  text(format);
  return made;
}

// Whether the layer of a program runs in this format. (A name that is not known is no error: another device's.)
bool runs_in(const std::string& description, const std::string& format) {
  int64_t program = 0;
  const char* json = "";
  if (espalier_program_create({description.data(), static_cast<int64_t>(description.size()), ESPALIER_UINT8},
                              &program) != ESPALIER_OK)
    return false;
  EXPECT_EQ(espalier_program_explain(program, 1, 0, &json), ESPALIER_OK) << espalier_last_error();
  const bool found = std::string(json).find("\"format\":\"" + format + "\"") != std::string::npos;
  EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
  return found;
}

TEST(Memory, DamagedProgramsAskForLittle) {
  // (15 KB were measured.) What a description says must agree with what it holds: nothing comes of a large number.
  constexpr size_t kMost = size_t{64} << 10;
  const int64_t numbers[] = {-1, 0, 1, 2, 7, 64, 600, 4096, 1 << 20, 1 << 28, INT32_MAX, int64_t{1} << 40, INT64_MAX};
  size_t most = 0;
  int64_t loaded = 0;
  const auto load = [&](const std::string& description) {
    int64_t program = 0;
    const size_t before = t_asked;
    const espalier_status status = espalier_program_create(
        {description.data(), static_cast<int64_t>(description.size()), ESPALIER_UINT8}, &program);
    most = std::max(most, t_asked - before);
    if (status != ESPALIER_OK) return;
    ++loaded;
    EXPECT_EQ(espalier_program_free(program), ESPALIER_OK);
  };
  for (const char* const format : {"direct", "unrolled", "sparse columns", "sparse planes", "sparse stencil",
                                   "sparse unrolled", "integer columns", "integer planes", "integer unrolled"}) {
    bool runs = false;
    for (const bool codes : {false, true}) {
      const std::string whole = convolution(codes, format);
      runs = runs_in(whole, format) || runs;
      loaded = 0;
      for (size_t length = 0; length <= whole.size(); ++length) load(whole.substr(0, length));
      EXPECT_GT(loaded, 0) << format << ": " << espalier_last_error();
      for (size_t at = 0; at + sizeof(int64_t) <= whole.size(); ++at)
        for (const int64_t number : numbers) {
          std::string changed = whole;
          std::memcpy(changed.data() + at, &number, sizeof number);
          load(changed);
        }
      for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
        std::string changed = whole;
        changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ 1 << bit % 8);
        load(changed);
      }
    }
    // (That one is for AVX2 alone.)
    EXPECT_TRUE(runs || (std::strcmp(format, "integer planes") == 0 && !espalier::is_avx2())) << format;
  }
  EXPECT_LT(most, kMost);
}

}  // namespace
