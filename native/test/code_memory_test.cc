// Where the system gives no executable memory everything runs on portable kernels, with the same results.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <string>
#include <vector>

#include "espalier.h"

namespace {

enum class Refuses { kNothing, kExecution, kPages };
std::atomic<Refuses> g_refuses{Refuses::kNothing};
std::atomic<int> g_refused{0};

bool refuses(Refuses what) {
  if (g_refuses != what) return false;
  ++g_refused;
  errno = what == Refuses::kPages ? ENOMEM : EACCES;
  return true;
}

}  // namespace

// The linker sends the library's calls here (--wrap).
extern "C" int __real_mprotect(void* at, size_t bytes, int protection);
extern "C" int __wrap_mprotect(void* at, size_t bytes, int protection);
extern "C" int __wrap_mprotect(void* at, size_t bytes, int protection) {
  if (protection & PROT_EXEC && refuses(Refuses::kExecution)) return -1;
  return __real_mprotect(at, bytes, protection);
}
extern "C" void* __real_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset);
extern "C" void* __wrap_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset);
extern "C" void* __wrap_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) {
  return refuses(Refuses::kPages) ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}

namespace {

template <class T>
constexpr espalier_dtype kType = ESPALIER_FLOAT32;
template <>
constexpr espalier_dtype kType<int8_t> = ESPALIER_INT8;
template <>
constexpr espalier_dtype kType<uint8_t> = ESPALIER_UINT8;
template <>
constexpr espalier_dtype kType<int32_t> = ESPALIER_INT32;

template <class T>
espalier_in in(const std::vector<T>& of) {
  return {of.data(), static_cast<int64_t>(of.size()), kType<T>};
}
template <class T>
espalier_out out(std::vector<T>& of) {
  return {of.data(), static_cast<int64_t>(of.size()), kType<T>};
}
void ok(espalier_status status) { ASSERT_EQ(status, ESPALIER_OK) << espalier_last_error(); }

constexpr espalier_in kNone{nullptr, 0, ESPALIER_FLOAT32};

// Small whole numbers, so that every order of sums gives the same float32: one in `every` is not 0.
template <class T = float>
std::vector<T> drawn(int64_t length, int64_t every, T most = 3) {
  std::vector<T> made(static_cast<size_t>(length));
  uint32_t state = 1;
  for (T& value : made) {
    state = state * 1664525 + 1013904223;
    if ((state >> 16) % static_cast<uint32_t>(every) == 0)
      value = static_cast<T>(state & 0x8000 ? most : static_cast<T>(-most));
  }
  return made;
}

struct Result {
  std::vector<float> values;
  int64_t code = 0;  // bytes
};

// One product the ordinary way, and again with each thing refused: no code is kept, and the results are the same.
void falls_back(const char* name, const std::function<void(Result&)>& product) {
  Result expected;
  product(expected);
  for (const Refuses what : {Refuses::kExecution, Refuses::kPages}) {
    g_refused = 0;
    g_refuses = what;
    Result without;
    product(without);
    g_refuses = Refuses::kNothing;
    // Where there was code, its memory was asked for in vain.
    EXPECT_EQ(g_refused > 0, expected.code > 0) << name;
    EXPECT_EQ(without.code, 0) << name;
    EXPECT_EQ(without.values, expected.values) << name;
  }
}

constexpr int64_t kRows = 96, kColumns = 200, kSamples = 64;

Result spmm(const std::vector<float>& weight, espalier_sparse_format format, const std::vector<int64_t>& parameters) {
  Result made;
  int64_t matrix = 0;
  const auto run = [&] {
    ok(espalier_sparse_create(kRows, kColumns, in(weight), kNone, format,
                              {parameters.data(), static_cast<int64_t>(parameters.size())}, &matrix));
    for (const int64_t transpose : {0, 1}) {
      const std::vector<float> x = drawn(kSamples * (transpose ? kRows : kColumns), 1, 2.0f);
      std::vector<float> y(static_cast<size_t>(kSamples * (transpose ? kColumns : kRows)));
      ok(espalier_spmm(matrix, transpose, kSamples, ESPALIER_SPARSE_LAYOUT_ROWS, in(x), kNone, ESPALIER_FINISH_NONE,
                       out(y)));
      made.values.insert(made.values.end(), y.begin(), y.end());
    }
    ok(espalier_sparse_code_size(matrix, &made.code));
  };
  run();
  EXPECT_EQ(espalier_sparse_free(matrix), ESPALIER_OK);
  return made;
}

TEST(CodeMemory, ProductsFallBack) {
  const std::vector<float> scattered = drawn(kRows * kColumns, 10);
  std::vector<float> even(static_cast<size_t>(kRows * kColumns));
  for (int64_t i = 0; i < kRows * kColumns; i += 8) even[static_cast<size_t>(i)] = static_cast<float>(i % 3 + 1);
  falls_back("automatic", [&](Result& of) { of = spmm(scattered, ESPALIER_SPARSE_FORMAT_AUTOMATIC, {}); });
  falls_back("fan-in", [&](Result& of) { of = spmm(even, ESPALIER_SPARSE_FORMAT_FAN_IN, {}); });
  falls_back("1:8", [&](Result& of) { of = spmm(even, ESPALIER_SPARSE_FORMAT_N_OF_M, {1, 8}); });
}

TEST(CodeMemory, GeneratedCodeAskedForIsAnError) {
  const std::vector<float> weight = drawn(kRows * kColumns, 10), x = drawn(kSamples * kColumns, 1);
  std::vector<float> y(static_cast<size_t>(kSamples * kRows));
  const auto multiply = [&] {
    int64_t matrix = 0;
    ok(espalier_sparse_create(kRows, kColumns, in(weight), kNone, ESPALIER_SPARSE_FORMAT_GENERATED, {nullptr, 0},
                              &matrix));
    const espalier_status status =
        espalier_spmm(matrix, 0, kSamples, ESPALIER_SPARSE_LAYOUT_ROWS, in(x), kNone, ESPALIER_FINISH_NONE, out(y));
    const std::string why = status == ESPALIER_OK ? "" : espalier_last_error();
    EXPECT_EQ(espalier_sparse_free(matrix), ESPALIER_OK);
    return why;
  };
  if (!multiply().empty()) GTEST_SKIP() << "no code is generated on this processor";
  g_refuses = Refuses::kExecution;
  const std::string why = multiply();
  g_refuses = Refuses::kNothing;
  EXPECT_NE(why.find("no executable memory"), std::string::npos) << why;
}

TEST(CodeMemory, ConvolutionsFallBack) {
  for (const int64_t stride : {1, 2}) {
    const espalier_conv2d shape{2, 8, 20, 20, 16, 20 / stride, 20 / stride, 3, 3, stride, stride, 1, 1, 1, 1, 1};
    const std::vector<float> weight = drawn(16 * 8 * 3 * 3, 10), x = drawn(2 * 8 * 20 * 20, 1, 2.0f),
                             dy = drawn(2 * 16 * shape.out_height * shape.out_width, 1, 1.0f);
    falls_back("convolution", [&](Result& of) {
      int64_t convolution = 0, kept = 0;
      ok(espalier_sparse_conv2d_create(in(weight), kNone, ESPALIER_SPARSE_KERNEL_AUTOMATIC, &convolution,
                                       {8, 16, 3, 3, 1}));
      ok(espalier_sparse_conv2d_size(convolution, &kept));
      std::vector<float> y(dy.size()), dx(x.size()), values(static_cast<size_t>(kept));
      ok(espalier_sparse_conv2d_forward(convolution, in(x), kNone, ESPALIER_FINISH_NONE, out(y), shape));
      ok(espalier_sparse_conv2d_data_grad(convolution, in(dy), out(dx), shape));
      ok(espalier_sparse_conv2d_weight_grad(convolution, in(x), in(dy), out(values), shape));
      ok(espalier_sparse_conv2d_code_size(convolution, &of.code));
      for (const auto& one : {y, dx, values}) of.values.insert(of.values.end(), one.begin(), one.end());
      EXPECT_EQ(espalier_sparse_conv2d_free(convolution), ESPALIER_OK);
    });
  }
}

TEST(CodeMemory, WholeNumbersFallBack) {
  std::vector<int8_t> blocks(static_cast<size_t>(kRows * kColumns));
  for (size_t i = 0; i < blocks.size(); i += 4)
    if (i / 4 % 7 == 0) std::fill_n(blocks.begin() + static_cast<std::ptrdiff_t>(i), 4, static_cast<int8_t>(i % 100));
  const std::vector<uint8_t> x = drawn<uint8_t>(kSamples * kColumns, 1, 9);
  const auto multiplied = [&](const std::vector<int8_t>& weight, espalier_integer_kernel kernel) {
    return [&, kernel](Result& of) {
      int64_t matrix = 0;
      ok(espalier_sparse_integer_create(kRows, kColumns, in(weight), kNone, kernel, 0, 255, 0, &matrix));
      std::vector<int32_t> y(static_cast<size_t>(kSamples * kRows));
      ok(espalier_integer_spmm(matrix, kSamples, ESPALIER_SPARSE_LAYOUT_ROWS, in(x), kNone, ESPALIER_FINISH_NONE,
                               out(y)));
      ok(espalier_sparse_integer_code_size(matrix, &of.code));
      of.values.assign(y.begin(), y.end());
      EXPECT_EQ(espalier_sparse_integer_free(matrix), ESPALIER_OK);
    };
  };
  const std::vector<int8_t> signs = drawn<int8_t>(kRows * kColumns, 10, 1);
  falls_back("signs", multiplied(signs, ESPALIER_INTEGER_KERNEL_AUTOMATIC));
  falls_back("1x4", multiplied(blocks, ESPALIER_INTEGER_KERNEL_BLOCKS));
  falls_back("rows", multiplied(drawn<int8_t>(kRows * kColumns, 10, 9), ESPALIER_INTEGER_KERNEL_ROWS));
}

// Once memory is given again, code is made again.
TEST(CodeMemory, ARefusalIsNotForEver) {
  const std::vector<float> weight = drawn(kRows * kColumns, 10);
  const Result before = spmm(weight, ESPALIER_SPARSE_FORMAT_AUTOMATIC, {});
  g_refuses = Refuses::kPages;
  EXPECT_EQ(spmm(weight, ESPALIER_SPARSE_FORMAT_AUTOMATIC, {}).code, 0);
  g_refuses = Refuses::kNothing;
  EXPECT_EQ(spmm(weight, ESPALIER_SPARSE_FORMAT_AUTOMATIC, {}).code, before.code);
}

}  // namespace
