// What the implicit-GEMM convolutions decide on the host: geometry as walks along two axes, and the
// channels-last layout with padded channels that they read.
#pragma once

#include <algorithm>
#include <numeric>

#include "cuda/core/counts.h"
#include "cuda/core/device.h"
#include "espalier/conv.h"

namespace espalier::cuda::conv {

// One axis of a gathering product. Output positions fall into `phases` interleaved lattices: position
// t·phases + a is number t of lattice a. It reads the input at t·step + offset + j·hop for its taps j, which
// are the kernel elements element + j·element_hop. Forward there is one lattice; in the gradient for the
// data one for each residue of the stride, so that no tap of a strided convolution meets a zero.
struct Axis {
  static constexpr int kMostPhases = 8, kMostTaps = 15;
  struct Phase {
    int32_t element, taps, offset;
  };
  int32_t in, out, step, phases, hop, element_hop;
  Phase phase[kMostPhases];

  __host__ __device__ int32_t lattice(int a) const { return (out - a + phases - 1) / phases; }
};

inline Axis forward_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  Axis axis{};
  axis.in = static_cast<int32_t>(in);
  axis.out = static_cast<int32_t>(out);
  axis.step = static_cast<int32_t>(stride);
  axis.phases = axis.element_hop = 1;
  axis.hop = static_cast<int32_t>(dilation);
  axis.phase[0] = {0, static_cast<int32_t>(kernel), static_cast<int32_t>(-padding)};
  return axis;
}

// x[h] gathers dy[(h + padding − r·dilation) / stride] for the r that leave no remainder.
inline Axis data_grad_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t element_hop = stride / std::gcd(stride, dilation);
  Axis axis{};
  axis.in = static_cast<int32_t>(out);
  axis.out = static_cast<int32_t>(in);
  axis.step = 1;
  axis.phases = static_cast<int32_t>(stride);
  axis.element_hop = static_cast<int32_t>(element_hop);
  axis.hop = static_cast<int32_t>(-(element_hop * dilation / stride));
  for (int64_t a = 0; a < stride; ++a) {
    Axis::Phase& phase = axis.phase[a];
    for (int64_t r = 0; r < kernel && phase.taps == 0; ++r)
      if ((a + padding - r * dilation) % stride == 0)
        phase = {static_cast<int32_t>(r), static_cast<int32_t>((kernel - 1 - r) / element_hop + 1),
                 static_cast<int32_t>((a + padding - r * dilation) / stride)};
  }
  return axis;
}

// Whether the geometry suits the implicit GEMM: few taps an axis (a bit each in a row's mask), few lattices,
// and an image whose positions fit in 32 bits. The rest is for the plain kernels.
inline bool ordinary(const espalier_conv2d& s) {
  constexpr int64_t kNear = int64_t{1} << 29;
  // An image of padded channels.
  const int64_t in = s.groups * (s.in_channels / s.groups + 7), out = s.groups * (s.out_channels / s.groups + 7);
  if (s.in_height * s.in_width >= kNear || s.out_height * s.out_width >= kNear || in >= kNear || out >= kNear ||
      s.in_height * s.in_width * in >= 4 * kNear - 65536 || s.out_height * s.out_width * out >= 4 * kNear - 65536)
    return false;
  const int64_t sizes[] = {s.in_height, s.in_width, s.out_height, s.out_width, s.padding_top, s.padding_left};
  for (const int64_t size : sizes)
    if (size >= kNear) return false;
  return s.kernel_height <= Axis::kMostTaps && s.kernel_width <= Axis::kMostTaps &&
         s.stride_height <= Axis::kMostPhases && s.stride_width <= Axis::kMostPhases &&
         s.kernel_height * s.dilation_height < kNear && s.kernel_width * s.dilation_width < kNear &&
         s.out_height * s.stride_height < kNear && s.out_width * s.stride_width < kNear && s.groups < 65536;
}

// How many images of so many elements, and so many positions, an index of 32 bits reaches.
inline int64_t images_at_once(int64_t elements, int64_t positions) {
  constexpr int64_t kReach = (int64_t{1} << 31) - (int64_t{1} << 16);
  return std::max<int64_t>(1, kReach / std::max({elements, positions, int64_t{1}}));
}

// Whether images_at_once takes all images, or whole tiles of rows of them: then moments of tiles are of one array.
inline bool moments_in_one(const espalier_conv2d& s) {
  const int64_t most =
      images_at_once(s.in_height * s.in_width * s.groups * (s.in_channels / s.groups + 7), s.out_height * s.out_width);
  return most >= s.n || most >= 1024;
}

// Elements of T in one 16-byte access: channels of a group are padded to a multiple of it.
template <class T>
constexpr int kChunk = 16 / static_cast<int>(sizeof(T));

template <class T>
int64_t padded(int64_t channels) {
  return (channels + kChunk<T> - 1) / kChunk<T> * kChunk<T>;
}

// A first layer has few channels: of a 16-byte chunk of one position most would be padding. Where the stride
// along the width is `factor`, that many neighbouring columns share a chunk as if they were channels, `slot`
// elements each, and the kernel has a tap for each such chunk that it touches, with zeros beside its ends.
struct Fold {
  int64_t factor = 1, slot = 0;
  int64_t first = 0;  // the chunk that the first tap touches, relative to that of the first column without padding

  __host__ __device__ static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }
  // Where kernel column q is: the tap, and the slot in its chunk.
  __host__ __device__ int64_t tap(int64_t q, int64_t padding) const { return floor_div(q - padding, factor) - first; }
  __host__ __device__ int64_t place(int64_t q, int64_t padding) const {
    return q - padding - floor_div(q - padding, factor) * factor;
  }
};

template <class T>
Fold fold_of(const espalier_conv2d& s) {
  Fold fold;
  const bool folds = s.groups == 1 && s.dilation_width == 1 && (s.stride_width == 2 || s.stride_width == 4) &&
                     s.in_channels <= kChunk<T> / s.stride_width;
  if (folds) fold.factor = s.stride_width, fold.slot = kChunk<T> / s.stride_width;
  fold.first = Fold::floor_div(-s.padding_left, fold.factor);
  return fold;
}

// The convolution that is left after folding.
inline espalier_conv2d folded(espalier_conv2d s, const Fold& fold) {
  if (fold.factor == 1) return s;
  s.kernel_width = fold.tap(s.kernel_width - 1, s.padding_left) + 1;
  s.in_channels = fold.slot * fold.factor;
  s.in_width = ceil_div(s.in_width, fold.factor);
  s.stride_width = 1;
  s.padding_left = -fold.first;
  return s;
}

}  // namespace espalier::cuda::conv
