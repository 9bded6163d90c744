// Pooling with channels last: a thread takes eight channels of a position.
#include "cuda/nhwc_window.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::nhwc;

namespace {

template <class T>
__global__ __launch_bounds__(kBlock) void max_pool_kernel(const T* x, T* y, uint8_t* taps, Window s) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * kBlock + threadIdx.x),
                count = s.out_height * s.out_width * s.chunks;
  if (i >= count) return;
  const int32_t chunk = i % s.chunks, position = i / s.chunks;
  const int32_t top = position / s.out_width * s.stride_height - s.padding_height;
  const int32_t left = position % s.out_width * s.stride_width - s.padding_width;
  for (int64_t image = blockIdx.y; image < s.images; image += gridDim.y) {
    const T* const from = x + image * s.height * s.width * s.chunks * kLanes;
    float largest[kLanes];
    Lanes<uint8_t> tap;
#pragma unroll
    for (int e = 0; e < kLanes; ++e) largest[e] = -INFINITY, tap.at[e] = kNoTap;
    for (int32_t p = 0; p < s.kernel_height; ++p)
      for (int32_t q = 0; q < s.kernel_width; ++q) {
        const int32_t row = top + p, column = left + q;
        if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
        const Lanes<T> in = load_lanes(from, int64_t{row * s.width + column} * s.chunks + chunk);
#pragma unroll
        for (int e = 0; e < kLanes; ++e) {
          const float value = widen(in.at[e]);
          if (tap.at[e] == kNoTap || value > largest[e] || (isnan(value) && !isnan(largest[e]))) {
            largest[e] = value;
            tap.at[e] = static_cast<uint8_t>(p * s.kernel_width + q);
          }
        }
      }
    Lanes<T> out;
#pragma unroll
    for (int e = 0; e < kLanes; ++e) out.at[e] = narrow<T>(largest[e]);
    const int64_t at = image * count + i;
    store_lanes(y, at, out);
    *reinterpret_cast<uint64_t*>(taps + at * kLanes) = *reinterpret_cast<const uint64_t*>(tap.at);
  }
}

// Each position asks the windows it lies in.
template <class T>
__global__ __launch_bounds__(kBlock) void max_pool_backward_kernel(const T* dy, const uint8_t* taps, T* dx, Window s) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * kBlock + threadIdx.x), count = s.height * s.width * s.chunks;
  if (i >= count) return;
  const int32_t chunk = i % s.chunks, position = i / s.chunks;
  const WindowsOver over = windows_over(s, position / s.width, position % s.width);
  for (int64_t image = blockIdx.y; image < s.images; image += gridDim.y) {
    float sum[kLanes] = {};
    gather_windows(s, over, image, chunk, dy, taps, sum);
    Lanes<T> out;
#pragma unroll
    for (int e = 0; e < kLanes; ++e) out.at[e] = narrow<T>(sum[e]);
    store_lanes(dx, image * count + i, out);
  }
}

template <class T>
__global__ __launch_bounds__(kBlock) void mean_pool_kernel(const T* x, T* y, int64_t images, int64_t positions,
                                                           int64_t chunks) {
  const int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x;
  if (i >= images * chunks) return;
  const T* const from = x + i / chunks * positions * chunks * kLanes;
  float sum[kLanes] = {};
#pragma unroll 4
  for (int64_t p = 0; p < positions; ++p) {
    const Lanes<T> in = load_lanes(from, p * chunks + i % chunks);
#pragma unroll
    for (int e = 0; e < kLanes; ++e) sum[e] += widen(in.at[e]);
  }
  Lanes<T> out;
#pragma unroll
  for (int e = 0; e < kLanes; ++e) out.at[e] = narrow<T>(sum[e] / static_cast<float>(positions));
  store_lanes(y, i, out);
}

template <class T>
void mean_pool_backward(const T* dy, T* dx, int64_t images, int64_t positions, int64_t chunks) {
  for_each(images * positions * chunks, "nhwc_mean_pool_backward", [=] __device__(int64_t i) {
    Lanes<T> g = load_lanes(dy, i / chunks / positions * chunks + i % chunks);
#pragma unroll
    for (int e = 0; e < kLanes; ++e) g.at[e] = narrow<T>(widen(g.at[e]) / static_cast<float>(positions));
    store_lanes(dx, i, g);
  });
}

}  // namespace

espalier_status espalier_cuda_max_pool2d_forward_nhwc(espalier_in x, espalier_out y, espalier_out taps,
                                                      espalier_nhwc_pool2d shape) {
  return guarded(__func__, [&] {
    const PoolLengths length = checked_pool(shape);
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("x", x, length.x);
      T* const to = aligned_elements<T>("y", y, length.y);
      uint8_t* const which = aligned_elements<uint8_t>("taps", taps, length.y);
      if (length.y == 0) return;
      max_pool_kernel<<<image_grid(shape.images, length.y / shape.images / kLanes), kBlock, 0, stream()>>>(
          from, to, which, window_of(shape));
      launched("nhwc_max_pool");
    });
  });
}

espalier_status espalier_cuda_max_pool2d_backward_nhwc(espalier_in dy, espalier_in taps, espalier_out dx,
                                                       espalier_nhwc_pool2d shape) {
  return guarded(__func__, [&] {
    const PoolLengths length = checked_pool(shape);
    for_activation("dy", dy.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("dy", dy, length.y);
      const uint8_t* const which = aligned_elements<uint8_t>("taps", taps, length.y);
      T* const to = aligned_elements<T>("dx", dx, length.x);
      if (length.x == 0) return;
      max_pool_backward_kernel<<<image_grid(shape.images, length.x / shape.images / kLanes), kBlock, 0, stream()>>>(
          from, which, to, window_of(shape));
      launched("nhwc_max_pool_backward");
    });
  });
}

namespace {

int64_t checked_mean(int64_t images, int64_t positions, int64_t channels) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  require_range("images", images, int64_t{0}, kMost);
  require_range("positions", positions, int64_t{1}, kMost);
  require_range("channels", channels, int64_t{0}, kMost);
  require_channels(channels);
  return checked_product("x", {images, positions, channels});
}

}  // namespace

espalier_status espalier_cuda_mean_pool_nhwc(int64_t images, int64_t positions, int64_t channels, espalier_in x,
                                             espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t length = checked_mean(images, positions, channels);
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("x", x, length);
      T* const to = aligned_elements<T>("y", y, images * channels);
      if (length == 0) return;
      const int64_t threads = images * channels / kLanes;
      mean_pool_kernel<<<static_cast<unsigned>(ceil_div(threads, kBlock)), kBlock, 0, stream()>>>(
          from, to, images, positions, channels / kLanes);
      launched("nhwc_mean_pool");
    });
  });
}

espalier_status espalier_cuda_mean_pool_backward_nhwc(int64_t images, int64_t positions, int64_t channels,
                                                      espalier_in dy, espalier_out dx) {
  return guarded(__func__, [&] {
    const int64_t length = checked_mean(images, positions, channels);
    for_activation("dy", dy.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("dy", dy, images * channels);
      mean_pool_backward(from, aligned_elements<T>("dx", dx, length), images, positions, channels / kLanes);
    });
  });
}
