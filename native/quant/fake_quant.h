// Fake quantisation and its gradients; what each computes stands in espalier/quant.h.
#pragma once

#include <cstdint>

#include "espalier/quant.h"

namespace espalier::quant {

// x as rows [outer·channels] of `inner` elements, and the grid each row is rounded to.
template <class T>
struct Grid {
  const T *x, *scale, *zero, *mask;  // zero, mask: null where absent
  int64_t outer, channels, inner;
  T low, high;  // the codes at the ends
};

template <class T>
void fake_quant_forward(const Grid<T>& grid, T* y, int32_t* codes);

template <class T>
void fake_quant_backward(const Grid<T>& grid, const T* gradient, espalier_rounding_gradient rule, T* gradient_x,
                         T* gradient_scale);

// `grid` is asked for x, mask and view only.
template <class T>
void abs_max(const Grid<T>& grid, T* value, int32_t* index);

}  // namespace espalier::quant
