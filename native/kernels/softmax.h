// Softmax and its logarithm along the middle one of three dimensions.
#pragma once

#include "espalier/softmax.h"

namespace espalier::kernels {

enum class Softmax { kPlain, kLog };

template <class T>
void softmax_forward(Softmax kind, const T* x, T* y, espalier_strip shape);
template <class T>
void softmax_backward(Softmax kind, const T* dy, const T* y, T* dx, espalier_strip shape);

}  // namespace espalier::kernels
