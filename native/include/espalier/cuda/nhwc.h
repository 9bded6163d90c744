/* Images with their channels last: what a convolutional network does between its first layer and its last,
 * on the GPU alone. Tensor cores sum over neighbouring channels, so a network whose activations stay in this
 * layout spares the copies that espalier_cuda_conv2d_* make on the way in.
 *
 * Activations are float32, float16 or bfloat16, all arrays of one call alike, and start at multiples of 16
 * bytes. Parameters, statistics and gradients of parameters of norms are float32 always. */
#ifndef ESPALIER_CUDA_NHWC_H
#define ESPALIER_CUDA_NHWC_H

#include "../conv.h"

/* The convolution of conv.h with x [n, in_height, in_width, in_channels], weight [out_channels,
 * kernel_height, kernel_width, in_channels / groups] and y [n, out_height, out_width, out_channels]. Fastest
 * where the channels of a group are a multiple of 8 (4 in float32): others are padded in a copy. Kernels go
 * up to 15 × 15 and strides up to 8; where y has elements x must have some, and the other way round.
 *
 * `moments` (float32, absent or espalier_cuda_moments_length values) receives what
 * espalier_cuda_batch_norm_train_nhwc needs of y, which it then does not have to read once more. */
ESPALIER_API espalier_status espalier_cuda_conv2d_forward_nhwc(espalier_in x, espalier_in weight, espalier_in bias,
                                                               int64_t relu, espalier_out y, espalier_out moments,
                                                               espalier_conv2d shape);

/* dx, plus `add` (dx's length and type) where it is not absent: another gradient of the same x. */
ESPALIER_API espalier_status espalier_cuda_conv2d_data_grad_nhwc(espalier_in weight, espalier_in dy, espalier_in add,
                                                                 espalier_out dx, espalier_conv2d shape);

/* dweight, of x's type or float32. */
ESPALIER_API espalier_status espalier_cuda_conv2d_weight_grad_nhwc(espalier_in x, espalier_in dy, espalier_out dweight,
                                                                   espalier_conv2d shape);

/* An array [rows, channels]; rows are the positions of all images. `channels` is a multiple of 8 below. */
typedef struct espalier_nhwc {
  int64_t rows, channels;
} espalier_nhwc;

/* Floats that describe the channels of so many rows: a mean and a sum of squares for every 128 rows. */
ESPALIER_API espalier_status espalier_cuda_moments_length(espalier_nhwc shape, int64_t* length);

/* z = (x − mean) / sqrt(var + eps) · weight + bias (+ residual, where it is not absent), with each channel's own mean
 * and biased variance over the rows; y = z, or max(z, 0) where `relu` is 1. `moments` is absent, or what the
 * convolution that made x left. `mean` and `scale` receive the mean and 1 / sqrt(var + eps); the running ones are
 * those of espalier_batch_norm_train, and may be absent. `signs` (uint8, rows · channels / 8 values; absent without
 * relu) receives a bit for each element, the lowest for the first channel of eight: whether z > 0. */
ESPALIER_API espalier_status espalier_cuda_batch_norm_train_nhwc(espalier_in x, espalier_in moments, espalier_in weight,
                                                                 espalier_in bias, espalier_in residual, int64_t relu,
                                                                 double momentum, double eps, espalier_out running_mean,
                                                                 espalier_out running_var, espalier_out mean,
                                                                 espalier_out scale, espalier_out y, espalier_out signs,
                                                                 espalier_nhwc shape);

/* Gradients of it: dx, dweight, dbias, and, where it is not absent, that of the residual. `signs` is absent where
 * there was no relu. dx may be dy. */
ESPALIER_API espalier_status espalier_cuda_batch_norm_train_backward_nhwc(
    espalier_in dy, espalier_in x, espalier_in signs, espalier_in weight, espalier_in mean, espalier_in scale,
    espalier_out dx, espalier_out dresidual, espalier_out dweight, espalier_out dbias, espalier_nhwc shape);

/* Windows over `images` of height × width × channels, as in pool.h, of fewer than 256 taps. */
typedef struct espalier_nhwc_pool2d {
  int64_t images, channels, height, width, out_height, out_width;
  int64_t kernel_height, kernel_width, stride_height, stride_width, padding_height, padding_width;
} espalier_nhwc_pool2d;

/* y = the largest value of each window, the first in reading order of equal ones; a NaN is larger than all.
 * `taps` (uint8, y's length) receives its number in the window, row · kernel_width + column; 255 (and y = −∞) for a
 * window without any value. */
ESPALIER_API espalier_status espalier_cuda_max_pool2d_forward_nhwc(espalier_in x, espalier_out y, espalier_out taps,
                                                                   espalier_nhwc_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_max_pool2d_backward_nhwc(espalier_in dy, espalier_in taps, espalier_out dx,
                                                                    espalier_nhwc_pool2d shape);

/* Both at once, as networks begin: y is the largest value of each window of max(norm(x), 0), which itself is not
 * written. `rows` of x are images · height · width. `taps` is 255 where the largest is 0, whose gradient goes
 * nowhere. Otherwise as espalier_cuda_batch_norm_train_nhwc and the pooling. */
ESPALIER_API espalier_status espalier_cuda_batch_norm_max_pool_train_nhwc(
    espalier_in x, espalier_in moments, espalier_in weight, espalier_in bias, double momentum, double eps,
    espalier_out running_mean, espalier_out running_var, espalier_out mean, espalier_out scale, espalier_out y,
    espalier_out taps, espalier_nhwc_pool2d shape);
ESPALIER_API espalier_status espalier_cuda_batch_norm_max_pool_train_backward_nhwc(
    espalier_in dy, espalier_in x, espalier_in taps, espalier_in weight, espalier_in mean, espalier_in scale,
    espalier_out dx, espalier_out dweight, espalier_out dbias, espalier_nhwc_pool2d shape);

/* y [images, channels] = the mean over the positions of x [images, positions, channels], and its gradient. */
ESPALIER_API espalier_status espalier_cuda_mean_pool_nhwc(int64_t images, int64_t positions, int64_t channels,
                                                          espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_mean_pool_backward_nhwc(int64_t images, int64_t positions, int64_t channels,
                                                                   espalier_in dy, espalier_out dx);

#endif
