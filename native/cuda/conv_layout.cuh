// Into the layouts of the implicit-GEMM convolutions: channels last, those of each group padded with zeros.
#pragma once

#include "cuda/conv_plan.cuh"
#include "cuda/conv_tile.cuh"

namespace espalier::cuda::conv {

// x [images, channels, plane] into y [images, plane, groups · depth].
template <class From, class To>
void to_channels_last(const From* x, To* y, int64_t images, int64_t channels, int64_t plane, int64_t groups,
                      int64_t depth);

// x [positions, channels], channels last already, into y [positions, groups · depth].
template <class From, class To>
void pad_channels(const From* x, To* y, int64_t positions, int64_t channels, int64_t groups, int64_t depth);

// The weight [out_channels, in_channels / groups, kernel], or with its channels last, as [out_channels, kernel,
// depth]; for the gradient for the data, with in- and output channels exchanged in each group, as
// [in_channels, kernel, depth].
template <class From, class To>
void pack_weight(const From* weight, To* packed, const espalier_conv2d& shape, bool channels_last, bool exchanged,
                 int64_t depth);

}  // namespace espalier::cuda::conv
