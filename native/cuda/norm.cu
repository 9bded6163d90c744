// Batch and layer normalisation. Where x is float16 or bfloat16, all that belongs to a channel or a row (weight,
// bias, mean, scale, running statistics, gradients of weight and bias) is float32.
#include "espalier/norm.h"

#include "cuda/channels.cuh"
#include "espalier/cuda/operations.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- What is gathered ------------------------------------------------------------------------------

// Mean and squared deviations of some values; two such are joined after Chan, Golub & LeVeque 1979, which
// keeps the variance of values whose mean is large, in one pass over memory.
template <class W>
struct Moments {
  double count, mean, squares;

  __device__ void merge(const Moments& other) {
    if (other.count == 0) return;
    const double total = count + other.count, apart = other.mean - mean;
    // (Divided in W: a share that is off by an ulp of float moves the mean by that share of `apart`.)
    const double share = static_cast<double>(static_cast<W>(other.count) / static_cast<W>(total));
    squares += other.squares + apart * apart * count * share;
    mean += apart * share;
    count = total;
  }
  // Values at hand: twice over them, which is exact enough in their own type.
  template <int M>
  __device__ void take(const W (&values)[M]) {
    W sum = 0, off = 0;
#pragma unroll
    for (const W v : values) sum += v;
    const W mean_here = sum * (W{1} / M);
#pragma unroll
    for (const W v : values) off = fma(v - mean_here, v - mean_here, off);
    merge({M, static_cast<double>(mean_here), static_cast<double>(off)});
  }
};

// Σ dy and Σ dy (x − mean)
struct GradientSums {
  double plain, scaled;
  __device__ void merge(const GradientSums& other) {
    plain += other.plain;
    scaled += other.scaled;
  }
};

// K packs of N values side by side.
template <int N, int K, class T>
__device__ __forceinline__ void load_all(const T* x, const int64_t* at, wide_t<T> (&values)[N * K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const Pack<T, N> pack = load<N>(x + at[k]);
#pragma unroll
    for (int lane = 0; lane < N; ++lane) values[k * N + lane] = widen(pack.at[lane]);
  }
}

template <class T>
struct TakeMoments {
  const T* x;
  template <int N, int K>
  __device__ __forceinline__ void take(Moments<wide_t<T>>& moments, const int64_t* at, const int64_t*, int64_t) const {
    wide_t<T> values[N * K];
    load_all<N, K>(x, at, values);
    moments.take(values);
  }
};

template <class T>
struct TakeGradientSums {
  using W = wide_t<T>;
  const T *dy, *x;
  const W* mean;
  template <int N, int K>
  __device__ __forceinline__ void take(GradientSums& sums, const int64_t* at, const int64_t*, int64_t channel) const {
    W gradient[N * K], values[N * K], plain = 0, scaled = 0;
    load_all<N, K>(dy, at, gradient);
    load_all<N, K>(x, at, values);
    const W center = mean[channel];
#pragma unroll
    for (int j = 0; j < N * K; ++j) {
      plain += gradient[j];
      scaled = fma(gradient[j], values[j] - center, scaled);
    }
    sums.merge({static_cast<double>(plain), static_cast<double>(scaled)});
  }
};

// ---- Batch norm ------------------------------------------------------------------------------------

// y = (x − mean) · factor + bias
template <class W>
struct alignas(4 * sizeof(W)) Affine {
  W mean, factor, bias, unused;
};
template <class T>
struct Normalise {
  const T* x;
  const Affine<wide_t<T>>* affine;
  T* y;
  Channels shape;
  template <int N>
  __device__ __forceinline__ void at(int64_t i, Spot spot) const {
    Pack<T, N> values = load<N>(x + i);
    by_channel<N>(spot, shape, affine, [&](int lane, const Affine<wide_t<T>>& a) {
      values.at[lane] = narrow<T>(fma(widen(values.at[lane]) - a.mean, a.factor, a.bias));
    });
    store<N>(y + i, values);
  }
};

// dx = factor · (dy − a − (x − mean) · b)
template <class W>
struct alignas(4 * sizeof(W)) Backward {
  W mean, factor, a, b;
};
template <class T, bool kTraining>
struct Propagate {
  const T *dy, *x;
  const Backward<wide_t<T>>* backward;
  T* dx;
  Channels shape;
  template <int N>
  __device__ __forceinline__ void at(int64_t i, Spot spot) const {
    Pack<T, N> gradient = load<N>(dy + i), values;
    if constexpr (kTraining) values = load<N>(x + i);
    by_channel<N>(spot, shape, backward, [&](int lane, const Backward<wide_t<T>>& p) {
      wide_t<T> result = widen(gradient.at[lane]);
      if constexpr (kTraining) result = result - p.a - (widen(values.at[lane]) - p.mean) * p.b;
      gradient.at[lane] = narrow<T>(result * p.factor);
    });
    store<N>(dx + i, gradient);
  }
};

template <class W>
__host__ __device__ W at_or(const W* values, int64_t i, W otherwise) {
  return values == nullptr ? otherwise : values[i];
}

template <class T>
struct BatchNorm {
  using W = wide_t<T>;
  Channels shape;
  const T* x;
  const W *weight, *bias;

  double count() const { return static_cast<double>(shape.outer) * static_cast<double>(shape.inner); }

  void train(double momentum, double eps, W* running_mean, W* running_var, W* mean, W* scale, T* y) const {
    Temporary<Affine<W>> affine(shape.channels);
    const double unbiased = count() / (count() - 1), keep = 1 - momentum;
    const auto finish = [=, weight = weight, bias = bias, affine = affine.get()] __device__(int64_t c,
                                                                                            const Moments<W>& moments) {
      const double var = moments.squares / moments.count;
      mean[c] = static_cast<W>(moments.mean);
      scale[c] = static_cast<W>(1 / sqrt(var + eps));
      affine[c] = {mean[c], scale[c] * at_or(weight, c, W{1}), at_or(bias, c, W{0}), W{0}};
      if (running_mean == nullptr) return;
      running_mean[c] = static_cast<W>(keep * static_cast<double>(running_mean[c]) + momentum * moments.mean);
      running_var[c] = static_cast<W>(keep * static_cast<double>(running_var[c]) + momentum * unbiased * var);
    };
    sum_channels<Moments<W>, kPackOf<T>>(shape, packable<kPackOf<T>>(x), "batch_norm_moments", TakeMoments<T>{x},
                                         finish);
    normalise(affine, y);
  }

  void eval(double eps, const W* mean, const W* variance, T* y) const {
    Temporary<Affine<W>> affine(shape.channels);
    for_each(shape.channels, "batch_norm_affine",
             [=, weight = weight, bias = bias, affine = affine.get()] __device__(int64_t c) {
               const W scale = static_cast<W>(1 / sqrt(static_cast<double>(variance[c]) + eps));
               affine[c] = {mean[c], scale * at_or(weight, c, W{1}), at_or(bias, c, W{0}), W{0}};
             });
    normalise(affine, y);
  }

  void normalise(const Affine<W>* affine, T* y) const {
    each_in_channels<kPackOf<T>>(shape, packable<kPackOf<T>>(x, y), "batch_norm", Normalise<T>{x, affine, y, shape});
  }
};

// With given statistics a and b are 0: nothing goes back through them.
template <class T>
struct BatchNormBackward {
  using W = wide_t<T>;
  Channels shape;
  const T *dy, *x;
  const W *weight, *mean;
  T* dx;
  W *dweight, *dbias;

  template <bool kTraining>
  void run(const W* scale) const {
    if (shape.size() == 0) {
      if (dweight != nullptr) ESPALIER_CUDA(cudaMemsetAsync(dweight, 0, bytes(), stream()));
      if (dbias != nullptr) ESPALIER_CUDA(cudaMemsetAsync(dbias, 0, bytes(), stream()));
      return;
    }
    Temporary<Backward<W>> backward(shape.channels);
    const double count = static_cast<double>(shape.outer) * static_cast<double>(shape.inner);
    const auto finish = [=, self = *this, backward = backward.get()] __device__(int64_t c, const GradientSums& sums) {
      const double s = static_cast<double>(scale[c]);
      if (self.dweight != nullptr) self.dweight[c] = static_cast<W>(sums.scaled * s);
      if (self.dbias != nullptr) self.dbias[c] = static_cast<W>(sums.plain);
      backward[c] = {self.mean[c], scale[c] * at_or(self.weight, c, W{1}), static_cast<W>(sums.plain / count),
                     static_cast<W>(sums.scaled / count * s * s)};
    };
    if (kTraining || dweight != nullptr || dbias != nullptr) {
      sum_channels<GradientSums, kPackOf<T>>(shape, packable<kPackOf<T>>(dy, x), "batch_norm_gradient_sums",
                                             TakeGradientSums<T>{dy, x, mean}, finish);
    } else {
      for_each(shape.channels, "batch_norm_backward_factors",
               [finish] __device__(int64_t c) { finish(c, GradientSums{}); });
    }
    if (dx == nullptr) return;
    each_in_channels<kPackOf<T>>(shape, packable<kPackOf<T>>(dy, x, dx), "batch_norm_backward",
                                 Propagate<T, kTraining>{dy, x, backward, dx, shape});
  }

  size_t bytes() const { return static_cast<size_t>(shape.channels) * sizeof(W); }
};

template <class W>
void inverse_deviations(int64_t channels, const W* variance, double eps, W* scale) {
  for_each(channels, "inverse_deviations",
           [=] __device__(int64_t c) { scale[c] = static_cast<W>(1 / sqrt(static_cast<double>(variance[c]) + eps)); });
}

// ---- Layer norm ------------------------------------------------------------------------------------

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

// take<K>(i, step) for the elements of a row that the thread has, K of them `step` apart.
template <int kThreads, class Take>
__device__ __forceinline__ void along_row(int64_t size, Take take) {
  int64_t i = threadIdx.x % kThreads;
  for (; i + 3 * kThreads < size; i += 4 * kThreads) take(i, std::integral_constant<int, 4>{});
  for (; i < size; i += kThreads) take(i, std::integral_constant<int, 1>{});
}

template <int kThreads, class T>
__global__ void __launch_bounds__(kBlock)
    layer_norm_kernel(espalier_rows shape, const T* x, const wide_t<T>* weight, const wide_t<T>* bias, double eps,
                      wide_t<T>* mean, wide_t<T>* scale, T* y) {
  using W = wide_t<T>;
  constexpr int kGroups = kBlock / kThreads;
  for (int64_t row = blockIdx.x * int64_t{kGroups} + threadIdx.x / kThreads; row < shape.rows;
       row += int64_t{gridDim.x} * kGroups) {
    const T* const from = x + row * shape.size;
    Moments<W> own{};
    along_row<kThreads>(shape.size, [&](int64_t i, auto many) {
      W values[many];
#pragma unroll
      for (int k = 0; k < many; ++k) values[k] = widen(from[i + k * kThreads]);
      own.take(values);
    });
    const Moments<W> all = merge_group<kThreads>(own);
    const W center = static_cast<W>(all.mean);
    const W factor = static_cast<W>(1 / sqrt((all.count > 0 ? all.squares / all.count : 0) + eps));
    for (int64_t i = threadIdx.x % kThreads; i < shape.size; i += kThreads)
      y[row * shape.size + i] =
          narrow<T>(fma((widen(from[i]) - center) * factor, at_or(weight, i, W{1}), at_or(bias, i, W{0})));
    if (threadIdx.x % kThreads == 0) {
      mean[row] = center;
      scale[row] = factor;
    }
  }
}

template <int kThreads, class T>
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
    along_row<kThreads>(shape.size, [&](int64_t i, auto many) {
      W plain = 0, scaled = 0;
#pragma unroll
      for (int k = 0; k < many; ++k) {
        const int64_t at = i + k * kThreads;
        const W d = widen(gradient[at]) * at_or(weight, at, W{1});
        plain += d;
        scaled = fma(d, widen(from[at]) - center, scaled);
      }
      own.merge({static_cast<double>(plain), static_cast<double>(scaled)});
    });
    const GradientSums all = merge_group<kThreads>(own);
    const double count = static_cast<double>(shape.size);
    const W a = static_cast<W>(all.plain / count);
    const W b = static_cast<W>(all.scaled / count * static_cast<double>(factor) * static_cast<double>(factor));
    for (int64_t i = threadIdx.x % kThreads; i < shape.size; i += kThreads) {
      const W d = widen(gradient[i]) * at_or(weight, i, W{1});
      dx[row * shape.size + i] = narrow<T>(factor * (d - a - (widen(from[i]) - center) * b));
    }
  }
}

// Launches launch(std::integral_constant<int, threads a row>{}, grid).
template <class Launch>
void by_row_length(espalier_rows shape, const char* name, Launch launch) {
  if (shape.rows == 0) return;
  if (shape.size <= kWarpRow) launch(std::integral_constant<int, 32>{}, grid_for(shape.rows * 32));
  else launch(std::integral_constant<int, kBlock>{}, grid_for(shape.rows * kBlock));
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
    by_row_length(shape, "layer_norm_backward", [&](auto threads, unsigned grid) {
      layer_norm_backward_kernel<threads><<<grid, kBlock, 0, stream()>>>(shape, dy, x, weight, mean, scale, dx);
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

// ---- Checks ----------------------------------------------------------------------------------------

Channels channels_of(espalier_channels shape) {
  checked_product("shape", {shape.batch, shape.channels, shape.size});
  return {shape.batch, shape.channels, shape.size};
}

void require_eps(double eps) { require_range("eps", eps, 0, 1e30); }

}  // namespace

espalier_status espalier_cuda_batch_norm_train(espalier_in x, espalier_in weight, espalier_in bias, double momentum,
                                               double eps, espalier_out running_mean, espalier_out running_var,
                                               espalier_out mean, espalier_out scale, espalier_out y,
                                               espalier_channels shape) {
  return guarded(__func__, [&] {
    const Channels view = channels_of(shape);
    const int64_t size = view.size(), channels = view.channels;
    require_eps(eps);
    require_range("momentum", momentum, 0, 1);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      W* const of_mean = optional_elements<W>("running_mean", running_mean, channels);
      W* const of_var = optional_elements<W>("running_var", running_var, channels);
      if ((of_mean == nullptr) != (of_var == nullptr))
        fail(ESPALIER_INVALID_ARGUMENT, "running_mean and running_var go together, one is missing");
      if (size > 0 && size == channels)
        fail(ESPALIER_SHAPE_MISMATCH, "a channel has a single value, its variance takes at least two");
      const BatchNorm<T> norm{view, elements<T>("x", x, size), optional_elements<W>("weight", weight, channels),
                              optional_elements<W>("bias", bias, channels)};
      W* const to_mean = elements<W>("mean", mean, channels);
      W* const to_scale = elements<W>("scale", scale, channels);
      T* const to = elements<T>("y", y, size);
      if (size > 0) norm.train(momentum, eps, of_mean, of_var, to_mean, to_scale, to);
    });
  });
}

espalier_status espalier_cuda_batch_norm_eval(espalier_in x, espalier_in weight, espalier_in bias, espalier_in mean,
                                              espalier_in variance, double eps, espalier_out y,
                                              espalier_channels shape) {
  return guarded(__func__, [&] {
    const Channels view = channels_of(shape);
    const int64_t size = view.size(), channels = view.channels;
    require_eps(eps);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const BatchNorm<T> norm{view, elements<T>("x", x, size), optional_elements<W>("weight", weight, channels),
                              optional_elements<W>("bias", bias, channels)};
      const W* const of_mean = elements<W>("mean", mean, channels);
      const W* const of_variance = elements<W>("variance", variance, channels);
      T* const to = elements<T>("y", y, size);
      if (size > 0) norm.eval(eps, of_mean, of_variance, to);
    });
  });
}

namespace {
// Checks the arguments of both backward functions; run(backward) goes on with them.
template <class T, class Run>
void batch_norm_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean, espalier_out dx,
                         espalier_out dweight, espalier_out dbias, const Channels& view, Run run) {
  using W = wide_t<T>;
  const int64_t size = view.size(), channels = view.channels;
  run(BatchNormBackward<T>{view, elements<T>("dy", dy, size), elements<T>("x", x, size),
                           optional_elements<W>("weight", weight, channels), elements<W>("mean", mean, channels),
                           optional_elements<T>("dx", dx, size), optional_elements<W>("dweight", dweight, channels),
                           optional_elements<W>("dbias", dbias, channels)});
}
}  // namespace

espalier_status espalier_cuda_batch_norm_train_backward(espalier_in dy, espalier_in x, espalier_in weight,
                                                        espalier_in mean, espalier_in scale, espalier_out dx,
                                                        espalier_out dweight, espalier_out dbias,
                                                        espalier_channels shape) {
  return guarded(__func__, [&] {
    const Channels view = channels_of(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      batch_norm_backward<T>(dy, x, weight, mean, dx, dweight, dbias, view, [&](const auto& backward) {
        backward.template run<true>(elements<wide_t<T>>("scale", scale, view.channels));
      });
    });
  });
}

espalier_status espalier_cuda_batch_norm_eval_backward(espalier_in dy, espalier_in x, espalier_in weight,
                                                       espalier_in mean, espalier_in variance, double eps,
                                                       espalier_out dx, espalier_out dweight, espalier_out dbias,
                                                       espalier_channels shape) {
  return guarded(__func__, [&] {
    const Channels view = channels_of(shape);
    require_eps(eps);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      batch_norm_backward<T>(dy, x, weight, mean, dx, dweight, dbias, view, [&](const auto& backward) {
        const wide_t<T>* const from = elements<wide_t<T>>("variance", variance, view.channels);
        const int64_t channels = view.size() > 0 ? view.channels : 0;
        Temporary<wide_t<T>> scale(channels);
        inverse_deviations(channels, from, eps, scale.get());
        backward.template run<false>(scale);
      });
    });
  });
}

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
      by_row_length(shape, "layer_norm", [&](auto threads, unsigned grid) {
        layer_norm_kernel<threads>
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
