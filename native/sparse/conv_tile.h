// Passes of a sparse convolution tile by tile, without generated code: what a few output rows read stands in the
// first-level cache, their sums in registers.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sparse/conv_geometry.h"

namespace espalier::sparse {

// A kept weight: `out` adds up weight number `origin` times what stands at the places `row` and `column` of the packed
// channel `in`.
struct TileTerm {
  int32_t out, in, row, column, origin;
};

class TileKernel {
 public:
  virtual ~TileKernel() = default;
  // The places of a kernel element's tap.
  virtual int32_t row_of(int64_t element) const = 0;
  virtual int32_t column_of(int64_t element) const = 0;
  virtual void hold(std::vector<TileTerm> terms, int64_t out_channels) = 0;
  virtual void set_values(const float* values) = 0;
  // y = terms · x + bias (may be null), max(·, 0) with relu, for n images. `channels` of x's `in` are packed, those
  // that terms count.
  virtual void run(int64_t n, const std::vector<int32_t>& channels, int64_t in, const float* x, const float* bias,
                   bool relu, float* y) const = 0;
  // values[origin of a term] = Σ over all outputs of dy times the input that the term meets there.
  virtual void weight_grad(int64_t n, const std::vector<int32_t>& channels, int64_t in, const float* x, const float* dy,
                           float* values) const = 0;
};

// Null where tiles would be mostly empty or too small to be worth it: short rows, few of them, several phases.
std::unique_ptr<TileKernel> make_tiles(const Axes& axes);

}  // namespace espalier::sparse
