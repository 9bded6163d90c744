// What the cost models of formats share. The constants were measured on one Zen 4 core, with what it has nearby; they
// need to rank formats, not to tell time.
#pragma once

#include <cmath>
#include <cstdint>

#include "simd/isa.h"
#include "sparse/panels.h"

namespace espalier::sparse {

constexpr double kCycle = 0.28;  // nanoseconds

// Cycles of a multiply-add of 16 samples by a value in memory, where nothing else is waited for.
inline double cycles_of_entry() {
#if ESPALIER_X86
  switch (isa()) {
    case Isa::avx512: return 1.03;
    case Isa::avx2: return 1.6;
    case Isa::baseline: return 5;
  }
#endif
  return 4;
}

// Packing X, unpacking Y.
inline double cycles_of_panels(int64_t rows, int64_t columns, int64_t samples) {
  return static_cast<double>(panels_of(samples) * (rows + columns)) * 6;
}

// The cycles of a call from JavaScript, in and out.
constexpr double kCycleOfCall = 1500;

}  // namespace espalier::sparse
