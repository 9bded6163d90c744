// Scores of weights.
#include <limits>

#include "cuda/check/types.h"

using namespace espalier::check;

ESPALIER_CHECK(lamp_score) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
    for (const int64_t n :
         {0, 1, 2, 3, 7, 8, 31, 64, 255, 256, 257, 1000, 2047, 2048, 2049, 4096, 5000, 65537, 100003, 600000})
      for (const bool few : {false, true}) {
        Array x = few ? integers(n, -3, 4, dtype) : random(n, -1, 1, dtype), y = result(n, dtype);
        same(dtype == ESPALIER_FLOAT32 ? 1e-6 : 1e-12, espalier_lamp_score, espalier_cuda_lamp_score, x, y);
      }
  Array x = given({1, std::numeric_limits<double>::quiet_NaN()}), y = result(2);
  ok(espalier_cuda_lamp_score(x.in(), y.out()), "is queued");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a NaN is an error");
}

ESPALIER_CHECK(distance_sums) {
  struct Rows {
    int64_t rows, columns;
  };
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
    for (const auto& [rows, columns] : {Rows{0, 3}, {1, 1}, {2, 5}, {5, 0}, {9, 31}, {64, 32}, {33, 100}, {100, 577}}) {
      Array x = random(rows * columns, -1, 1, dtype), y = result(rows, dtype);
      same(dtype == ESPALIER_FLOAT32 ? 1e-6 : 1e-13, espalier_distance_sums, espalier_cuda_distance_sums, x, rows,
           columns, y);
    }
}
