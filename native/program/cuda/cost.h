// What the cost model knows of a GPU: the rates of an H200 (bench/RESULTS-cuda.md). They are constants, so that a
// network runs on the same kernels every time; on other chips all are smaller by much the same factor, and `tune`
// measures. Sparse products have been checked on hardware and not timed yet: their rates are what
// espalier/cuda/sparse.h says they are worth, no more.
#pragma once

#include <algorithm>

#include "program/format.h"

namespace espalier::program::cuda {

// Floating-point operations a nanosecond: float32 4096x4096x4096 in 3.96 ms.
constexpr double kFlops = 34700;
// float64 has half of the units.
constexpr double kFlopsDouble = kFlops / 2;
// Single elements pay from 80% of zeros on.
constexpr double kFlopsElements = kFlops / 5;
// Tiles at a tenth less than a dense product.
constexpr double kFlopsTiles = kFlops * 0.9;
// bfloat16 2:4 8192x8192x8192 at 1.07 times cuBLAS's 1.38 ms, of the operations that a dense product has; int8 is no
// slower.
constexpr double kFlopsTwoFour = 852000;
// Bytes a nanosecond: 2^28 float32 copied in 0.513 ms; weights of a product of few rows (bfloat16 128x8192x8192 in
// 73.9 µs).
constexpr double kBytes = 4190, kWeightBytes = 1810;
// A kernel's beginning and end, roughly.
constexpr double kLaunch = 4000;

// A product of `flops` that reads `bytes` of weights, in `launches` kernels.
inline double product_time(double flops, double rate, double bytes, double launches) {
  return launches * kLaunch + std::max(flops / rate, bytes / kWeightBytes);
}
// So many elements read or written by the way, of so many bytes.
inline double passing_time(double elements, double bytes) { return elements * bytes / kBytes; }

// Elements of x and of y of a linear layer.
inline double elements_in(const Task& task, int64_t batch) {
  return static_cast<double>(batch) * static_cast<double>(task.vectors) * static_cast<double>(task.columns);
}
inline double elements_out(const Task& task, int64_t batch) {
  return static_cast<double>(batch) * static_cast<double>(task.vectors) * static_cast<double>(task.rows);
}

// The pass that max(y, 0) takes where the product does not finish with it.
inline double relu_time(const Task& task, int64_t batch) {
  return task.relu ? kLaunch + passing_time(elements_out(task, batch), 8) : 0;
}

}  // namespace espalier::program::cuda
