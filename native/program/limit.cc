#include "program/limit.h"

#include <algorithm>
#include <chrono>

#define ESPALIER_KERNEL "program/limit.inl"
#include "simd/each_isa.h"

namespace espalier::program {
namespace {

double probe() {
  double best = 0;
  float sum = 0;
  for (int run = 0; run < 20; ++run) {
    int64_t flops = 0;
    const auto start = std::chrono::steady_clock::now();
    ESPALIER_ON_ISA(multiply_adds(4000, 1.0f + sum * 0, &sum, &flops));
    const double taken = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(flops) / std::max(taken, 1.0));
  }
  return best;
}

}  // namespace

double measured_peak() {
  static const double peak = probe();
  return peak;
}

}  // namespace espalier::program
