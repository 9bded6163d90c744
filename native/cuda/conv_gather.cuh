// Forward convolution and the gradient for the data as one product: a row is an output position, a column
// an output channel, and the summed dimension runs over taps and input channels, gathered as it is read.
#pragma once

#include "cuda/conv_plan.cuh"
#include "cuda/conv_tile.cuh"

namespace espalier::cuda::conv {

// The mean of a channel over the rows of a tile, and the sum of squared distances from it.
struct Moments {
  float mean, squares;
};
constexpr int kGatherRows = 128;  // rows a tile

// Input and weight are channels last, the channels of each group padded to whole chunks:
// x [images, rows.in, columns.in, groups · depth], weight [groups · width, kernel elements, depth].
template <class T, class Out>
struct GatherProduct {
  const T* x;
  const T* weight;
  const Out* bias;   // may be absent, as what follows
  const Out* add;    // what is added to y, laid out as y is
  Moments* moments;  // [tiles, groups · width], of the values as y stores them; one lattice only
  Out* y;
  bool relu;
  bool channels_last;  // y [images, rows.out, columns.out, groups · width], else [images, groups · width, …]
  int32_t images, groups, depth, width, kernel_width, kernel_elements;
  Axis rows, columns;
};

// For what `ordinary` allows, with at least one image, channel of y and position of it.
template <class T, class Out>
void gather_product(const GatherProduct<T, Out>& product);

}  // namespace espalier::cuda::conv
