// Moving elements. All but take_gradient look only at the size of an element.
#pragma once

#include <cstdint>

#include "core/layout.h"

namespace espalier::kernels {

// strides: x's, then y's. No dimension is 0.
void copy_strided(const Layout<2>& layout, int64_t element_bytes, const void* x, void* y);

// line_bytes: of one line of `inner` elements.
void take(int64_t outer, int64_t n, int64_t line_bytes, const void* x, const int32_t* indices, int64_t count, void* y);

template <class T>
void take_gradient(int64_t outer, int64_t n, int64_t inner, const T* grad, const int32_t* indices, int64_t count,
                   T* grad_x);

template <class T>
void choose(const uint8_t* mask, const T* a, const T* b, T* y, int64_t n);

}  // namespace espalier::kernels
