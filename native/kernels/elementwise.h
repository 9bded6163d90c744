// Functions of one or two arrays, element by element.
#pragma once

#include <cstdint>

#include "espalier/elementwise.h"
#include "core/layout.h"

namespace espalier::kernels {

template <class T>
void unary(espalier_unary kind, T p, T q, const T* x, T* y, int64_t n);

template <class T>
void unary_gradient(espalier_unary kind, T p, T q, const T* x, const T* y, const T* grad, T* grad_x, int64_t n);

template <class T>
void binary(espalier_binary kind, const T* a, const T* b, T* y, int64_t n);

template <class T>
void binary_scalar(espalier_binary kind, const T* a, T b, T* y, int64_t n);

// strides: one list for a, one for b; 0 where the operand repeats. The last stride is 1 or 0.
template <class T>
void binary_strided(espalier_binary kind, const Layout<2>& layout, const T* a, const T* b, T* y);

template <class T>
void accumulate(const T* x, T* y, int64_t n);

}  // namespace espalier::kernels
