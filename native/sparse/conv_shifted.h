// Products of a convolution whose lines hold all there is of a row: with columns side by side, and whole rows in a
// line's lanes, a tap to the left or right reads a line of the same row, or one whose lanes are moved on by some. That
// is done in the registers, so that a line is packed once, not once for each tap; and results go where they belong.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sparse/conv_lines.h"

namespace espalier::sparse {

// A kept weight: `out` adds up weight number `origin` times what stands at row place `row`, `column` columns to the
// right, of the packed channel `in`.
struct ShiftedTerm {
  int32_t out, in, row, column, origin;
};

// One tile of packed lines, and where its first row of results goes: channel c's row r to y + c·channel + r·row. Or,
// where a line's lanes belong to several images, line v of it as it is to y + c·channel + r·row + v·vector.
struct ShiftedTile {
  const float* packed;
  float* y;
  int64_t rows;
};
struct ShiftedTarget {
  int64_t channel, row, vector;
};

// What the run after this one will pack, to be brought nearer meanwhile; none, where it does not lie in one piece.
struct ShiftedAhead {
  const float* from = nullptr;
  int64_t floats = 0;
};

class ShiftedKernel {
 public:
  virtual ~ShiftedKernel() = default;
  virtual void set_values(const float* values) = 0;
  virtual int64_t code_size() const = 0;
  // y = terms · packed + bias (may be null), max(·, 0) with relu.
  virtual void run(const ShiftedTile* tiles, int64_t count, const ShiftedTarget& target, const float* bias, bool relu,
                   const ShiftedAhead& ahead) const = 0;
};

// Whether such lines can be packed: every input column of a row in one segment's lines, and few enough shifts.
bool holds_whole_rows(const Axes& axes, const Tiling& tiling);
// Whether code can be generated for them here.
bool can_shift();
// For images of `in` channels, of which terms count those that are packed. Null where the code would exceed
// `most_bytes` or no executable memory can be had.
std::unique_ptr<ShiftedKernel> make_shifted(const Packing& packing, int64_t in, int64_t channels,
                                            std::vector<ShiftedTerm> terms, int64_t most_bytes);

}  // namespace espalier::sparse
