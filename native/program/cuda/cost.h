// What the cost model knows of a GPU: an H200, with cuBLAS, in exact float32, fitted to bench/RESULTS-cuda.md. Its
// figures are constants, so that a network runs on the same kernels every time; on other chips all are smaller by much
// the same factor, and `tune` measures. native/test/cuda/cost_test.cc holds the model to the measured rows.
#pragma once

#include <algorithm>
#include <cmath>

#include "program/format.h"

namespace espalier::program::cuda {

// Rates are of operations a nanosecond; multiply and add count two.

// cuBLAS, 4096x4096x4096 in 2.77 ms; the kernels here take 3.96 ms.
constexpr double kFlops = 49600, kFlopsOwn = 34700;
// float64, which has half of the units and was not timed.
constexpr double kFlopsDouble = kFlopsOwn / 2;
// int8 2:4 8192x8192x8192 in 0.535 ms, of the operations that a dense product has. (In bfloat16 0.969 ms.)
constexpr double kFlopsTwoFour = 2055000;
// Bytes a nanosecond: 2^28 float32 copied in 0.513 ms; weights of a product of few rows (by cuBLAS, bfloat16
// 128x8192x8192 in 46 µs).
constexpr double kBytes = 4190, kWeightBytes = 2900;
// A kernel's beginning and end, roughly.
constexpr double kLaunch = 4000;

// A product of `flops` that reads `bytes` of weights, in `launches` kernels.
inline double product_time(double flops, double rate, double bytes, double launches) {
  return launches * kLaunch + std::max(flops / rate, bytes / kWeightBytes);
}
// So many elements read or written by the way, of so many bytes.
inline double passing_time(double elements, double bytes) { return elements * bytes / kBytes; }

// A matrix W by so many vectors.
struct Sizes {
  double rows, columns, vectors;

  double flops() const { return 2 * rows * columns * vectors; }
  double in() const { return columns * vectors; }
  double out() const { return rows * vectors; }
};

// By cuBLAS, which adds no bias and does not clamp: a pass over y does, where sums are so long that this is taken at
// all (run_blas in native/cuda/gemm.cu).
inline double dense_time(const Sizes& s, bool bare) {
  const double bytes = 4 * s.rows * s.columns;
  if (bare) return product_time(s.flops(), kFlops, bytes, 1);
  if (s.columns < 256 || s.out() * s.columns < (1 << 20)) return product_time(s.flops(), kFlopsOwn, bytes, 1);
  return product_time(s.flops(), kFlops, bytes, 2) + passing_time(s.out(), 8);
}

// By tiles, of which `share` is kept. A block has 64 rows (32 where the tiles do) and 128 vectors, whether or not all
// of these are there, and its beginning and end take what 128 columns more would. 186 blocks of 64 rows fill the
// device.
inline double tiles_time(const Sizes& s, double share, double side) {
  constexpr double kRate = 30000, kVectors = 128, kMore = 128, kFull = 186 * 64;
  const double across = std::max(1.0, std::ceil(s.vectors / kVectors)), height = side < 64 ? 32 : 64;
  const double busy = std::min(1.0, std::ceil(s.rows / height) * height * across / kFull);
  return kLaunch + 2 * s.rows * (share * s.columns + kMore) * across * kVectors / (kRate * busy);
}

// By single elements. A call; a kept element of a vector; a component, of x or of y, of a vector, which is moved and
// turned; and fewer than 64 vectors take what 64 do.
inline double elements_time(const Sizes& s, double kept) {
  constexpr double kCall = 26000, kElement = 0.158, kComponent = 7.4, kVectors = 64;
  return kLaunch + kCall + 1e-3 * std::max(s.vectors, kVectors) * (kElement * kept + kComponent * (s.rows + s.columns));
}

// By 2:4 on bytes: what is read of W is half of its values, and a byte for four places. x is held to its range and
// becomes bytes, sums become float32.
inline double two_four_time(const Sizes& s) {
  return product_time(s.flops(), kFlopsTwoFour, 0.75 * s.rows * s.columns, 4) + passing_time(s.in(), 13) +
         passing_time(s.out(), 8);
}

// Of a linear layer.
inline Sizes sizes_of(const Task& task, int64_t batch) {
  return {static_cast<double>(task.rows), static_cast<double>(task.columns),
          static_cast<double>(batch) * static_cast<double>(task.vectors)};
}

// The pass that max(y, 0) takes where the product does not finish with it.
inline double relu_time(const Task& task, int64_t batch) {
  return task.relu ? kLaunch + passing_time(sizes_of(task, batch).out(), 8) : 0;
}

}  // namespace espalier::program::cuda
