// The gradient of a sparse convolution's kept weights by generated code, where lines hold whole rows (conv_shifted.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sparse/conv_shifted.h"

namespace espalier::sparse {

class ShiftedGrad {
 public:
  virtual ~ShiftedGrad() = default;
  virtual int64_t code_size() const = 0;
  // values[origin of a term] = Σ over all outputs of dy times the input that the term meets there. `channels` of x's
  // `in` are packed.
  virtual void run(int64_t n, const std::vector<int32_t>& channels, int64_t in, const float* x, const float* dy,
                   float* values) const = 0;
};

// `terms` come by output channel. Null where the code would exceed `most_bytes` or no executable memory can be had.
std::unique_ptr<ShiftedGrad> make_shifted_grad(const Axes& axes, const Packing& packing, int64_t out_channels,
                                               std::vector<ShiftedTerm> terms, int64_t most_bytes);

}  // namespace espalier::sparse
