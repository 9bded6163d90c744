// What the implicit-GEMM convolutions decide on the host: geometry as walks along two axes, and the
// channels-last layout with padded channels that they read.
#pragma once

#include <numeric>

#include "cuda/core/launch.cuh"
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

// Quotients by a number known before the launch, of dividends below 2^31: a multiplication and a shift
// (Granlund and Montgomery 1994).
struct Divider {
  uint32_t divisor, factor, shift;

  Divider() = default;
  explicit Divider(int32_t by) : divisor(static_cast<uint32_t>(by)), factor(0), shift(0) {
    uint32_t log = 0;
    while ((uint64_t{1} << log) < divisor) ++log;
    if (log == 0) return;
    factor = static_cast<uint32_t>(((uint64_t{1} << (31 + log)) + divisor - 1) / divisor);
    shift = log - 1;
  }
  __device__ int32_t quotient(int32_t dividend) const {
    return divisor == 1 ? dividend : static_cast<int32_t>(__umulhi(static_cast<uint32_t>(dividend), factor) >> shift);
  }
};

// Elements of T in one 16-byte access: channels of a group are padded to a multiple of it.
template <class T>
constexpr int kChunk = 16 / static_cast<int>(sizeof(T));

template <class T>
int64_t padded(int64_t channels) {
  return (channels + kChunk<T> - 1) / kChunk<T> * kChunk<T>;
}

}  // namespace espalier::cuda::conv
