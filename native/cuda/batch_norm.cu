// Batch normalisation. Where x is float16 or bfloat16, all that belongs to a channel (weight, bias, mean, scale,
// running statistics, gradients of weight and bias) is float32.
#include "cuda/norm_sums.cuh"
#include "espalier/cuda/operations.h"
#include "espalier/norm.h"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::norm;

namespace {

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

Channels channels_of(espalier_channels shape) {
  checked_product("shape", {shape.batch, shape.channels, shape.size});
  return {shape.batch, shape.channels, shape.size};
}

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
