// Convolution and its gradients; see espalier/conv.h for what they compute.
#pragma once

#include <cstdint>

#include "espalier/conv.h"

namespace espalier::kernels {

template <class T>
void conv2d_forward(const espalier_conv2d& shape, const T* x, const T* weight, const T* bias, bool relu, T* y);

template <class T>
void conv2d_data_grad(const espalier_conv2d& shape, const T* weight, const T* dy, const T* bias, T* dx);

template <class T>
void conv2d_weight_grad(const espalier_conv2d& shape, const T* x, const T* dy, T* dweight);

template <class T>
void channel_sum(int64_t n, int64_t channels, int64_t plane, const T* x, T* sums);

// The three straight from the definition, for geometries that the fast ones are not made for.
namespace plain {
template <class T>
void conv2d_forward(const espalier_conv2d& shape, const T* x, const T* weight, const T* bias, bool relu, T* y);
template <class T>
void conv2d_data_grad(const espalier_conv2d& shape, const T* weight, const T* dy, const T* bias, T* dx);
template <class T>
void conv2d_weight_grad(const espalier_conv2d& shape, const T* x, const T* dy, T* dweight);
}  // namespace plain

}  // namespace espalier::kernels
