// The gradient of a sparse convolution's kept weights.
#pragma once

#include <cstdint>
#include <vector>

#include "sparse/conv_lines.h"
#include "sparse/conv_stencil.h"

namespace espalier::sparse {

// Entries in the order in which they are added up: those that share input lines in the first-level cache together,
// and among them those of an output channel, which share its gradient.
struct GradOrder {
  struct Run {
    int32_t channel;
    int64_t first, count;  // of the entries
  };
  std::vector<Run> runs;
  std::vector<int32_t> line, origin;
  int64_t rows;  // lattice rows that are taken together
};
GradOrder grad_order(const Packing& packing, const Stencil& stencil);

// values[origin of i] = Σ over all outputs of dy at entry i's channel times the input it meets there. `channels` of
// x's `in` are packed.
void weight_grad(const Axes& axes, const Packing& packing, const GradOrder& order, int64_t n,
                 const std::vector<int32_t>& channels, int64_t in, int64_t out, const float* x, const float* dy,
                 float* values);

// values[origin[i]] = the sum of the lanes of entry i, for those in [begin, end); `sums` holds a vector an entry, as
// wide as this instruction set's, from entry `begin` on.
void grad_values(const int32_t* origin, int64_t begin, int64_t end, const float* sums, float* values);

}  // namespace espalier::sparse
