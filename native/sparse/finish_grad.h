// The gradient before a product's finish, in panels: which the data gradient and the sampled product both read.
#pragma once

#include "sparse/product.h"

namespace espalier::sparse {

// dz = dy where y > 0, else 0; all of dy where y is null: the product had no ReLU. sums[c] = Σ over samples of dz's
// component c, the gradient of the bias; may be null. dy is held as `samples` says, y and dz in panels; dz may be dy
// where that is in panels too. What stands past the last sample in dz is 0.
void finish_grad(const Samples& samples, int64_t components, const float* dy, const float* y, float* dz, float* sums);

}  // namespace espalier::sparse
