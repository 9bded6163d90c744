// Pooling with channels last: a thread takes eight channels of a position.
#include "cuda/nhwc.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::nhwc;

namespace {

constexpr int kNoTap = 255;

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
  const int32_t down = position / s.width + s.padding_height, across = position % s.width + s.padding_width;
  const int32_t first_row = max(0, (down - s.kernel_height) / s.stride_height + (down >= s.kernel_height));
  const int32_t first_column = max(0, (across - s.kernel_width) / s.stride_width + (across >= s.kernel_width));
  for (int64_t image = blockIdx.y; image < s.images; image += gridDim.y) {
    float sum[kLanes] = {};
    for (int32_t h = first_row; h < s.out_height && h * s.stride_height <= down; ++h)
      for (int32_t w = first_column; w < s.out_width && w * s.stride_width <= across; ++w) {
        const int32_t tap = (down - h * s.stride_height) * s.kernel_width + across - w * s.stride_width;
        const int64_t at = (image * s.out_height * s.out_width + h * s.out_width + w) * s.chunks + chunk;
        Lanes<uint8_t> taken;
        *reinterpret_cast<uint64_t*>(taken.at) = *reinterpret_cast<const uint64_t*>(taps + at * kLanes);
        const Lanes<T> g = load_lanes(dy, at);
#pragma unroll
        for (int e = 0; e < kLanes; ++e) sum[e] += taken.at[e] == tap ? widen(g.at[e]) : 0.0f;
      }
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

struct Lengths {
  int64_t x, y;
};

Lengths checked(const espalier_nhwc_pool2d& s) {
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
  const Lengths lengths{checked_product("x", {s.images, s.height, s.width, s.channels}),
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

Window window_of(const espalier_nhwc_pool2d& s) {
  const auto small = [](int64_t value) { return static_cast<int32_t>(value); };
  return {small(s.channels / kLanes), small(s.height),         small(s.width),         small(s.out_height),
          small(s.out_width),         small(s.kernel_height),  small(s.kernel_width),  small(s.stride_height),
          small(s.stride_width),      small(s.padding_height), small(s.padding_width), s.images};
}

}  // namespace

espalier_status espalier_cuda_max_pool2d_forward_nhwc(espalier_in x, espalier_out y, espalier_out taps,
                                                      espalier_nhwc_pool2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = checked(shape);
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
    const Lengths length = checked(shape);
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
