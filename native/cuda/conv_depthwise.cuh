// Depth-wise convolution, a kernel of its own for each channel: there is nothing to multiply matrices with,
// memory sets the pace. Channels first here; with channels last in nhwc_depthwise.cuh.
#pragma once

#include "cuda/conv_plan.cuh"
#include "cuda/core/launch.cuh"

namespace espalier::cuda::conv {

inline bool depthwise(const espalier_conv2d& s) {
  return s.groups == s.in_channels && s.groups == s.out_channels && s.groups > 1;
}

// result[i] = Σ partial[share, i], share by share.
template <class Out>
void add_depthwise_shares(const float* partial, int64_t shares, int64_t count, Out* result) {
  for_each(count, "conv_add_depthwise_shares", [=] __device__(int64_t i) {
    float sum = 0;
    for (int64_t share = 0; share < shares; ++share) sum += partial[share * count + i];
    result[i] = static_cast<Out>(sum);
  });
}

// Each returns false, having done nothing, where tiles of the geometry do not fit into shared memory.
template <class T>
bool depthwise_forward(const espalier_conv2d& shape, const T* x, const T* weight, const T* bias, bool relu, T* y);
template <class T>
bool depthwise_data_grad(const espalier_conv2d& shape, const T* weight, const T* dy, const T* bias, T* dx);
template <class T, class Out>
bool depthwise_weight_grad(const espalier_conv2d& shape, const T* x, const T* dy, Out* dweight);

}  // namespace espalier::cuda::conv
