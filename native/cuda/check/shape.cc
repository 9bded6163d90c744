// Moving elements.
#include <numeric>
#include <string>
#include <tuple>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

const std::initializer_list<espalier_dtype> kTypes = {ESPALIER_FLOAT32,  ESPALIER_FLOAT64, ESPALIER_FLOAT16,
                                                      ESPALIER_BFLOAT16, ESPALIER_INT32,   ESPALIER_INT16,
                                                      ESPALIER_INT8,     ESPALIER_UINT8};
const std::initializer_list<espalier_dtype> kFloats = {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16,
                                                       ESPALIER_BFLOAT16};
double tolerance(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 1e-13;
    case ESPALIER_FLOAT32: return 1e-6;
    case ESPALIER_FLOAT16: return 1e-3;
    default: return 8e-3;
  }
}

struct Copy {
  std::vector<int64_t> shape, x_strides;
  int64_t x_offset;
  std::vector<int64_t> y_strides;
  int64_t y_offset, x_size, y_size;
};

}  // namespace

ESPALIER_CHECK(strided_copies) {
  const std::vector<Copy> copies = {
      {{}, {}, 2, {}, 1, 3, 3},
      {{0, 3}, {3, 1}, 0, {3, 1}, 0, 5, 5},
      {{1}, {1}, 0, {1}, 0, 1, 1},
      {{4096}, {1}, 0, {1}, 0, 4096, 4096},
      {{1001}, {1}, 3, {1}, 5, 1010, 1010},
      {{17}, {-1}, 16, {1}, 0, 17, 17},
      {{17}, {0}, 4, {1}, 0, 17, 17},
      {{17}, {1}, 0, {-2}, 40, 17, 41},
      {{3, 5}, {1, 3}, 0, {5, 1}, 0, 15, 15},            // a transposition
      {{64, 64}, {1, 64}, 0, {64, 1}, 0, 4096, 4096},    // whole tiles
      {{100, 37}, {1, 100}, 0, {37, 1}, 0, 3700, 3700},  // ragged ones
      {{33, 129}, {1, 33}, 0, {129, 1}, 0, 33 * 129, 33 * 129},
      {{257, 130}, {1, 257}, 0, {130, 1}, 0, 257 * 130, 257 * 130},
      {{4, 3, 7}, {21, 1, 3}, 0, {21, 7, 1}, 0, 84, 84},        // [4, 7, 3] → [4, 3, 7]
      {{4, 3, 49}, {147, 1, 3}, 0, {147, 49, 1}, 0, 588, 588},  // channels last → first
      {{4, 49, 3}, {147, 1, 49}, 0, {147, 3, 1}, 0, 588, 588},  // and back
      {{5, 6, 7, 2}, {2, 10, 60, 1}, 0, {84, 14, 2, 1}, 0, 420, 420},
      {{8, 12}, {16, 1}, 3, {12, 1}, 0, 200, 96},                   // a slice
      {{8, 12}, {12, 1}, 0, {16, 1}, 2, 96, 200},                   // into a padded array
      {{8, 16}, {32, 1}, 16, {16, 1}, 0, 256, 128},                 // an aligned slice
      {{6, 5, 4}, {4, 0, 1}, 0, {20, 4, 1}, 0, 24, 120},            // repetition
      {{3, 4, 5}, {-20, 5, -1}, 44, {20, 5, 1}, 0, 60, 60},         // reversed
      {{30, 40}, {80, 2}, 1, {40, 1}, 0, 2400, 1200},               // every second one
      {{2, 3, 2, 5}, {1, 2, 6, 12}, 0, {30, 10, 5, 1}, 0, 60, 60},  // all reversed in order
      {{64, 3, 32, 32}, {3072, 1, 96, 3}, 0, {3072, 1024, 32, 1}, 0, 64 * 3072, 64 * 3072},
  };
  for (const espalier_dtype dtype : kTypes)
    for (const Copy& copy : copies) {
      // Elements of y that are not reached stay as they are.
      Array x = integers(copy.x_size, 0, 100, dtype), y = integers(copy.y_size, 0, 100, dtype);
      same(0, espalier_copy_strided, espalier_cuda_copy_strided, dims(copy.shape), dims(copy.x_strides), copy.x_offset,
           dims(copy.y_strides), copy.y_offset, x, y);
    }
}

ESPALIER_CHECK(strided_copy_errors) {
  Array x = random(10), y = random(10), whole = integers(10, 0, 9);
  const int64_t shape[] = {4, 4}, steps[] = {4, 1}, few[] = {1};
  const espalier_dims all{shape, 2}, by{steps, 2};
  require(espalier_cuda_copy_strided(all, by, 0, by, 0, x.in(), y.out()) == ESPALIER_INVALID_ARGUMENT, "within x");
  require(espalier_cuda_copy_strided(all, {few, 1}, 0, by, 0, x.in(), y.out()) == ESPALIER_SHAPE_MISMATCH, "steps");
  require(espalier_cuda_copy_strided({shape, 0}, {steps, 0}, 0, {steps, 0}, 0, x.in(), whole.out()) ==
              ESPALIER_DTYPE_MISMATCH,
          "types");
  const int64_t two[] = {2, 2}, same_step[] = {1, 1};
  require(espalier_cuda_copy_strided({two, 2}, {same_step, 2}, 0, {same_step, 2}, 0, x.in(), y.out()) ==
              ESPALIER_INVALID_ARGUMENT,
          "overlap");
}

namespace {

struct Take {
  int64_t outer, n, inner, count;
};
const std::vector<Take> kTakes = {
    {0, 3, 4, 2},     {3, 4, 0, 2},        {2, 3, 4, 0},    {1, 1, 1, 1},    {1, 10, 1, 7},      {3, 5, 2, 9},
    {1, 8, 16, 20},   {2, 7, 33, 5},       {1, 100, 64, 3}, {5, 3, 40, 100}, {1, 1000, 8, 1},    {1, 5, 128, 3000},
    {4, 50, 1, 60},   {100, 6, 3, 4},      {2, 9, 65, 31},  {1, 2, 32, 700}, {1, 300, 96, 1000}, {3, 17, 36, 64},
    {1, 1, 200, 500}, {1, 70000, 4, 5000}, {7, 11, 31, 13}};

}  // namespace

ESPALIER_CHECK(taking) {
  for (const espalier_dtype dtype : kTypes)
    for (const auto& [outer, n, inner, count] : kTakes) {
      Array x = integers(outer * n * inner, 0, 100, dtype), indices = integers(count, 0, n);
      Array y = result(outer * count * inner, dtype);
      same(0, espalier_take, espalier_cuda_take, outer, n, inner, x, indices, y);
    }
}

ESPALIER_CHECK(taking_backward) {
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [outer, n, inner, count] : kTakes) {
      Array grad = random(outer * count * inner, -1, 1.1, dtype), indices = integers(count, 0, n);
      Array grad_x = result(outer * n * inner, dtype);
      same(tolerance(dtype), espalier_take_backward, espalier_cuda_take_backward, outer, n, inner, grad, indices,
           grad_x);
    }
}

// Long runs of one index beside rare ones; ones, so that the sums are exact counts.
ESPALIER_CHECK(taking_backward_counts) {
  for (const int64_t n : {1, 2, 255, 256, 257, 65535, 65536, 70001, 1 << 24})
    for (const int64_t count : {1, 31, 2047, 2049, 100003}) {
      if (n > 100000 && count > 3000) continue;
      const int64_t inner = n > 1000 ? 1 : 32;
      std::vector<double> which(static_cast<size_t>(count));
      for (double& one : which) one = static_cast<double>(any(0, 3) == 0 ? any(0, n - 1) : n / 2);
      Array grad = given(std::vector<double>(static_cast<size_t>(count * inner), 1.0));
      Array indices = given(which, ESPALIER_INT32), grad_x = result(n * inner);
      same(0, espalier_take_backward, espalier_cuda_take_backward, int64_t{1}, n, inner, grad, indices, grad_x);
    }
}

ESPALIER_CHECK(taking_gives_the_same_bits) {
  const int64_t n = 50, count = 20000, inner = 64;
  Array grad = random(count * inner), indices = integers(count, 0, n), first = result(n * inner),
        again = result(n * inner);
  ok(espalier_cuda_take_backward(1, n, inner, grad.in(), indices.in(), first.out()), "take_backward");
  for (int i = 0; i < 5; ++i) {
    ok(espalier_cuda_take_backward(1, n, inner, grad.in(), indices.in(), again.out()), "take_backward");
    close(again.fetch(), first.fetch(), 0, "the same bits");
  }
}

ESPALIER_CHECK(taking_out_of_range) {
  for (const double wrong : {-1.0, 5.0, 1e9}) {
    Array x = random(5 * 40), indices = given({0, wrong, 4}, ESPALIER_INT32), y = result(3 * 40), back = result(5 * 40);
    ok(espalier_cuda_take(1, 5, 40, x.in(), indices.in(), y.out()), "take");
    require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "an index out of range is reported");
    ok(espalier_cuda_take_backward(1, 5, 40, y.in(), indices.in(), back.out()), "take_backward");
    require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "backwards too");
    require(std::string(espalier_last_error()).find(std::to_string(static_cast<int64_t>(wrong))) != std::string::npos,
            "with its value");
  }
}

ESPALIER_CHECK(choosing) {
  for (const espalier_dtype dtype : kFloats)
    for (const int64_t n : {0, 1, 7, 8, 9, 255, 1024, 5003, 70000}) {
      Array mask = integers(n, 0, 3, ESPALIER_UINT8), a = random(n, -1, 1, dtype), b = random(n, -1, 1, dtype);
      Array y = result(n, dtype), none = absent();
      same(0, espalier_choose, espalier_cuda_choose, mask, a, b, y);
      same(0, espalier_choose, espalier_cuda_choose, mask, a, none, y);
      same(0, espalier_choose, espalier_cuda_choose, mask, none, b, y);
      same(0, espalier_choose, espalier_cuda_choose, mask, none, none, y);
    }
}

ESPALIER_BENCH(shape) {
  const int64_t n = int64_t{1} << 27;
  for (const auto& [dtype, bytes, type] :
       {std::tuple{ESPALIER_FLOAT32, int64_t{4}, "float32"}, std::tuple{ESPALIER_BFLOAT16, int64_t{2}, "bfloat16"}}) {
    void *x = nullptr, *y = nullptr;
    ok(espalier_cuda_allocate(n * bytes, &x), "allocate");
    ok(espalier_cuda_allocate(n * bytes, &y), "allocate");
    int64_t used = 0;
    ok(espalier_cuda_random_normal(1, 0, 0, 1, {x, n, dtype}, &used), "normal");
    const double limit = 2.0 * static_cast<double>(n * bytes) / copy_bandwidth() * 1e3;
    // x_offset and y_offset of a few elements say whether they went where they belong.
    const auto time = [&, dtype = dtype, bytes = bytes, type = type](
                          const std::string& name, std::vector<int64_t> shape, std::vector<int64_t> steps) {
      std::vector<int64_t> plain(shape.size(), 1);
      for (size_t d = shape.size() - 1; d > 0; --d) plain[d - 1] = plain[d] * shape[d];
      const int64_t rank = static_cast<int64_t>(shape.size());
      const double ms = time_ms([&] {
        ok(espalier_cuda_copy_strided({shape.data(), rank}, {steps.data(), rank}, 0, {plain.data(), rank}, 0,
                                      {x, n, dtype}, {y, n, dtype}),
           "copy");
      });
      for (int i = 0; i < 50; ++i) {
        int64_t from = 0, to = 0;
        for (size_t d = 0; d < shape.size(); ++d) {
          const int64_t at = any(0, shape[d] - 1);
          from += at * steps[d];
          to += at * plain[d];
        }
        Array one = result(1, dtype), other = result(1, dtype);
        ok(espalier_cuda_copy(static_cast<char*>(x) + from * bytes, one.device<char>(), bytes), "copy");
        ok(espalier_cuda_copy(static_cast<char*>(y) + to * bytes, other.device<char>(), bytes), "copy");
        close(other.fetch(), one.fetch(), 0, name.c_str());
      }
      report({"shape", name + " of 2^27 " + type, "copy", ms, limit, limit, true});
    };
    time("transposing 8192 rows", {16384, 8192}, {1, 16384});
    time("channels first to last, 64 of 64x64", {512, 4096, 64}, {64 * 4096, 1, 4096});
    time("heads before rows, 16 of 64", {64, 16, 2048, 64}, {2048 * 16 * 64, 64, 16 * 64, 1});
    for (void* const each : {x, y}) ok(espalier_cuda_free(each), "free");
  }
}
