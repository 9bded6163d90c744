// Convolutions and their gradients by the fastest kernels that take them.
#pragma once

#include "core/conv_shape.h"
#include "cuda/core/launch.cuh"

namespace espalier::cuda::conv {

template <class T>
void dense_forward(const espalier_conv2d& shape, const ConvLengths& length, const T* x, const T* weight, const T* bias,
                   bool relu, T* y);
template <class T>
void dense_data_grad(const espalier_conv2d& shape, const ConvLengths& length, const T* weight, const T* dy,
                     const T* bias, T* dx);
template <class T, class Out>
void dense_weight_grad(const espalier_conv2d& shape, const ConvLengths& length, const T* x, const T* dy, Out* dweight);

}  // namespace espalier::cuda::conv
