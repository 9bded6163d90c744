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

// Nanoseconds of a sampled product. Cautious: on a Zen 5, whose dense product is twice as fast, this one is hardly
// faster.
inline double cost_of_sampled(int64_t rows, int64_t columns, int64_t entries, int64_t samples) {
  const double panels = static_cast<double>(panels_of(samples));
  return kCycle * (kCycleOfCall + static_cast<double>(entries) * cycles_of_entry() * (5 + 2.6 * panels) +
                   cycles_of_panels(rows, columns, samples));
}

// A pass of a sparse convolution over n images: its values go into lines and out of them, `moved` of them for an image,
// the faster the longer rows are; a kept entry is a multiply-add for every line of outputs, in the weight's gradient
// with a load more. As cautious.
inline double cost_of_stencil(double moved, double entries, double width, double outputs, bool of_weight) {
  const double moving = width >= 16 ? 0.36 : 20 / (width + 1);
  const double lines = outputs / 16;
  return kCycle * kCycleOfCall * 3 + moving * moved +
         kCycle * entries * lines * cycles_of_entry() * (of_weight ? 2.1 : 1.3);
}

}  // namespace espalier::sparse
