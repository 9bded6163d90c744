// Reductions over dimensions.
#pragma once

#include <cstdint>

#include "espalier/types.h"

namespace espalier::kernels {

// y = sums of x over the dimensions marked in `reduced`, divided by divisor. No dimension is 0.
template <class T>
void sum(espalier_dims shape, espalier_dims reduced, T divisor, const T* x, T* y);

// values, indices: [outer, inner], either may be null. sign: 1 for the largest, -1 for the smallest.
template <class T>
void extreme(int64_t outer, int64_t n, int64_t inner, T sign, const T* x, T* values, int32_t* indices);

// y [outer, n, inner] = 0 but values at indices, which are within [0, n).
template <class T>
void place(int64_t outer, int64_t n, int64_t inner, const T* values, const int32_t* indices, T* y);

}  // namespace espalier::kernels
