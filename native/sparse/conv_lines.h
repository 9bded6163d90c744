// Planes to lines and back; see conv_geometry.h for what a line is.
#pragma once

#include <cstdint>
#include <vector>

#include "sparse/conv_geometry.h"

namespace espalier::sparse {

// The bands whose rows a tile's lines hold side by side.
struct Bands {
  int64_t first, count;  // of all images' bands; at most `units`
};

// How a tile of some planes is packed: [channel][row place][segment][column place] lines.
struct Packing {
  // The column places that the taps read, or, with `whole_rows`, those of the row alone (see conv_shifted.h).
  Packing(const Axes& axes, const Tiling& tiling, bool whole_rows = false);

  Tiling tiling;
  Axis rows, columns;
  Places down, right;
  int64_t channel;  // lines from one channel to the next

  // The line that output line (row, segment, vector) of a tile reads for the tap at the lowest places.
  int64_t base(int64_t row, int64_t segment, int64_t vector) const {
    return (row * down.step * tiling.segments + segment) * right.count() + vector * right.step;
  }
  // Whether a row is one segment of full lines, each of them packed once and nothing beside them.
  bool full_rows() const {
    return tiling.segments == 1 && tiling.units == 1 && tiling.vectors <= 2 && columns.stride == 1 &&
           columns.in == tiling.segment() && right.count() == tiling.vectors && right.place.front() == 0;
  }
  int64_t offset(const Tap& row, const Tap& column) const {
    return down.of(row) * tiling.segments * right.count() + right.of(column);
  }
};

// The planes of `channels`, of all `of` an image has, to lines; zeros beside the planes, and for bands that are
// missing.
void pack_lines(const Packing& packing, const Bands& bands, const std::vector<int32_t>& channels, int64_t of,
                const float* x, float* to);

// Lines [row][segment][vector][channel], `pitch` floats from one line's channels to the next one's, to the outputs
// of one phase.
struct Phase {
  int64_t row, column;
};
void unpack_lines(const Axes& axes, const Tiling& tiling, const Phase& phase, const Bands& bands, int64_t channels,
                  const float* from, int64_t pitch, float* y);

}  // namespace espalier::sparse
