// What the cost model knows of the machine. The figures are those of one core of a Zen 4; others differ, and
// `tune` measures. They are constants, so that a network runs on the same kernels every time.
#pragma once

#include <algorithm>
#include <cstdint>

#include "simd/isa.h"
#include "sparse/cost.h"

namespace espalier::program {

// Floating-point operations a nanosecond.
inline double peak() {
#if ESPALIER_X86
  return isa() == Isa::baseline ? 28 : 115;
#else
  return 50;
#endif
}

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

// What a product of native/sparse takes, whose cost counts a call from JavaScript: here it takes fewer turns.
inline double without_call(double nanoseconds) { return 100 + nanoseconds - sparse::kCycle * sparse::kCycleOfCall; }

// Costs of integer products are those of a Zen 5, whose multiply-adds of either kind are twice as many a cycle; what is
// compared here has to be of one machine.
constexpr double kIntegersOnZen4 = 1.7;

}  // namespace espalier::program
