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

/* An accumulator of 2 ≤ bits ≤ 32, two's complement, and the codes of what is multiplied into it:
 * input_min ≤ 0 ≤ input_max, not both 0, within ±2^15. */
typedef struct espalier_accumulator {
  int64_t bits, input_min, input_max;
} espalier_accumulator;

/* Whole numbers near the weights v [rows, fan_in] of which no sum of products, in any order and under any
 * inputs, leaves the accumulator. A row is a neuron; u = v / scale are its weights in units of a code, scale
 * [rows] or absent (1); its sum starts from bias, whole numbers [rows] within the accumulator or absent (0).
 * With p the sum of its positive codes and n that of the magnitudes of its negative ones,
 *   input_max·p − input_min·n ≤ 2^(bits−1) − 1 − bias  and  input_max·n − input_min·p ≤ 2^(bits−1) + bias,
 * which is necessary as well.
 *
 * Codes are sign(u)·clamp(round(|u| − t), 0, largest), 1 ≤ largest < 2^15, ties to even, with the least t ≥ 0 of
 * each sign that fits; where it lies on the border of several codes, those of lower index have what is
 * left. So the unit that brings the codes nearest to u comes first, and of inputs of one sign they are the
 * nearest of all that fit. Under inputs of both signs, where every weight counts at both ends, t is found for
 * both signs together, and then less for the one that can use what is left. v must be finite and scale positive; v,
 * scale, bias and codes are of one type; codes may be v. */
ESPALIER_API espalier_status espalier_budget_codes(espalier_in v, espalier_in scale, espalier_in bias, int64_t rows,
                                                   int64_t fan_in, int64_t largest, espalier_out codes,
                                                   espalier_accumulator accumulator);

/* The weights v brought to where the accumulator has codes for them: u clamped to ±(largest + 0.49), then
 * every magnitude less by what brings the sums of the real numbers p and n to the bounds above, nothing
 * below 0. Under inputs of one sign each sign has an amount of its own (the projection onto a simplex: Duchi
 * et al. 2008), else they share the larger one. Where `mask`, optional, of v's length and type, is 0, entries
 * count as 0 and stay as they are. What need not move keeps every bit. y may be v. */
ESPALIER_API espalier_status espalier_budget_project(espalier_in v, espalier_in scale, espalier_in mask,
                                                     espalier_in bias, int64_t rows, int64_t fan_in, int64_t largest,
                                                     espalier_out y, espalier_accumulator accumulator);

/* Sums of x [outer, channels, inner] to codes: y = clamp(round(x·m), 0, top), m = exp(log_multiplier) for each
 * channel, ties to even; a whole number 1 ≤ top < 2^15. Where x is NaN so is y. y may be x. */
ESPALIER_API espalier_status espalier_requantise_forward(espalier_in x, espalier_in log_multiplier, int64_t outer,
                                                         int64_t channels, int64_t inner, int64_t top, espalier_out y);

/* The gradients of x and of the multipliers' logarithms for `gradient`, that of y: it passes where x·m rounds to
 * 0 … top, times m and times x·m. Both results are optional; `gradient_x` may be `gradient`. */
ESPALIER_API espalier_status espalier_requantise_backward(espalier_in gradient, espalier_in x,
                                                          espalier_in log_multiplier, int64_t outer, int64_t channels,
                                                          int64_t inner, int64_t top, espalier_out gradient_x,
                                                          espalier_out gradient_log);

#endif
