/* Two-dimensional convolution (cross-correlation, as in every neural-network library) and its gradients. */
#ifndef ESPALIER_CONV_H
#define ESPALIER_CONV_H

#include "types.h"

/* The geometry of a convolution of x [n, in_channels, in_height, in_width] with
 * weight [out_channels, in_channels / groups, kernel_height, kernel_width] into
 * y [n, out_channels, out_height, out_width]:
 *
 *   y[b, o, i, j] = sum over c, p, q of weight[o, c, p, q]
 *                   * x[b, c of o's group, i * stride_height + p * dilation_height - padding_top,
 *                                          j * stride_width + q * dilation_width - padding_left]
 *
 * where x counts as zero outside of its plane. The output size is stated, not derived: what lies below
 * and right of x is padding of whatever extent the output needs, so padding may be lopsided ("same"
 * with an even kernel) and a transposed convolution may have any output padding.
 * Channels are multiples of `groups`; sizes are 0 or more; kernel, stride, dilation and groups 1 or
 * more; all below 2^31. */
typedef struct espalier_conv2d {
  int64_t n, in_channels, in_height, in_width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_height, stride_width;
  int64_t padding_top, padding_left;
  int64_t dilation_height, dilation_width;
  int64_t groups;
} espalier_conv2d;

/* y as above, plus bias[o] where `bias` [out_channels] is not NULL; with `relu` 1, max(y, 0). */
ESPALIER_API espalier_status espalier_conv2d_forward(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu,
                                                     espalier_out y, espalier_conv2d shape);

/* dx, the gradient of sum(dy * y) for x. It is also the transposed convolution of dy, and therefore
 * takes a bias: bias[c] is added where `bias` [in_channels] is not NULL. */
ESPALIER_API espalier_status espalier_conv2d_data_grad(espalier_in weight, espalier_in dy, espalier_in bias,
                                                       espalier_out dx, espalier_conv2d shape);

/* dweight, the gradient of sum(dy * y) for the weight. */
ESPALIER_API espalier_status espalier_conv2d_weight_grad(espalier_in x, espalier_in dy, espalier_out dweight,
                                                         espalier_conv2d shape);

/* sums[c], the sum of x [n, channels, plane] over n and plane: the gradient of a bias per channel. */
ESPALIER_API espalier_status espalier_channel_sum(int64_t n, int64_t channels, int64_t plane, espalier_in x,
                                                  espalier_out sums);

#endif
