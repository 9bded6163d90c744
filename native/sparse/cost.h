// What the cost models of formats share: rates of a core, each measured on one with what it has nearby. They need to
// rank formats, not to tell time.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "simd/isa.h"
#include "sparse/panels.h"

namespace espalier::sparse {

// In cycles, but for the first.
struct Rates {
  double nanoseconds;  // a cycle
  // A multiply-add of 16 samples by a value in memory. Generated code waits for these, or for the ports of the
  // first-level cache: through them values and samples go out, and the lines of X that the second-level one sends in.
  double entry, value, line;
  // The same in tiles of one row, of two and of more: a load of X for each, or for every few.
  std::array<double, 3> in_tile;
  // The same row by row: a load of X for each, most of them from the second-level cache; and with few panels, where not
  // even the values' are shared.
  double in_row, in_row_of_few;
  // A row's sums of a panel, put down and, in rows cut by blocks of columns, taken up again for each block.
  double row_of_block;
  double moved;  // 16 samples into a panel or out of one
  // A vector of looked-up entries: fetched, and multiplied by each sample.
  double fetched, looked_up;
  // Bytes of code that stand near enough, and what comes a cycle from there and from further away.
  double near_code, near_bytes, far_bytes;
  // Panels for which far code stays near once it was fetched: all, where the model needs no better.
  double panels_of_code;
};

// Zen 4, for all cores that start one 512-bit multiply-add a cycle.
inline constexpr Rates kCommon{.nanoseconds = 0.28,
                               .entry = 1.03,
                               .value = 0.5,
                               .line = 1.4,
                               .in_tile = {1.85, 1.34, 1.0},
                               .in_row = 2.37,
                               .in_row_of_few = 3.5,
                               .row_of_block = 4,
                               .moved = 6,
                               .fetched = 0,
                               .looked_up = 3.2,
                               .near_code = 4.5e6,
                               .near_bytes = 16,
                               .far_bytes = 5,
                               .panels_of_code = 1e9};
// AVX2, measured on Zen 3: two multiply-adds and two loads of 256 bits a cycle, and 512 KB of second-level cache.
inline constexpr Rates kAvx2{.nanoseconds = 0.31,
                             .entry = 1.4,
                             .value = 0.9,
                             .line = 1.6,
                             .in_tile = {2.6, 1.9, 1.45},
                             .in_row = 1.45,
                             .in_row_of_few = 2.1,
                             .row_of_block = 8,
                             .moved = 4.2,
                             .fetched = 0.3,
                             .looked_up = 3.6,
                             .near_code = 250e3,
                             .near_bytes = 16,
                             .far_bytes = 6,
                             .panels_of_code = 8};
inline constexpr Rates kZen5{.nanoseconds = 0.245,
                             .entry = 0.6,
                             .value = 0.6,
                             .line = 0.5,
                             .in_tile = {2.2, 0.8, 0.58},
                             .in_row = 1.45,
                             .in_row_of_few = 3,
                             .row_of_block = 4,
                             .moved = 4.5,
                             .fetched = 1.2,
                             .looked_up = 0.9,
                             .near_code = 8e6,
                             .near_bytes = 24,
                             .far_bytes = 3,
                             .panels_of_code = 1e9};
// Without vectors worth the name, and without code.
inline constexpr Rates kPortable = [] {
  Rates rates = kCommon;
  rates.entry = ESPALIER_X86 ? 5 : 4;
  rates.in_tile = {9, 6.5, 5.25};
  rates.in_row = 11.5;
  rates.in_row_of_few = 17;
  rates.looked_up = 10;
  return rates;
}();

inline const Rates& rates() {
#if ESPALIER_X86
  switch (isa()) {
    case Isa::avx512: return core() == Core::zen5 ? kZen5 : kCommon;
    case Isa::avx2: return kAvx2;
    case Isa::baseline: return kPortable;
  }
#endif
  return kPortable;
}

// Packing X, unpacking Y.
inline double cycles_of_panels(int64_t rows, int64_t columns, int64_t samples) {
  return static_cast<double>(panels_of(samples) * (rows + columns)) * rates().moved;
}

// The cycles of a call from JavaScript, in and out.
constexpr double kCyclesOfCall = 1500;

// A product of so many samples, of which a panel takes `of_panel` cycles.
inline double nanoseconds_of(double of_panel, int64_t rows, int64_t columns, int64_t samples) {
  return rates().nanoseconds * (kCyclesOfCall + static_cast<double>(panels_of(samples)) * of_panel +
                                cycles_of_panels(rows, columns, samples));
}

// Nanoseconds of a sampled product. Cautious: where it gains little, the dense one is taken. It spreads no values over
// samples, which is what an entry of other products waits for with AVX2: there it takes as many cycles as with AVX-512.
inline double cost_of_sampled(int64_t rows, int64_t columns, int64_t entries, int64_t samples) {
  const double panels = static_cast<double>(panels_of(samples));
  const double entry = is_avx2() ? kCommon.entry : rates().entry;
  return rates().nanoseconds * (kCyclesOfCall + static_cast<double>(entries) * entry * (4 + 1.5 * panels) +
                                cycles_of_panels(rows, columns, samples));
}

// A pass of a sparse convolution over n images: its values go into lines and out of them, `moved` of them for an image,
// the faster the longer rows are; a kept entry is a multiply-add for every line of outputs, in the weight's gradient
// with a load more. As cautious. With AVX2 rows that fill a vector go by tiles (see conv_tile.cc).
inline double cost_of_stencil(double moved, double entries, double width, double outputs, bool of_weight) {
  const double moving = width >= 16 ? 0.36 : 20 / (width + 1);
  const double lines = outputs / 16;
  const bool tiles = &rates() == &kAvx2 && width >= 8;
  const double entry = rates().entry * (tiles ? (of_weight ? 1.5 : 1.1) : (of_weight ? 2.1 : 1.3));
  return rates().nanoseconds * (kCyclesOfCall * 3 + entries * lines * entry) + moving * moved;
}

}  // namespace espalier::sparse
