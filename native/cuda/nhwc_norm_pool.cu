// Batch norm, ReLU and max pooling in one pass: what is between the largest image of a network and the layers
// behind it is neither written nor read back.
#include "cuda/divider.h"
#include "cuda/nhwc_statistics.cuh"
#include "cuda/nhwc_window.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::nhwc;

namespace {

// So many blocks along the images that a thread's parameters serve several of them.
dim3 few_images_grid(int64_t images, int64_t elements) {
  const int64_t across = ceil_div(elements, kBlock);
  return dim3(static_cast<unsigned>(across),
              static_cast<unsigned>(std::clamp<int64_t>(ceil_div(32 * traits().multiprocessors, across), 1,
                                                        std::min<int64_t>(images, 65535))));
}

template <class T>
__global__ __launch_bounds__(kBlock) void norm_pool_kernel(const T* x, const Affine* affine, T* y, uint8_t* taps,
                                                           Window s) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * kBlock + threadIdx.x);
  const int32_t count = s.out_height * s.out_width * s.chunks;
  if (i >= count) return;
  const int32_t chunk = i % s.chunks, position = i / s.chunks;
  const int32_t top = position / s.out_width * s.stride_height - s.padding_height;
  const int32_t left = position % s.out_width * s.stride_width - s.padding_width;
  Affine of[kLanes];
#pragma unroll
  for (int e = 0; e < kLanes; ++e) of[e] = affine[chunk * kLanes + e];
  for (int64_t image = blockIdx.y; image < s.images; image += gridDim.y) {
    const T* const from = x + image * s.height * s.width * s.chunks * kLanes;
    float largest[kLanes] = {};
    Lanes<uint8_t> tap;
#pragma unroll
    for (int e = 0; e < kLanes; ++e) tap.at[e] = kNoTap;
    for (int32_t p = 0; p < s.kernel_height; ++p)
      for (int32_t q = 0; q < s.kernel_width; ++q) {
        const int32_t row = top + p, column = left + q;
        if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
        const Lanes<T> in = load_lanes(from, int64_t{row * s.width + column} * s.chunks + chunk);
#pragma unroll
        for (int e = 0; e < kLanes; ++e) {
          const float value = fmaf(widen(in.at[e]), of[e].factor, of[e].shift);
          if (value > largest[e] || (isnan(value) && !isnan(largest[e]))) {
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

// Sums of g and g · (x − mean) over the windows: g is dy, at the one x each window took. Threads of a block: 8
// along the eights of channels, and 32 windows.
constexpr int kAcross = 8, kDown = kBlock / kAcross;

template <class T>
__global__ __launch_bounds__(kBlock) void norm_pool_sums_kernel(const T* dy, const T* x, const uint8_t* taps,
                                                                const float* mean, float2* sums, Window s,
                                                                Divider out_width, Divider out_height) {
  __shared__ int32_t offset[256];  // of a tap from the window's first place
  __shared__ float2 of_thread[kBlock][kLanes + 1];
  for (int i = threadIdx.x; i < s.kernel_height * s.kernel_width; i += kBlock)
    offset[i] = (i / s.kernel_width * s.width + i % s.kernel_width) * s.chunks * kLanes;
  __syncthreads();
  const int chunk = static_cast<int>(blockIdx.y) * kAcross + threadIdx.x % kAcross;
  float2 sum[kLanes] = {};
  if (chunk < s.chunks) {
    float middle[kLanes];
#pragma unroll
    for (int e = 0; e < kLanes; ++e) middle[e] = mean[chunk * kLanes + e];
    const int64_t windows = s.images * s.out_height * s.out_width;
    for (int64_t window = blockIdx.x * int64_t{kDown} + threadIdx.x / kAcross; window < windows;
         window += int64_t{gridDim.x} * kDown) {
      int64_t column, row;
      const int64_t image = out_height.split(out_width.split(window, column), row);
      const int64_t at = window * s.chunks + chunk;
      const Lanes<T> g = load_lanes(dy, at);
      Lanes<uint8_t> tap;
      *reinterpret_cast<uint64_t*>(tap.at) = *reinterpret_cast<const uint64_t*>(taps + at * kLanes);
      const T* const from = x +
                            ((image * s.height + row * s.stride_height - s.padding_height) * s.width +
                             column * s.stride_width - s.padding_width) *
                                s.chunks * kLanes +
                            chunk * kLanes;
#pragma unroll
      for (int e = 0; e < kLanes; ++e) {
        if (tap.at[e] == kNoTap) continue;
        const float value = widen(g.at[e]);
        sum[e].x += value;
        sum[e].y = fmaf(value, widen(from[offset[tap.at[e]] + e]) - middle[e], sum[e].y);
      }
    }
  }
#pragma unroll
  for (int e = 0; e < kLanes; ++e) of_thread[threadIdx.x][e] = sum[e];
  __syncthreads();
  if (threadIdx.x >= kAcross * kLanes) return;
  const int channel = static_cast<int>(blockIdx.y) * kAcross * kLanes + static_cast<int>(threadIdx.x);
  if (channel >= s.chunks * kLanes) return;
  float2 total = {};
  for (int lane = 0; lane < kDown; ++lane) {
    const float2 of = of_thread[lane * kAcross + threadIdx.x / kLanes][threadIdx.x % kLanes];
    total.x += of.x, total.y += of.y;
  }
  sums[int64_t{blockIdx.x} * s.chunks * kLanes + channel] = total;
}

// Each position asks the windows it lies in, and blends what they give with x.
template <class T>
__global__ __launch_bounds__(kBlock) void norm_pool_gradient_kernel(const T* dy, const T* x, const uint8_t* taps,
                                                                    const Blend* blend, T* dx, Window s) {
  const int32_t i = static_cast<int32_t>(blockIdx.x * kBlock + threadIdx.x), count = s.height * s.width * s.chunks;
  if (i >= count) return;
  const int32_t chunk = i % s.chunks, position = i / s.chunks;
  const WindowsOver over = windows_over(s, position / s.width, position % s.width);
  Blend of[kLanes];
#pragma unroll
  for (int e = 0; e < kLanes; ++e) of[e] = blend[chunk * kLanes + e];
  for (int64_t image = blockIdx.y; image < s.images; image += gridDim.y) {
    float sum[kLanes] = {};
    gather_windows(s, over, image, chunk, dy, taps, sum);
    const Lanes<T> in = load_lanes(x, image * count + i);
    Lanes<T> out;
#pragma unroll
    for (int e = 0; e < kLanes; ++e)
      out.at[e] = narrow<T>(fmaf(of[e].of_g, sum[e], fmaf(of[e].of_x, widen(in.at[e]), of[e].shift)));
    store_lanes(dx, image * count + i, out);
  }
}

espalier_nhwc rows_of(const espalier_nhwc_pool2d& s) { return {s.images * s.height * s.width, s.channels}; }

}  // namespace

espalier_status espalier_cuda_batch_norm_max_pool_train_nhwc(espalier_in x, espalier_in moments, espalier_in weight,
                                                             espalier_in bias, double momentum, double eps,
                                                             espalier_out running_mean, espalier_out running_var,
                                                             espalier_out mean, espalier_out scale, espalier_out y,
                                                             espalier_out taps, espalier_nhwc_pool2d shape) {
  return guarded(__func__, [&] {
    const PoolLengths length = checked_pool(shape);
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("x", x, length.x);
      const float* const described = optional_elements<float>("moments", moments, moments_length(rows_of(shape)));
      const Statistics statistics =
          checked_statistics(weight, bias, running_mean, running_var, mean, scale, momentum, eps, shape.channels);
      T* const to = aligned_elements<T>("y", y, length.y);
      uint8_t* const which = aligned_elements<uint8_t>("taps", taps, length.y);
      if (length.x == 0 || length.y == 0) return;
      const Temporary<Affine> affine(shape.channels);
      take_statistics(rows_of(shape), from, reinterpret_cast<const Moments*>(described), statistics, affine.get());
      norm_pool_kernel<<<few_images_grid(shape.images, length.y / shape.images / kLanes), kBlock, 0, stream()>>>(
          from, affine.get(), to, which, window_of(shape));
      launched("nhwc_norm_pool");
    });
  });
}

espalier_status espalier_cuda_batch_norm_max_pool_train_backward_nhwc(espalier_in dy, espalier_in x, espalier_in taps,
                                                                      espalier_in weight, espalier_in mean,
                                                                      espalier_in scale, espalier_out dx,
                                                                      espalier_out dweight, espalier_out dbias,
                                                                      espalier_nhwc_pool2d shape) {
  return guarded(__func__, [&] {
    const PoolLengths length = checked_pool(shape);
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const g = aligned_elements<T>("dy", dy, length.y);
      const T* const from = aligned_elements<T>("x", x, length.x);
      const uint8_t* const which = aligned_elements<uint8_t>("taps", taps, length.y);
      const float* const w = optional_elements<float>("weight", weight, shape.channels);
      const float* const middle = elements<float>("mean", mean, shape.channels);
      const float* const s = elements<float>("scale", scale, shape.channels);
      T* const to = aligned_elements<T>("dx", dx, length.x);
      float* const dw = optional_elements<float>("dweight", dweight, shape.channels);
      float* const db = optional_elements<float>("dbias", dbias, shape.channels);
      if (length.x == 0) return;
      const Window window = window_of(shape);
      const int64_t windows = shape.images * shape.out_height * shape.out_width;
      const dim3 grid(
          static_cast<unsigned>(std::clamp<int64_t>(ceil_div(windows, 4 * kDown), 1, 16 * traits().multiprocessors)),
          static_cast<unsigned>(ceil_div(window.chunks, kAcross)));
      const Temporary<float2> sums(grid.x * shape.channels);
      const Temporary<Blend> blend(shape.channels);
      norm_pool_sums_kernel<<<grid, kBlock, 0, stream()>>>(g, from, which, middle, sums.get(), window,
                                                           Divider(std::max<int64_t>(1, shape.out_width)),
                                                           Divider(std::max<int64_t>(1, shape.out_height)));
      launched("nhwc_norm_pool_sums");
      finish_gradient(rows_of(shape), sums, grid.x, w, middle, s, dw, db, blend);
      norm_pool_gradient_kernel<<<few_images_grid(shape.images, length.x / shape.images / kLanes), kBlock, 0,
                                  stream()>>>(g, from, which, blend.get(), to, window);
      launched("nhwc_norm_pool_gradient");
    });
  });
}
