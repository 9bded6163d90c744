/* Fake quantisation: rounding to the grid of a quantiser in floating point, with its gradients, and
 * the statistics that scales are taken from.
 *
 * x is viewed as [outer, channels, inner]: a weight with a scale for each output channel has outer
 * 1, channels = its first dimension; a batch of images with a scale for each channel has outer N,
 * inner H·W; per tensor all is inner and channels is 1. `scale` and `zero` hold a value a channel.
 * `mask` is optional, of x's length and type: then x stands for x·mask throughout, and the gradient
 * of x receives the factor too. */
#ifndef ESPALIER_QUANT_H
#define ESPALIER_QUANT_H

#include "types.h"

typedef enum espalier_rounding_gradient {
  /* x receives the gradient where its rounded value lies in range; the scale Σ g·(q − zero − inside·x/scale):
   * for activations, and learned scales. */
  ESPALIER_ROUNDING_GRADIENT_CLAMP = 0,
  /* x receives the gradient everywhere; the scale Σ g·(q − zero − x/scale): for weights whose scale
   * is a statistic of them. */
  ESPALIER_ROUNDING_GRADIENT_CLAMP_STE = 1,
  /* CLAMP for max(x, 0) in place of x, where qmin is 0 (and zero is): x ≤ 0 receives nothing. */
  ESPALIER_ROUNDING_GRADIENT_CLAMP_POSITIVE = 2
} espalier_rounding_gradient;

/* q = clamp(round(x / scale + zero), qmin, qmax), ties to even, the division rounded to x's type;
 * y = (q − zero)·scale. `zero` is optional (0), and so is `codes`, int32 of x's length, which
 * receives q. qmin ≤ qmax are whole numbers within ±2^31. A scale that is not positive and finite is
 * an error. Where x is NaN so is y, and q is qmin. y may be x. */
ESPALIER_API espalier_status espalier_fake_quant_forward(espalier_in x, espalier_in scale, espalier_in zero,
                                                         espalier_in mask, int64_t outer, int64_t channels,
                                                         int64_t inner, double qmin, double qmax, espalier_out y,
                                                         espalier_out codes);

/* The gradients of x and of the scale for `gradient`, that of y. Both results are optional;
 * `gradient_x` may be `gradient`. */
ESPALIER_API espalier_status espalier_fake_quant_backward(espalier_in gradient, espalier_in x, espalier_in scale,
                                                          espalier_in zero, espalier_in mask, int64_t outer,
                                                          int64_t channels, int64_t inner, double qmin, double qmax,
                                                          espalier_rounding_gradient rule, espalier_out gradient_x,
                                                          espalier_out gradient_scale);

/* x [channels, inner] on the grid of its own largest magnitudes: scale = max(|x|, smallest) / top for each
 * channel, which `scale` receives, and `index` (int32) where in x the largest stands first; −1 without
 * elements. y as espalier_fake_quant_forward has it, without zero and mask. */
ESPALIER_API espalier_status espalier_fake_quant_largest_forward(espalier_in x, int64_t channels, int64_t inner,
                                                                 double top, double smallest, double qmin, double qmax,
                                                                 espalier_out y, espalier_out scale,
                                                                 espalier_out index);

/* The gradient of x for `gradient`, that of y, straight through; at `index` also that of the scale, by what the
 * scale is to the largest. `gradient_x` may be `gradient`. */
ESPALIER_API espalier_status espalier_fake_quant_largest_backward(espalier_in gradient, espalier_in x,
                                                                  espalier_in scale, espalier_in index,
                                                                  int64_t channels, int64_t inner, double smallest,
                                                                  double qmin, double qmax, espalier_out gradient_x);

/* The largest |x| of each channel and, where `index` (int32) is given, the first place in x that has
 * it. NaN counts as the largest. A channel without elements gives 0 and −1. */
ESPALIER_API espalier_status espalier_abs_max(espalier_in x, espalier_in mask, int64_t outer, int64_t channels,
                                              int64_t inner, espalier_out value, espalier_out index);

#endif
