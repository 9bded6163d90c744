// Functions of one or two arrays, element by element.
#pragma once

#include <cstdint>

#include "espalier/elementwise.h"

namespace espalier::kernels {

template <class T>
void unary(espalier_unary kind, double parameter, const T* x, T* y, int64_t n);

template <class T>
void accumulate(const T* x, T* y, int64_t n);

}  // namespace espalier::kernels
