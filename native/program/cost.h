// What the cost model knows of the machine. The figures are those of one core of a Zen 4 or a Zen 5, with AVX2 those of
// a Zen 3; others differ, and `tune` measures. They are constants, so that a network runs on the same kernels every
// time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "espalier/conv.h"
#include "simd/isa.h"
#include "sparse/cost.h"

namespace espalier::program {

// Floating-point operations a nanosecond.
inline double peak() {
#if ESPALIER_X86
  if (isa() == Isa::baseline) return 28;
  return isa() == Isa::avx512 && core() == Core::zen5 ? 240 : 115;
#else
  return 50;
#endif
}

// AVX-512 on a core that starts one such multiply-add a cycle: some figures were fitted on a Zen 4 alone.
inline bool is_common() { return &sparse::rates() == &sparse::kCommon; }

// Bytes a nanosecond, by how much is read again and again.
inline double bandwidth(double bytes) {
  if (bytes <= double{1 << 15}) return 180;
  if (bytes <= double{1 << 20}) return 90;
  return bytes <= double{1 << 24} ? 45 : 15;
}

// A product of `flops` in all that reads `bytes` of weights once for `passes` passes.
inline double product_time(double flops, double efficiency, double bytes, double passes) {
  return std::max(flops / (peak() * efficiency), passes * bytes / bandwidth(bytes));
}

// A dense product of `size` weights with so many vectors.
inline double dense_product_time(double size, double vectors) {
  const double few = is_avx2() ? 0.16 + 0.048 * vectors : 0.38 + 0.035 * vectors;
  const double efficiency = vectors >= 12 ? 0.8 : few;
  return (is_avx2() ? 100 : 60) + product_time(2 * size * vectors, efficiency, 4 * size, 1);
}

// A dense convolution of n images by `size` weights. Weights are laid out anew in every call; short rows leave lanes
// empty.
inline double dense_convolution_time(double size, const espalier_conv2d& shape, int64_t n) {
  const double width = static_cast<double>(shape.out_width);
  const double lanes = n >= 16 ? 16 : 16 * std::max(1.0, width / 16);
  const double filled = n >= 16 ? 1 : std::min(1.0, width / lanes);
  const double outputs = static_cast<double>(n * shape.out_height) * width;
  return 600 + 1.2 * size + 2 * size * outputs / (peak() * 0.65 * filled);
}

// Largest values of windows of 2×2, by a step of its own.
inline double maxima_time(double elements) { return 0.17 * elements; }

// What a product of native/sparse takes, whose cost counts a call from JavaScript: here it takes fewer turns.
inline double without_call(double nanoseconds) {
  return 100 + nanoseconds - sparse::rates().nanoseconds * sparse::kCyclesOfCall;
}

// Moving codes costs what it does on a Zen 5; other cores take so many times as long. So do integer products where they
// have no rates of their own (sparse/integer.cc), as those with AVX-512 and AVX2 have.
inline double code_slowness() { return core() == Core::zen5 ? 1 : 1.7; }
inline double integer_slowness() { return &sparse::rates() == &sparse::kPortable ? code_slowness() : 1; }

}  // namespace espalier::program
