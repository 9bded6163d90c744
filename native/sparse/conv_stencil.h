// The products of one phase of a convolution: what every line of outputs adds up.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/sparse_conv.h"

namespace espalier::sparse {

// Which weights meet which lines. Output channel r adds up entries [start[r], start[r + 1]): entry i is the weight
// number origin[i] times the input line that stands line[i] behind the one the output line begins at.
struct Stencil {
  int64_t channels = 0;
  std::vector<int64_t> start;
  std::vector<int32_t> line;
  std::vector<int32_t> origin;
  // Input lines of a channel; input lines from one output row to the next; output lines of a row.
  int64_t channel = 0, row = 0, row_lines = 0;
};

// A task's lines, whole rows: line i of the outputs begins at line base[i] of the packed input, and its sums go to
// sums + i·pitch_of(channels), a line a channel. One row more than `count` may be read and summed up: there is room.
struct Lines {
  const float* packed;
  const int32_t* base;
  int64_t count;
  float* sums;
};
// An odd number of cache lines: with an even one the lines of a channel would compete for the same few places of
// the cache.
constexpr int64_t pitch_of(int64_t channels) { return (channels | 1) * 16; }

class StencilKernel {
 public:
  virtual ~StencilKernel() = default;
  // The values of the weight that it was made for, in its order.
  virtual void set_values(const float* values) = 0;
  virtual int64_t code_size() const { return 0; }
  // sums = stencil · packed + bias (may be null), max(·, 0) with relu.
  virtual void run(const Lines& lines, const float* bias, bool relu) const = 0;
};

// Generated where that can be had and `kernel` allows it, else portable; an error where it insists in vain.
std::unique_ptr<StencilKernel> make_stencil(Stencil stencil, espalier_sparse_kernel kernel);

// Null where code cannot be generated, or would exceed `most_bytes`.
std::unique_ptr<StencilKernel> make_generated_stencil(const Stencil& stencil, int64_t most_bytes);
std::unique_ptr<StencilKernel> make_portable_stencil(Stencil stencil);

}  // namespace espalier::sparse
