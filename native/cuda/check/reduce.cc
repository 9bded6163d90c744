// Reductions over dimensions.
#include <cmath>
#include <limits>
#include <tuple>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

const std::initializer_list<espalier_dtype> kFloats = {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16,
                                                       ESPALIER_BFLOAT16};

double tolerance(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 1e-13;
    case ESPALIER_FLOAT32: return 2e-6;
    case ESPALIER_FLOAT16: return 1e-3;
    default: return 8e-3;
  }
}

int64_t product(const std::vector<int64_t>& of) {
  int64_t total = 1;
  for (const int64_t each : of) total *= each;
  return total;
}

struct Lines {
  int64_t outer, n, inner;
};
const std::vector<Lines> kLines = {
    {1, 1, 1},     {1, 2, 1},     {3, 7, 1},     {5, 8, 1},      {9, 33, 1},  {4, 64, 1},  {7, 1000, 1},  {2, 1024, 1},
    {3, 4097, 1},  {1, 20000, 1}, {2, 65537, 1}, {1, 300001, 1}, {1, 5, 3},   {1, 64, 32}, {1, 100, 128}, {3, 9, 10},
    {1, 1000, 7},  {2, 300, 36},  {1, 3000, 64}, {1, 513, 1030}, {100, 3, 5}, {4, 17, 65}, {1, 20000, 3}, {1, 70000, 1},
    {70, 2, 1000}, {1, 40000, 2}, {20000, 4, 4}, {9000, 10, 1},  {1, 1, 77},  {300, 1, 1}};

}  // namespace

ESPALIER_CHECK(sum_of_the_middle) {
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [outer, n, inner] : kLines) {
      // Not about 0: a sum that cancels has no digits to compare.
      Array x = random(outer * n * inner, -1, 1.1, dtype), y = result(outer * inner, dtype);
      same(tolerance(dtype), espalier_sum, espalier_cuda_sum, dims({outer, n, inner}), dims({0, 1, 0}), 1.0, x, y);
    }
}

ESPALIER_CHECK(sum_over_any_dimensions) {
  const std::vector<std::pair<std::vector<int64_t>, std::vector<int64_t>>> cases = {
      {{}, {}},
      {{5}, {0}},
      {{5}, {1}},
      {{0}, {1}},
      {{3, 0}, {0, 1}},
      {{3, 0}, {1, 0}},
      {{4, 6}, {1, 1}},
      {{4, 6}, {0, 0}},
      {{4, 6, 5}, {1, 0, 1}},
      {{4, 6, 5}, {0, 1, 0}},
      {{2, 3, 4, 5}, {1, 0, 1, 0}},
      {{2, 3, 4, 5}, {0, 1, 0, 1}},
      {{8, 16, 7, 7}, {1, 0, 1, 1}},
      {{64, 16, 7, 7}, {1, 0, 1, 1}},
      {{2, 16, 56, 56}, {1, 0, 1, 1}},
      {{1, 1, 9, 1}, {0, 1, 1, 0}},
      {{3, 5, 2, 7, 2, 3}, {1, 0, 1, 0, 1, 0}},
      {{3, 5, 2, 7, 2, 3}, {0, 1, 0, 1, 0, 1}},
      {{40, 50, 60}, {1, 0, 1}},
      {{257, 129}, {1, 0}},
      {{257, 129}, {0, 1}},
      {{100000}, {1}},
  };
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [shape, reduced] : cases)
      for (const double divisor : {1.0, 12.0}) {
        std::vector<int64_t> kept = shape;
        for (size_t d = 0; d < kept.size(); ++d)
          if (reduced[d] == 1) kept[d] = 1;
        Array x = random(product(shape), -1, 1.1, dtype), y = result(product(kept), dtype);
        same(tolerance(dtype), espalier_sum, espalier_cuda_sum, dims(shape), dims(reduced), divisor, x, y);
      }
}

// Ones: a float32 counts to 2^24 exactly, so every element must have been added once.
ESPALIER_CHECK(sum_misses_nothing) {
  for (const auto& [outer, n, inner] : kLines) {
    Array x = given(std::vector<double>(static_cast<size_t>(outer * n * inner), 1.0)), y = result(outer * inner);
    same(0, espalier_sum, espalier_cuda_sum, dims({outer, n, inner}), dims({0, 1, 0}), 1.0, x, y);
  }
}

ESPALIER_CHECK(sum_of_a_shifted_array) {
  for (const int64_t shift : {1, 2, 3})
    for (const int64_t n : {1, 2, 5, 100, 3000, 40000}) {
      Array x = random(n + shift), y = result(1);
      const int64_t shape[] = {n}, reduced[] = {1};
      ok(espalier_cuda_sum({shape, 1}, {reduced, 1}, 1, {x.device<float>() + shift, n, ESPALIER_FLOAT32}, y.out()),
         "sum");
      double expected = 0, size = 0;
      for (int64_t i = 0; i < n; ++i) {
        expected += x.host()[static_cast<size_t>(i + shift)];
        size += std::abs(x.host()[static_cast<size_t>(i + shift)]);
      }
      require(std::abs(y.fetch()[0] - expected) <= 1e-6 * size, "the sum of a shifted array");
    }
}

ESPALIER_CHECK(sum_gives_the_same_bits) {
  Array x = random(3000017), first = result(1), second = result(1);
  const int64_t shape[] = {3000017}, reduced[] = {1};
  ok(espalier_cuda_sum({shape, 1}, {reduced, 1}, 1, x.in(), first.out()), "sum");
  for (int i = 0; i < 10; ++i) {
    ok(espalier_cuda_sum({shape, 1}, {reduced, 1}, 1, x.in(), second.out()), "sum");
    require(first.fetch()[0] == second.fetch()[0], "equal bits");
  }
}

ESPALIER_CHECK(column_and_channel_sums) {
  for (const espalier_dtype dtype : kFloats) {
    for (const auto& [rows, columns] : std::vector<std::pair<int64_t, int64_t>>{{0, 5},
                                                                                {5, 0},
                                                                                {1, 1},
                                                                                {1, 9},
                                                                                {9, 1},
                                                                                {33, 10},
                                                                                {64, 128},
                                                                                {300, 257},
                                                                                {1000, 31},
                                                                                {4097, 96},
                                                                                {17, 4096}}) {
      Array x = random(rows * columns, -1, 1.1, dtype), y = result(columns, dtype);
      same(tolerance(dtype), espalier_column_sum, espalier_cuda_column_sum, rows, columns, x, y);
    }
    for (const auto& [n, channels, plane] : std::vector<Lines>{{1, 1, 1},
                                                               {1, 3, 5},
                                                               {4, 1, 9},
                                                               {2, 16, 49},
                                                               {64, 8, 49},
                                                               {3, 5, 1},
                                                               {300, 10, 1},
                                                               {2, 7, 1024},
                                                               {8, 3, 3136},
                                                               {1, 33, 77},
                                                               {128, 64, 4},
                                                               {5, 2, 20000}}) {
      Array x = random(n * channels * plane, -1, 1.1, dtype), y = result(channels, dtype);
      same(tolerance(dtype), espalier_channel_sum, espalier_cuda_channel_sum, n, channels, plane, x, y);
    }
  }
}

ESPALIER_CHECK(extremes) {
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [outer, n, inner] : kLines)
      for (const int64_t sign : {1, -1}) {
        // Few different values, so that many are equal and the first must win.
        Array x = integers(outer * n * inner, -3, 4, dtype), values = result(outer * inner, dtype);
        Array indices = result(outer * inner, ESPALIER_INT32);
        same(0, espalier_extreme, espalier_cuda_extreme, outer, n, inner, sign, x, values, indices);
      }
}

ESPALIER_CHECK(extremes_of_special_values) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::vector<double>> lines = {
      {1, nan, 5, nan}, {-inf, -inf, -inf}, {inf, 2, inf},  {nan, nan}, {-1},
      {0, -0.0, 0},     {-inf, nan},        {2, 7, 7, 3, 7}};
  for (const std::vector<double>& line : lines)
    for (const int64_t sign : {1, -1}) {
      const int64_t n = static_cast<int64_t>(line.size());
      Array x = given(line), values = result(1), indices = result(1, ESPALIER_INT32), none = absent();
      same(0, espalier_extreme, espalier_cuda_extreme, int64_t{1}, n, int64_t{1}, sign, x, values, indices);
      same(0, espalier_extreme, espalier_cuda_extreme, int64_t{1}, n, int64_t{1}, sign, x, none, indices);
      same(0, espalier_extreme, espalier_cuda_extreme, int64_t{1}, n, int64_t{1}, sign, x, values, none);
    }
}

ESPALIER_CHECK(placing) {
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [outer, n, inner] : kLines) {
      Array values = random(outer * inner, -1, 1, dtype), indices = integers(outer * inner, 0, n);
      Array y = result(outer * n * inner, dtype);
      same(0, espalier_place, espalier_cuda_place, outer, n, inner, values, indices, y);
    }
}

ESPALIER_CHECK(placing_out_of_range) {
  Array values = random(2), indices = given({0, 9}, ESPALIER_INT32), y = result(6);
  ok(espalier_cuda_place(2, 3, 1, values.in(), indices.in(), y.out()), "place");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "an index out of range is reported");
  require(std::string(espalier_last_error()).find("9") != std::string::npos, "with its value");
  ok(espalier_cuda_synchronize(), "once");
}

ESPALIER_BENCH(reduce) {
  const int64_t n = int64_t{1} << 28;
  for (const auto& [dtype, bytes, type] :
       {std::tuple{ESPALIER_FLOAT32, int64_t{4}, "float32"}, std::tuple{ESPALIER_BFLOAT16, int64_t{2}, "bfloat16"}}) {
    void *x = nullptr, *y = nullptr, *index = nullptr;
    ok(espalier_cuda_allocate(n * bytes, &x), "allocate");
    ok(espalier_cuda_allocate(n / 16 * bytes, &y), "allocate");
    ok(espalier_cuda_allocate(n / 16 * 4, &index), "allocate");
    const double limit = static_cast<double>(n * bytes) / copy_bandwidth() * 1e3;
    // Ones: every sum is the number of its terms, exactly; powers of two, which bfloat16 has.
    int64_t used = 0;
    ok(espalier_cuda_random_bernoulli(1, 0, 1, 1, {x, n, dtype}, &used), "ones");
    const auto time = [&, dtype = dtype, type = type](const std::string& name, int64_t terms,
                                                      const std::function<espalier_status()>& run) {
      const double ms = time_ms([&] { ok(run(), name.c_str()); });
      Array found = result(n / terms, dtype);
      ok(espalier_cuda_copy(y, found.device<char>(), n / terms * bytes), "copy");
      close(found.fetch(), std::vector<double>(static_cast<size_t>(n / terms), static_cast<double>(terms)), 0, "sums");
      report({"reduce", name + " of 2^28 " + type, "copy", ms, limit, limit, true});
    };
    for (const int64_t columns : {int64_t{64}, int64_t{1024}, int64_t{16384}, n}) {
      const int64_t shape[] = {n / columns, columns}, reduced[] = {0, 1};
      time("sums of rows of " + std::to_string(columns), columns, [&, dtype = dtype] {
        return espalier_cuda_sum({shape, 2}, {reduced, 2}, 1, {x, n, dtype}, {y, n / columns, dtype});
      });
    }
    for (const int64_t columns : {int64_t{16}, int64_t{1024}, int64_t{16384}})
      time("sums of " + std::to_string(columns) + " columns", n / columns, [&, dtype = dtype] {
        return espalier_cuda_column_sum(n / columns, columns, {x, n, dtype}, {y, columns, dtype});
      });
    for (const int64_t plane : {int64_t{16}, int64_t{4096}})
      time("sums of 256 channels, planes of " + std::to_string(plane), n / 256, [&, dtype = dtype] {
        return espalier_cuda_channel_sum(n / 256 / plane, 256, plane, {x, n, dtype}, {y, 256, dtype});
      });
    const double ms = time_ms([&, dtype = dtype] {
      ok(espalier_cuda_extreme(n / 1024, 1024, 1, 1, {x, n, dtype}, {nullptr, 0, dtype},
                               {index, n / 1024, ESPALIER_INT32}),
         "extreme");
    });
    Array found = result(n / 1024, ESPALIER_INT32);
    ok(espalier_cuda_copy(index, found.device<char>(), n / 1024 * 4), "copy");
    close(found.fetch(), std::vector<double>(static_cast<size_t>(n / 1024), 0.0), 0, "the first of equals");
    report({"reduce", std::string("argmax of rows of 1024 of 2^28 ") + type, "copy", ms, limit, limit, true});
    for (void* const each : {x, y, index}) ok(espalier_cuda_free(each), "free");
  }
}
