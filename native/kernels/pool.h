// Pooling over windows of images.
#pragma once

#include "espalier/pool.h"

namespace espalier::kernels {

template <class T>
void max_pool2d(espalier_pool2d shape, const T* x, T* y, int32_t* indices);
template <class T>
void max_pool_backward(int64_t planes, int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices, T* dx);

template <class T>
void avg_pool2d(espalier_pool2d shape, bool count_padding, const T* x, T* y);
template <class T>
void avg_pool2d_backward(espalier_pool2d shape, bool count_padding, const T* dy, T* dx);

template <class T>
void adaptive_avg_pool2d(espalier_adaptive_pool2d shape, const T* x, T* y);
template <class T>
void adaptive_avg_pool2d_backward(espalier_adaptive_pool2d shape, const T* dy, T* dx);
template <class T>
void adaptive_max_pool2d(espalier_adaptive_pool2d shape, const T* x, T* y, int32_t* indices);

}  // namespace espalier::kernels
