// Norms over dimensions of an array; see espalier/select.h.
#pragma once

#include <cstdint>

#include "espalier/types.h"

namespace espalier::kernels {

// `y` holds the product of the dimensions that are not reduced.
template <class T>
void slice_norm(espalier_dims shape, espalier_dims reduced, double p, const T* x, T* y);

}  // namespace espalier::kernels
