// Windows of images with channels last: geometry, checks, and how threads walk through images.
#pragma once

#include "cuda/nhwc.cuh"

namespace espalier::cuda::nhwc {

constexpr int kNoTap = 255;  // of a window without a largest value

struct Window {
  int32_t chunks, height, width, out_height, out_width;
  int32_t kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
  int64_t images;
};

// Images along the grid's second dimension, what is in one along the first: positions in 32 bits.
inline dim3 image_grid(int64_t images, int64_t elements) {
  return dim3(static_cast<unsigned>(ceil_div(elements, kBlock)),
              static_cast<unsigned>(std::min<int64_t>(images, 65535)));
}

// The windows that a position lies in.
struct WindowsOver {
  int32_t down, across, first_row, first_column;  // the position with its padding; the first such window
};
__device__ __forceinline__ WindowsOver windows_over(const Window& s, int32_t row, int32_t column) {
  WindowsOver over;
  over.down = row + s.padding_height, over.across = column + s.padding_width;
  over.first_row = max(0, (over.down - s.kernel_height) / s.stride_height + (over.down >= s.kernel_height));
  over.first_column = max(0, (over.across - s.kernel_width) / s.stride_width + (over.across >= s.kernel_width));
  return over;
}
// Adds dy of those that took the position.
template <class T>
__device__ __forceinline__ void gather_windows(const Window& s, const WindowsOver& over, int64_t image, int32_t chunk,
                                               const T* dy, const uint8_t* taps, float (&sum)[kLanes]) {
  for (int32_t h = over.first_row; h < s.out_height && h * s.stride_height <= over.down; ++h)
    for (int32_t w = over.first_column; w < s.out_width && w * s.stride_width <= over.across; ++w) {
      const int32_t tap = (over.down - h * s.stride_height) * s.kernel_width + over.across - w * s.stride_width;
      const int64_t at = (image * s.out_height * s.out_width + h * s.out_width + w) * s.chunks + chunk;
      Lanes<uint8_t> taken;
      *reinterpret_cast<uint64_t*>(taken.at) = *reinterpret_cast<const uint64_t*>(taps + at * kLanes);
      const Lanes<T> g = load_lanes(dy, at);
#pragma unroll
      for (int e = 0; e < kLanes; ++e) sum[e] += taken.at[e] == tap ? widen(g.at[e]) : 0.0f;
    }
}

struct PoolLengths {
  int64_t x, y;
};

inline PoolLengths checked_pool(const espalier_nhwc_pool2d& s) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  require_range("images", s.images, int64_t{0}, kMost);
  require_range("channels", s.channels, int64_t{0}, kMost);
  require_range("height", s.height, int64_t{0}, kMost);
  require_range("width", s.width, int64_t{0}, kMost);
  require_range("out_height", s.out_height, int64_t{0}, kMost);
  require_range("out_width", s.out_width, int64_t{0}, kMost);
  require_range("kernel_height", s.kernel_height, int64_t{1}, int64_t{255});
  require_range("kernel_width", s.kernel_width, int64_t{1}, 255 / s.kernel_height);
  require_range("stride_height", s.stride_height, int64_t{1}, kMost);
  require_range("stride_width", s.stride_width, int64_t{1}, kMost);
  require_range("padding_height", s.padding_height, int64_t{0}, s.kernel_height / 2);
  require_range("padding_width", s.padding_width, int64_t{0}, s.kernel_width / 2);
  require_channels(s.channels);
  const PoolLengths lengths{checked_product("x", {s.images, s.height, s.width, s.channels}),
                            checked_product("y", {s.images, s.out_height, s.out_width, s.channels})};
  const auto axis = [](const char* name, int64_t out, int64_t stride, int64_t kernel, int64_t size, int64_t padding) {
    if (out > 0 && (out - 1) * stride + kernel > size + 2 * padding)
      fail(ESPALIER_INVALID_ARGUMENT, "%s is %lld: its last window does not fit into %lld padded by %lld", name,
           static_cast<long long>(out), static_cast<long long>(size), static_cast<long long>(padding));
  };
  axis("out_height", s.out_height, s.stride_height, s.kernel_height, s.height, s.padding_height);
  axis("out_width", s.out_width, s.stride_width, s.kernel_width, s.width, s.padding_width);
  if (s.images > 0 && std::max(lengths.x, lengths.y) / s.images > kMost)
    fail(ESPALIER_INVALID_ARGUMENT, "an image has %lld elements, expected fewer than 2^31",
         static_cast<long long>(lengths.x / s.images));
  return lengths;
}

inline Window window_of(const espalier_nhwc_pool2d& s) {
  const auto small = [](int64_t value) { return static_cast<int32_t>(value); };
  return {small(s.channels / kLanes), small(s.height),         small(s.width),         small(s.out_height),
          small(s.out_width),         small(s.kernel_height),  small(s.kernel_width),  small(s.stride_height),
          small(s.stride_width),      small(s.padding_height), small(s.padding_width), s.images};
}

}  // namespace espalier::cuda::nhwc
