// Memory that cannot be had is a status, whichever allocation of a call it is, and the next call works.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <thread>
#include <vector>

#include "espalier.h"

namespace {

// Allocations of the armed thread until one fails; -1: none does.
thread_local int64_t t_countdown = -1;
std::atomic<bool> g_failed{false};

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
  return fails_now() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
// Out of line: inlined, GCC takes the pair for a mismatch of new and free.
[[gnu::noinline]] void* operator new(size_t bytes) {
  void* const made = fails_now() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}
// What is asked for this way can be done without (the spare room of a sort): that always can be had.
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
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

}  // namespace
