// Depth-wise convolution with channels last: a thread takes eight channels of a position.
#pragma once

#include "cuda/conv_depthwise.cuh"
#include "cuda/nhwc.cuh"

namespace espalier::cuda::nhwc {

// Whether these kernels take it; weights are [channels, kernel_height, kernel_width].
inline bool depthwise_lanes(const espalier_conv2d& s) {
  return conv::depthwise(s) && s.in_channels % kLanes == 0 && s.kernel_height <= 7 && s.kernel_width <= 7;
}

// `bias`, `add` and `relu` as in conv::GatherProduct.
template <class T>
void lanes_forward(const espalier_conv2d& shape, const T* x, const T* weight, const T* bias, bool relu, T* y);
template <class T>
void lanes_data_grad(const espalier_conv2d& shape, const T* weight, const T* dy, const T* add, T* dx);
template <class T, class Out>
void lanes_weight_grad(const espalier_conv2d& shape, const T* x, const T* dy, Out* dweight);

}  // namespace espalier::cuda::nhwc
