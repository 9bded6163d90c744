// Rows of a table by number.
#include <tuple>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

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

struct Case {
  int64_t rows, size, count;
};
const std::vector<Case> kCases = {{1, 1, 1},      {1, 1, 0},       {5, 0, 3},     {3, 4, 10},       {10, 7, 3},
                                  {10, 8, 100},   {100, 16, 33},   {7, 31, 200},  {7, 32, 200},     {7, 33, 200},
                                  {50, 64, 64},   {2, 65, 999},    {33, 128, 5},  {1000, 256, 300}, {4, 300, 77},
                                  {257, 12, 513}, {65537, 4, 100}, {9, 1000, 20}, {3, 96, 2500},    {20, 24, 1}};

}  // namespace

ESPALIER_CHECK(embedding_forward_and_backward) {
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [rows, size, count] : kCases)
      for (const int64_t padding : {int64_t{-1}, rows / 2}) {
        const espalier_table shape{rows, size};
        Array weight = random(rows * size, -1, 1, dtype), indices = integers(count, 0, rows);
        Array y = result(count * size, dtype), dweight = result(rows * size, dtype);
        Array dy = random(count * size, -1, 1.1, dtype);
        same(0, espalier_embedding_forward, espalier_cuda_embedding_forward, weight, indices, y, shape);
        same(tolerance(dtype), espalier_embedding_backward, espalier_cuda_embedding_backward, dy, indices, padding,
             dweight, shape);
      }
}

ESPALIER_CHECK(embedding_errors) {
  Array weight = random(20), indices = given({0, 5}, ESPALIER_INT32), y = result(8);
  ok(espalier_cuda_embedding_forward(weight.in(), indices.in(), y.out(), {5, 4}), "embedding");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "an index out of range is reported");
  require(espalier_cuda_embedding_backward(y.in(), indices.in(), 5, weight.out(), {5, 4}) == ESPALIER_INVALID_ARGUMENT,
          "padding out of range");
  require(espalier_cuda_embedding_forward(weight.in(), indices.in(), y.out(), {5, 3}) == ESPALIER_SHAPE_MISMATCH,
          "sizes must agree");
}

ESPALIER_BENCH(embedding) {
  const int64_t rows = 50000, size = 1024, count = 65536;
  void *table = nullptr, *out = nullptr, *which = nullptr;
  ok(espalier_cuda_allocate(rows * size * 4, &table), "allocate");
  ok(espalier_cuda_allocate(count * size * 4, &out), "allocate");
  Array indices = integers(count, 0, rows);
  which = indices.device<void>();
  int64_t used = 0;
  ok(espalier_cuda_random_normal(1, 0, 0, 1, {out, count * size, ESPALIER_FLOAT32}, &used), "normal");
  const espalier_in numbers{which, count, ESPALIER_INT32};
  const espalier_table shape{rows, size};
  const auto line = [&](void* from, int64_t at) {
    Array copy = result(size);
    ok(espalier_cuda_copy(static_cast<float*>(from) + at * size, copy.device<float>(), size * 4), "copy");
    return copy.fetch();
  };
  const double back = time_ms([&] {
    ok(espalier_cuda_embedding_backward({out, count * size, ESPALIER_FLOAT32}, numbers, -1,
                                        {table, rows * size, ESPALIER_FLOAT32}, shape),
       "backward");
  });
  for (const int64_t row : {int64_t{0}, int64_t{777}, rows - 1}) {
    std::vector<double> expected(static_cast<size_t>(size));
    for (int64_t i = 0; i < count; ++i)
      if (indices.host()[static_cast<size_t>(i)] == static_cast<double>(row)) {
        const std::vector<double> added = line(out, i);
        for (size_t j = 0; j < added.size(); ++j) expected[j] += added[j];
      }
    close(line(table, row), expected, 1e-6, "a row's gradient");
  }
  double limit = static_cast<double>((rows + count) * size * 4) / copy_bandwidth() * 1e3;
  report({"embedding", "gradient of 65536 rows of 1024 into 50000", "copy", back, limit, limit, true});
  const double forward = time_ms([&] {
    ok(espalier_cuda_embedding_forward({table, rows * size, ESPALIER_FLOAT32}, numbers,
                                       {out, count * size, ESPALIER_FLOAT32}, shape),
       "forward");
  });
  for (const int64_t i : {int64_t{0}, int64_t{4711}, count - 1})
    close(line(out, i), line(table, static_cast<int64_t>(indices.host()[static_cast<size_t>(i)])), 0, "a row");
  limit = static_cast<double>(2 * count * size * 4) / copy_bandwidth() * 1e3;
  report({"embedding", "65536 rows of 1024 from 50000", "copy", forward, limit, limit, true});
  for (void* const each : {table, out}) ok(espalier_cuda_free(each), "free");
}
