// Layer normalisation. Where x is float16 or bfloat16, all that belongs to a row (weight, bias, mean, scale, gradients
// of weight and bias) is float32.
#include "cuda/norm_sums.cuh"
#include "espalier/cuda/operations.h"
#include "espalier/norm.h"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::norm;

namespace {

// A row is taken by a warp where it is short, by a block else; it is read twice, the second time from a cache.
constexpr int64_t kWarpRow = 1024;

// The sums of a group of kThreads (32, or kBlock: then the whole block comes along), in every thread of it.
template <int kThreads, class Sums>
__device__ Sums merge_group(Sums sums) {
  __shared__ Sums of_thread[kBlock];
  Sums* const group = of_thread + threadIdx.x / kThreads * kThreads;
  const int at = threadIdx.x % kThreads;
  const auto meet = [] {
    if constexpr (kThreads == 32) __syncwarp();
    else __syncthreads();
  };
  meet();  // those of the row before have been read
  group[at] = sums;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    meet();
    if (at < half) group[at].merge(group[at + half]);
  }
  meet();
  return group[0];
}

// take(i, K) for the packs of N elements of a row that the thread has: K of them, kThreads packs apart, the first
// at element i.
template <int kThreads, int N, class Take>
__device__ __forceinline__ void along_row(int64_t size, Take take) {
  constexpr int kMany = N == 8 ? 2 : 4;
  constexpr int64_t kStep = kThreads * N;
  int64_t i = threadIdx.x % kThreads * N;
  for (; i + (kMany - 1) * kStep < size; i += kMany * kStep) take(i, std::integral_constant<int, kMany>{});
  for (; i < size; i += kStep) take(i, std::integral_constant<int, 1>{});
}

template <int N, class W>
__device__ __forceinline__ Pack<W, N> pack_or(const W* values, int64_t i, W otherwise) {
  if (values != nullptr) return load<N>(values + i);
  Pack<W, N> result;
#pragma unroll
  for (W& value : result.at) value = otherwise;
  return result;
}

// Where the elements of K packs of a row begin.
template <int kThreads, int N, int K>
struct Places {
  int64_t at[K];
  __device__ explicit Places(int64_t first) {
#pragma unroll
    for (int k = 0; k < K; ++k) at[k] = first + k * kThreads * N;
  }
};

template <int kThreads, int N, class T>
__global__ void __launch_bounds__(kBlock)
    layer_norm_kernel(espalier_rows shape, const T* x, const wide_t<T>* weight, const wide_t<T>* bias, double eps,
                      wide_t<T>* mean, wide_t<T>* scale, T* y) {
  using W = wide_t<T>;
  constexpr int kGroups = kBlock / kThreads;
  for (int64_t row = blockIdx.x * int64_t{kGroups} + threadIdx.x / kThreads; row < shape.rows;
       row += int64_t{gridDim.x} * kGroups) {
    const T* const from = x + row * shape.size;
    Moments<W> own{};
    along_row<kThreads, N>(shape.size, [&](int64_t i, auto many) {
      W values[N * many];
      load_all<N, many>(from, Places<kThreads, N, many>(i).at, values);
      own.take(values);
    });
    const Moments<W> all = merge_group<kThreads>(own);
    const W center = static_cast<W>(all.mean);
    const W factor = static_cast<W>(1 / sqrt((all.count > 0 ? all.squares / all.count : 0) + eps));
    for (int64_t i = threadIdx.x % kThreads * N; i < shape.size; i += kThreads * N) {
      Pack<T, N> values = load<N>(from + i);
      const Pack<W, N> weights = pack_or<N>(weight, i, W{1}), biases = pack_or<N>(bias, i, W{0});
#pragma unroll
      for (int j = 0; j < N; ++j)
        values.at[j] = narrow<T>(fma((widen(values.at[j]) - center) * factor, weights.at[j], biases.at[j]));
      store<N>(y + row * shape.size + i, values);
    }
    if (threadIdx.x % kThreads == 0) {
      mean[row] = center;
      scale[row] = factor;
    }
  }
}

template <int kThreads, int N, class T>
__global__ void __launch_bounds__(kBlock)
    layer_norm_backward_kernel(espalier_rows shape, const T* dy, const T* x, const wide_t<T>* weight,
                               const wide_t<T>* mean, const wide_t<T>* scale, T* dx) {
  using W = wide_t<T>;
  constexpr int kGroups = kBlock / kThreads;
  for (int64_t row = blockIdx.x * int64_t{kGroups} + threadIdx.x / kThreads; row < shape.rows;
       row += int64_t{gridDim.x} * kGroups) {
    const T* const gradient = dy + row * shape.size;
    const T* const from = x + row * shape.size;
    const W center = mean[row], factor = scale[row];
    GradientSums own{};
    along_row<kThreads, N>(shape.size, [&](int64_t i, auto many) {
      const Places<kThreads, N, many> places(i);
      W gradients[N * many], values[N * many], plain = 0, scaled = 0;
      load_all<N, many>(gradient, places.at, gradients);
      load_all<N, many>(from, places.at, values);
#pragma unroll
      for (int k = 0; k < many; ++k) {
        const Pack<W, N> weights = pack_or<N>(weight, places.at[k], W{1});
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const W d = gradients[k * N + j] * weights.at[j];
          plain += d;
          scaled = fma(d, values[k * N + j] - center, scaled);
        }
      }
      own.merge({static_cast<double>(plain), static_cast<double>(scaled)});
    });
    const GradientSums all = merge_group<kThreads>(own);
    const double count = static_cast<double>(shape.size);
    const W a = static_cast<W>(all.plain / count);
    const W b = static_cast<W>(all.scaled / count * static_cast<double>(factor) * static_cast<double>(factor));
    for (int64_t i = threadIdx.x % kThreads * N; i < shape.size; i += kThreads * N) {
      Pack<T, N> gradients = load<N>(gradient + i);
      const Pack<T, N> values = load<N>(from + i);
      const Pack<W, N> weights = pack_or<N>(weight, i, W{1});
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const W d = widen(gradients.at[j]) * weights.at[j];
        gradients.at[j] = narrow<T>(factor * (d - a - (widen(values.at[j]) - center) * b));
      }
      store<N>(dx + row * shape.size + i, gradients);
    }
  }
}

// Launches launch(threads a row, elements a pack, grid), the first two as constants.
template <class T, class Launch>
void by_row_length(espalier_rows shape, bool packed, const char* name, Launch launch) {
  if (shape.rows == 0) return;
  const auto with_packs = [&](auto threads) {
    const unsigned grid = grid_for(shape.rows * threads);
    if (packed && shape.size % kPackOf<T> == 0) launch(threads, std::integral_constant<int, kPackOf<T>>{}, grid);
    else launch(threads, std::integral_constant<int, 1>{}, grid);
  };
  if (shape.size <= kWarpRow) with_packs(std::integral_constant<int, 32>{});
  else with_packs(std::integral_constant<int, kBlock>{});
  launched(name);
}

// For each column Σ dy and Σ dy · (x − mean) · scale, mean and scale those of the rows.
template <class T>
struct TakeColumnSums {
  using W = wide_t<T>;
  const T *dy, *x;
  const W *mean, *scale;
  template <int N, int K>
  __device__ __forceinline__ void take(GradientSums& sums, const int64_t* at, const int64_t* row, int64_t) const {
    W gradient[N * K], values[N * K], plain = 0, scaled = 0;
    load_all<N, K>(dy, at, gradient);
    load_all<N, K>(x, at, values);
#pragma unroll
    for (int j = 0; j < N * K; ++j) {
      plain += gradient[j];
      scaled = fma(gradient[j], (values[j] - mean[row[j / N]]) * scale[row[j / N]], scaled);
    }
    sums.merge({static_cast<double>(plain), static_cast<double>(scaled)});
  }
};

template <class T>
void layer_norm_backward(espalier_rows shape, const T* dy, const T* x, const wide_t<T>* weight, const wide_t<T>* mean,
                         const wide_t<T>* scale, T* dx, wide_t<T>* dweight, wide_t<T>* dbias) {
  using W = wide_t<T>;
  if (shape.size == 0) return;
  if (dx != nullptr)
    by_row_length<T>(shape, packable<kPackOf<T>>(dy, x, weight, dx), "layer_norm_backward",
                     [&](auto threads, auto pack, unsigned grid) {
                       layer_norm_backward_kernel<threads, pack>
                           <<<grid, kBlock, 0, stream()>>>(shape, dy, x, weight, mean, scale, dx);
                     });
  if (dweight == nullptr && dbias == nullptr) return;
  const auto finish = [=] __device__(int64_t column, const GradientSums& sums) {
    if (dweight != nullptr) dweight[column] = static_cast<W>(sums.scaled);
    if (dbias != nullptr) dbias[column] = static_cast<W>(sums.plain);
  };
  if (shape.rows == 0) {
    for_each(shape.size, "layer_norm_gradients", [finish] __device__(int64_t c) { finish(c, GradientSums{}); });
    return;
  }
  sum_channels<GradientSums, 1>({shape.rows, shape.size, 1}, false, "layer_norm_gradient_sums",
                                TakeColumnSums<T>{dy, x, mean, scale}, finish);
}

}  // namespace

espalier_status espalier_cuda_layer_norm_forward(espalier_in x, espalier_in weight, espalier_in bias, double eps,
                                                 espalier_out mean, espalier_out scale, espalier_out y,
                                                 espalier_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.size});
    require_eps(eps);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const from = elements<T>("x", x, size);
      const W* const factor = optional_elements<W>("weight", weight, shape.size);
      const W* const shift = optional_elements<W>("bias", bias, shape.size);
      W* const to_mean = elements<W>("mean", mean, shape.rows);
      W* const to_scale = elements<W>("scale", scale, shape.rows);
      T* const to = elements<T>("y", y, size);
      by_row_length<T>(shape, packable<kPackOf<T>>(from, factor, shift, to), "layer_norm",
                       [&](auto threads, auto pack, unsigned grid) {
                         layer_norm_kernel<threads, pack>
                             <<<grid, kBlock, 0, stream()>>>(shape, from, factor, shift, eps, to_mean, to_scale, to);
                       });
    });
  });
}

espalier_status espalier_cuda_layer_norm_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean,
                                                  espalier_in scale, espalier_out dx, espalier_out dweight,
                                                  espalier_out dbias, espalier_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.size});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      layer_norm_backward(shape, elements<T>("dy", dy, size), elements<T>("x", x, size),
                          optional_elements<W>("weight", weight, shape.size), elements<W>("mean", mean, shape.rows),
                          elements<W>("scale", scale, shape.rows), optional_elements<T>("dx", dx, size),
                          optional_elements<W>("dweight", dweight, shape.size),
                          optional_elements<W>("dbias", dbias, shape.size));
    });
  });
}
