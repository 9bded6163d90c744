// Convolutions of every family of geometry, and how each direction is checked against the CPU.
#pragma once

#include "cuda/check/check.h"
#include "cuda/conv_engine.h"

#include <cstdio>
#include <cstring>

namespace espalier::check::conv {

struct Case {
  int64_t n, in, height, width, out, out_height, out_width;
  int64_t kernel_height, kernel_width, stride_height, stride_width, top, left, dilation_height, dilation_width, groups;
};

// A square one: kernel, stride, padding, dilation, groups.
inline Case square(int64_t n, int64_t in, int64_t height, int64_t width, int64_t out, int64_t kernel,
                   int64_t stride = 1, int64_t padding = 0, int64_t dilation = 1, int64_t groups = 1) {
  const auto size = [&](int64_t from) { return (from + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; };
  return {n,      in,     height, width,   out,     size(height), size(width), kernel,
          kernel, stride, stride, padding, padding, dilation,     dilation,    groups};
}

inline const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      square(1, 1, 1, 1, 1, 1),
      square(1, 8, 4, 4, 8, 1),
      square(1, 64, 8, 16, 64, 1),     // one whole tile
      square(2, 64, 9, 7, 64, 1),      // part of one
      square(1, 128, 16, 16, 128, 1),  // two
      square(2, 32, 12, 12, 48, 3, 1, 1),
      square(2, 64, 14, 14, 128, 3, 1, 1),
      square(3, 96, 7, 7, 160, 3, 1, 1),
      square(2, 128, 7, 7, 130, 3, 1, 1),  // columns past a tile
      square(2, 3, 33, 31, 64, 7, 2, 3),   // a first layer
      square(2, 4, 20, 21, 16, 5, 2, 2),   // columns to fold
      square(1, 2, 19, 18, 72, 3, 2, 0),
      square(2, 1, 23, 22, 8, 5, 4, 3),
      square(2, 3, 12, 13, 8, 2, 2, 1),
      square(2, 4, 20, 20, 16, 5, 1, 2),
      square(1, 1, 28, 28, 6, 5),
      square(2, 64, 15, 15, 128, 1, 2),  // lattices without a tap
      square(2, 64, 16, 16, 128, 3, 2, 1),
      square(2, 24, 17, 19, 40, 3, 3, 0),
      square(2, 16, 13, 13, 16, 3, 2, 1, 2),  // stride and dilation share a factor
      square(2, 16, 14, 15, 24, 3, 3, 2, 2),
      square(1, 16, 20, 20, 16, 3, 1, 4, 4),
      square(2, 16, 10, 10, 32, 3, 1, 1, 1, 2),
      square(2, 12, 11, 11, 18, 3, 1, 1, 1, 3),  // groups of channels to pad
      square(3, 64, 56, 56, 64, 3, 1, 1),        // neighbours: one chunk of channels, and several
      square(5, 192, 7, 7, 100, 3, 1, 1),
      square(2, 64, 20, 11, 72, 5, 1, 4, 2),
      square(1, 128, 30, 6, 8, 2, 1, 1, 2),
      {2, 64, 9, 10, 40, 9, 10, 2, 3, 1, 1, 0, 2, 1, 1, 1},
      square(2, 20, 9, 9, 10, 3, 2, 1, 1, 5),
      square(3, 32, 9, 9, 32, 3, 1, 1, 1, 32),  // depth-wise
      square(2, 7, 12, 10, 14, 3, 2, 1, 1, 7),
      square(2, 10, 12, 10, 10, 5, 1, 2, 1, 10),
      square(2, 5, 6, 6, 7, 2, 1, 1),
      square(1, 130, 5, 5, 70, 3, 1, 1),
      square(1, 9, 40, 1, 9, 1, 4),
      {2, 16, 8, 8, 16, 8, 8, 2, 2, 1, 1, 0, 0, 1, 1, 1},  // lopsided: padding below and right alone
      {2, 16, 8, 9, 24, 10, 8, 4, 3, 1, 1, 2, 0, 1, 1, 1},
      {1, 8, 6, 6, 8, 14, 3, 3, 3, 1, 3, 5, 2, 1, 2, 1},  // output far beyond the input
      {2, 16, 12, 9, 16, 12, 4, 1, 5, 1, 2, 0, 1, 1, 1, 1},
      {1, 6, 1, 50, 12, 1, 25, 1, 9, 1, 2, 0, 4, 1, 1, 1},   // one-dimensional
      {1, 4, 1, 64, 4, 1, 44, 1, 21, 1, 1, 0, 0, 1, 1, 1},   // more taps than a mask holds
      {1, 4, 40, 40, 4, 4, 4, 3, 3, 11, 11, 0, 0, 1, 1, 2},  // a stride of more lattices than planned
      {8, 32, 16, 16, 32, 16, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      // Nothing to do, and nothing to sum.
      {0, 4, 5, 5, 6, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 4, 0, 5, 6, 2, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 0, 5, 5, 6, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 4, 5, 5, 0, 5, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
      {2, 4, 5, 5, 6, 0, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1},
  };
  return all;
}

inline espalier_conv2d shape_of(const Case& c) {
  espalier_conv2d shape;
  static_assert(sizeof shape == sizeof c);
  std::memcpy(&shape, &c, sizeof shape);
  return shape;
}

inline std::string text(const Case& c) {
  char line[200];
  std::snprintf(
      line, sizeof line,
      "x [%d, %d, %d, %d], y [%d, %d, %d], kernel %d×%d, stride %d×%d, padding %d, %d, dilation %d×%d, %d groups",
      int(c.n), int(c.in), int(c.height), int(c.width), int(c.out), int(c.out_height), int(c.out_width),
      int(c.kernel_height), int(c.kernel_width), int(c.stride_height), int(c.stride_width), int(c.top), int(c.left),
      int(c.dilation_height), int(c.dilation_width), int(c.groups));
  return line;
}

inline int64_t size_x(const Case& c) { return c.n * c.in * c.height * c.width; }
inline int64_t size_y(const Case& c) { return c.n * c.out * c.out_height * c.out_width; }
inline int64_t size_weight(const Case& c) { return c.out * (c.in / c.groups) * c.kernel_height * c.kernel_width; }

// Runs body for every case; prints the first that fail.
template <class Body>
void each_case(Body body) {
  int failed = 0;
  for (const Case& c : cases()) {
    try {
      body(c);
    } catch (const Mismatch& found) {
      if (failed++ < 6) std::printf("    %s:\n      %s\n", text(c).c_str(), found.message.c_str());
    }
  }
  if (failed > 0) mismatch("%d of %zu cases", failed, cases().size());
}

inline void forward(espalier_dtype dtype, double tolerance) {
  int number = 0;
  each_case([&](const Case& c) {
    Array x = random(size_x(c), -1, 1, dtype), weight = random(size_weight(c), -1, 1, dtype);
    Array bias = number % 2 == 0 ? absent() : random(c.out, -1, 1, dtype), y = result(size_y(c), dtype);
    same(tolerance, espalier_conv2d_forward, espalier_cuda_conv2d_forward, x, weight, bias, number++ / 2 % 2, y,
         shape_of(c));
  });
}
inline void data_grad(espalier_dtype dtype, double tolerance) {
  int number = 0;
  each_case([&](const Case& c) {
    Array weight = random(size_weight(c), -1, 1, dtype), dy = random(size_y(c), -1, 1, dtype);
    Array bias = number++ % 2 == 0 ? absent() : random(c.in, -1, 1, dtype), dx = result(size_x(c), dtype);
    same(tolerance, espalier_conv2d_data_grad, espalier_cuda_conv2d_data_grad, weight, dy, bias, dx, shape_of(c));
  });
}
inline void weight_grad(espalier_dtype dtype, espalier_dtype result_dtype, double tolerance) {
  each_case([&](const Case& c) {
    // In float64 a block sums each element of the gradient.
    if (!affordable(dtype == ESPALIER_FLOAT64 ? 1e6 * static_cast<double>(size_weight(c)) : 0)) return;
    Array x = random(size_x(c), -1, 1, dtype), dy = random(size_y(c), -1, 1, dtype);
    Array dweight = result(size_weight(c), result_dtype);
    same(tolerance, espalier_conv2d_weight_grad, espalier_cuda_conv2d_weight_grad, x, dy, dweight, shape_of(c));
  });
}

struct Within {
  explicit Within(espalier_cuda_precision precision) { ok(espalier_cuda_set_precision(precision), "set_precision"); }
  ~Within() { espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32); }
};

// Chooses the engine for a scope.
struct With {
  explicit With(bool warpgroups) : before(cuda::conv::warpgroups_allowed()) {
    cuda::conv::warpgroups_allowed() = warpgroups;
  }
  ~With() { cuda::conv::warpgroups_allowed() = before; }
  const bool before;
};

}  // namespace espalier::check::conv
