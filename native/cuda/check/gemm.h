// One product on the device and the CPU, for the checks of products.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>

#include "cuda/blas.h"
#include "cuda/check/check.h"

namespace espalier::check {

// How far sums of k products may be off: operands are the same on both sides, sums float32.
inline double tolerance(espalier_dtype a, espalier_dtype c) {
  if (a == ESPALIER_FLOAT64) return 1e-13;
  return c == ESPALIER_BFLOAT16  ? 4e-3
         : c == ESPALIER_FLOAT16 ? 6e-4
         : a == ESPALIER_FLOAT32 ? 5e-6
                                 : 3e-5;  // tensor cores cut sums off where they do not round them
}

struct Case {
  int64_t m, n, k;
  int64_t pad = 0;  // what leading dimensions have beyond the least
};

// Keeps cuBLAS out for a while, so that the kernels here are what runs.
struct WithoutBlas {
  WithoutBlas() { cuda::enable_blas(false); }
  ~WithoutBlas() { cuda::enable_blas(true); }
};

inline void product(const Case& of, int64_t transpose_a, int64_t transpose_b, espalier_dtype ab, espalier_dtype c,
                    double alpha = 1, double beta = 0, bool biases = false,
                    espalier_finish finish = ESPALIER_FINISH_NONE, double loose = 0, bool by_blas = false) {
  if (!affordable(static_cast<double>(of.m) * static_cast<double>(of.n * of.k))) return;
  std::optional<WithoutBlas> ours;
  if (!by_blas) ours.emplace();
  const int64_t rows_a = transpose_a ? of.k : of.m, columns_a = transpose_a ? of.m : of.k;
  const int64_t rows_b = transpose_b ? of.n : of.k, columns_b = transpose_b ? of.k : of.n;
  const espalier_product shape{of.m,
                               of.n,
                               of.k,
                               transpose_a,
                               transpose_b,
                               std::max<int64_t>(columns_a, 1) + of.pad,
                               std::max<int64_t>(columns_b, 1) + of.pad,
                               std::max<int64_t>(of.n, 1) + of.pad};
  Array a = random(rows_a * shape.lda, -1, 1, ab), b = random(rows_b * shape.ldb, -1, 1, ab);
  Array to = random(of.m * shape.ldc, -1, 1, c);
  Array row = biases ? random(of.m, -1, 1, ab) : absent(), column = biases ? random(of.n, -1, 1, ab) : absent();
  try {
    // One sum may all but cancel; many do not at once.
    same((loose > 0 ? loose : tolerance(ab, c)) * (of.m * of.n < 64 ? 30 : 1), espalier_gemm, espalier_cuda_gemm, alpha,
         a, b, beta, row, column, finish, to, shape);
  } catch (const Mismatch& found) {
    throw Mismatch{"m " + std::to_string(of.m) + " n " + std::to_string(of.n) + " k " + std::to_string(of.k) +
                   " transposes " + std::to_string(transpose_a) + std::to_string(transpose_b) + " types " +
                   std::to_string(ab) + "," + std::to_string(c) + " pad " + std::to_string(of.pad) + ": " +
                   found.message};
  }
}

// Times ours and the rival by turns, each after a rest: under load the chip clocks down, so that what comes
// second would seem the slower. The best of three medians counts.
inline void by_turns(Row& row, const std::function<void()>& ours, const std::function<void()>& rival) {
  for (int turn = 0; turn < 3; ++turn) {
    usleep(150'000);
    const double own = time_ms(ours, 10, 2);
    row.ours = turn == 0 ? own : std::min(row.ours, own);
    if (!rival) continue;
    usleep(150'000);
    const double other = time_ms(rival, 10, 2);
    row.theirs = turn == 0 ? other : std::min(row.theirs, other);
  }
}

}  // namespace espalier::check
