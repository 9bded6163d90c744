// Statistics of channels: what batch norms of images with channels last make of sums, before and after the
// passes over the elements.
#pragma once

#include "cuda/nhwc.cuh"

namespace espalier::cuda::nhwc {

// Moments of each kMomentRows rows of x, as a convolution leaves them.
template <class T>
void describe(const T* x, Moments* moments, const espalier_nhwc& shape);

inline int64_t moments_length(const espalier_nhwc& shape) {
  return 2 * ceil_div(shape.rows, kMomentRows) * shape.channels;
}

// Parameters and statistics of a norm; weight, bias and the running statistics may be null.
struct Statistics {
  const float *weight, *bias;
  float *running_mean, *running_var, *mean, *scale;
  double momentum, eps;
};

inline Statistics checked_statistics(espalier_in weight, espalier_in bias, espalier_out running_mean,
                                     espalier_out running_var, espalier_out mean, espalier_out scale, double momentum,
                                     double eps, int64_t channels) {
  return {optional_elements<float>("weight", weight, channels),
          optional_elements<float>("bias", bias, channels),
          optional_elements<float>("running_mean", running_mean, channels),
          optional_elements<float>("running_var", running_var, channels),
          elements<float>("mean", mean, channels),
          elements<float>("scale", scale, channels),
          momentum,
          eps};
}

// The norm of a channel: y = x · factor + shift.
struct Affine {
  float factor, shift;
};

// Writes mean, scale and running statistics, and the norm of each channel, from moments of x (null: of its own).
template <class T>
void take_statistics(const espalier_nhwc& shape, const T* x, const Moments* moments, const Statistics& statistics,
                     Affine* affine);

// The gradient for x of a channel: dx = of_g · g + of_x · x + shift.
struct Blend {
  float of_g, of_x, shift;
};

// From `blocks` sums of g and of g · (x − mean) for each channel: the gradients of weight and bias, each of which
// may be null, and of x.
void finish_gradient(const espalier_nhwc& shape, const float2* sums, int64_t blocks, const float* weight,
                     const float* mean, const float* scale, float* dweight, float* dbias, Blend* blend);

}  // namespace espalier::cuda::nhwc
