// The sampled dense-dense product: entries of dY·Xᵀ where a pattern keeps them.
#pragma once

#include "sparse/product.h"

namespace espalier::sparse {

void sampled_product(const Pattern& pattern, const Samples& samples, const float* dy, const float* x, float* values);

}  // namespace espalier::sparse
