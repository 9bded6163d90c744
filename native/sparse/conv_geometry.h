// Where a sparse convolution finds its operands: axes, the lines its input is packed into, and the places of
// its taps among them.
//
// A line is 16 floats, what one place of the code reads at once: `columns` outputs of a row, for `units` bands
// of images side by side (columns · units = 16). Line v of a row's segment holds the outputs v, v + V, v + 2V, …
// of it, so that a step of one column to the side is, but at the seam, the next line: a tap's operand is a whole
// line wherever it lies, never the end of one and the beginning of another, and neighbours share lines.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/conv.h"

namespace espalier::sparse {

constexpr int64_t kLine = 16;

// A kernel element along one axis, and the input position that it reads at lattice index 0.
struct Tap {
  int64_t element, offset;
};

// Outputs of an axis fall into `phases.size()` interleaved lattices: index t of a phase is output t·step + phase,
// and its taps read inputs t·stride + offset. The forward pass has one phase; the data gradient of a strided
// convolution has as many as the stride.
struct Axis {
  int64_t in, out, stride, step;
  std::vector<std::vector<Tap>> phases;

  int64_t lattice(int64_t phase) const { return phase < out ? (out - phase + step - 1) / step : 0; }
};

struct Axes {
  Axis rows, columns;
};
Axes forward_axes(const espalier_conv2d& shape);
Axes data_grad_axes(const espalier_conv2d& shape);

// The inputs that `count` lattice indices of an axis read, in the order in which they are packed: place i is
// input first·stride + place[i] of a tile that begins at lattice index `first`.
struct Places {
  std::vector<int64_t> place;
  int64_t step;  // places from one lattice index to the next

  int64_t count() const { return static_cast<int64_t>(place.size()); }
  // The place of a tap at the tile's first index.
  int64_t of(const Tap& tap) const;
};
Places places_of(const Axis& axis, int64_t count);
// Whether so many indices should share them: not where taps lie so far apart that most of what is between them would be
// packed in vain.
bool share_places(const Axis& axis, int64_t count);

// How outputs are cut into lines, lines into tiles.
struct Tiling {
  int64_t columns, units;     // outputs of a row in a line; bands side by side
  int64_t vectors, segments;  // lines of a segment; segments of a row
  int64_t rows, bands;        // lattice rows of a band; bands of a plane

  int64_t segment() const { return columns * vectors; }
  int64_t row_lines() const { return segments * vectors; }
  int64_t lines() const { return rows * row_lines(); }
  bool operator==(const Tiling&) const = default;
};
// For n images; `in` channels are packed, `out` computed, by `kept` weights.
Tiling tiling_of(const Axes& axes, int64_t n, int64_t in, int64_t out, int64_t kept);

}  // namespace espalier::sparse
