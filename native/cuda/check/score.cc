// Scores of weights: against the definition, written out.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cuda/check/types.h"
#include "cuda/pruning.h"

using namespace espalier::check;

ESPALIER_CHECK(lamp_score) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
    for (const int64_t n : {0, 1, 2, 3, 7, 8, 255, 256, 2047, 2048, 2049, 5000, 100003, 600000})
      for (const bool few : {false, true}) {
        Array x = few ? integers(n, -3, 4, dtype) : random(n, -1, 1, dtype), y = result(n, dtype);
        const std::vector<double>& values = x.host();
        std::vector<size_t> order(values.size());
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](size_t a, size_t b) { return std::fabs(values[a]) < std::fabs(values[b]); });
        std::vector<double> expected(values.size());
        double sum = 0;
        for (size_t i = order.size(); i-- > 0;) {
          const double square = values[order[i]] * values[order[i]];
          sum += square;
          expected[order[i]] = square == 0 ? 0 : square / sum;
        }
        ok(espalier_cuda_lamp_score(x.in(), y.out()), "lamp");
        close(y.fetch(), expected, dtype == ESPALIER_FLOAT32 ? 1e-6 : 1e-12, "scores");
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
      std::vector<double> expected(static_cast<size_t>(rows));
      for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < rows; ++j) {
          double squares = 0;
          for (int64_t c = 0; c < columns; ++c) {
            const double d =
                x.host()[static_cast<size_t>(i * columns + c)] - x.host()[static_cast<size_t>(j * columns + c)];
            squares += d * d;
          }
          expected[static_cast<size_t>(i)] += std::sqrt(squares);
        }
      ok(espalier_cuda_distance_sums(x.in(), rows, columns, y.out()), "distances");
      close(y.fetch(), expected, dtype == ESPALIER_FLOAT32 ? 1e-6 : 1e-13, "sums");
    }
}
