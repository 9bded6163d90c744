// Convolutions whose output is as large as their input, at a stride of 1: most of those in a network, and the
// gradients for their data.
#pragma once

#include "cuda/conv_gather.cuh"

namespace espalier::cuda::conv {

// Computes a product where it can and pays, for up to 64 columns (with 128 and more the gathering's wider tiles read
// shared memory less: measured on an H200, 0.15 ms to 0.18 for 128 channels of 28 × 28). Else returns false, having
// done nothing.
template <class T, class Out>
bool near_product(const GatherProduct<T, Out>& product);

// The like for the gradient of a 3 × 3 weight: partial [shares, width, 9 · depth] of `task` (conv_weight.cuh).
template <class T>
struct NearWeightTask {
  const T* x;
  const T* dy;
  float* partial;
  int32_t count, steps;  // positions, and steps of 64 of them a share
  int32_t depth, width, image_height, image_width;
  int32_t row_offset, row_hop, column_offset, column_hop;  // of the taps
};
// Whether it takes the convolution: where it pays, for up to 64 channels of dy (0.18 ms to 0.21 there, but 0.17 to
// 0.14 with 128).
bool near_weight_serves(const espalier_conv2d& shape);
constexpr int kNearWeightDepth = 64, kNearWeightSide = 64;  // positions a step; channels of x, and of dy, a block
template <class T>
void near_weight(const NearWeightTask<T>& task, int64_t shares);

}  // namespace espalier::cuda::conv
