// The gradient for the weight as a product: a row is an output channel, a column a tap and input channel,
// and the summed dimension runs over all output positions.
#pragma once

#include "cuda/conv_plan.cuh"
#include "cuda/conv_tile.cuh"

namespace espalier::cuda::conv {

// x [images, in_height, in_width, groups · depth] and dy [images, out_height, out_width, groups · width], the
// channels of each group padded to whole chunks. dweight has the true numbers of channels: [out_channels,
// kernel_height, kernel_width, in_channels / groups] where it is channels last, else [out_channels,
// in_channels / groups, kernel_height, kernel_width].
template <class T, class Out>
struct WeightProduct {
  const T* x;
  const T* dy;
  Out* dweight;
  bool channels_last;
  espalier_conv2d shape;
  Fold fold;  // of x
};

// For what `ordinary` allows, with at least one image, element of the weight and position of dy.
template <class T, class Out>
void weight_product(const WeightProduct<T, Out>& product);

}  // namespace espalier::cuda::conv
