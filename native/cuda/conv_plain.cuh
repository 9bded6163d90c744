// Convolutions a thread an element, for float64 and for geometries that the faster kernels leave out.
#pragma once

#include "cuda/core/launch.cuh"
#include "espalier/conv.h"

namespace espalier::cuda::conv {

template <class T>
void plain_forward(const espalier_conv2d& shape, const T* x, const T* weight, const T* bias, bool relu, T* y);
template <class T>
void plain_data_grad(const espalier_conv2d& shape, const T* weight, const T* dy, const T* bias, T* dx);
template <class T, class Out>
void plain_weight_grad(const espalier_conv2d& shape, const T* x, const T* dy, Out* dweight);

}  // namespace espalier::cuda::conv
