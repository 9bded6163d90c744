/* Normalisation: per channel over a batch, and per row. */
#ifndef ESPALIER_NORM_H
#define ESPALIER_NORM_H

#include "types.h"

/* An array [batch, channels, size]: `size` is the product of the dimensions behind the channels. */
typedef struct espalier_channels {
  int64_t batch, channels, size;
} espalier_channels;

/* y = (x − mean) / sqrt(var + eps) · weight + bias with each channel's own mean and biased variance over
 * batch and size. `weight` and `bias` (channels values) may be absent: 1 and 0. `mean` and `scale`
 * (channels values each) receive the mean and 1 / sqrt(var + eps), for the backward function.
 * `running_mean` and `running_var`, absent or channels values each, become
 * (1 − momentum) · old + momentum · batch statistic, the variance there unbiased. An array without
 * elements changes nothing. */
ESPALIER_API espalier_status espalier_batch_norm_train(espalier_in x, espalier_in weight, espalier_in bias,
                                                       double momentum, double eps, espalier_out running_mean,
                                                       espalier_out running_var, espalier_out mean, espalier_out scale,
                                                       espalier_out y, espalier_channels shape);

/* Gradients of it: dx, dweight, dbias; each may be absent. */
ESPALIER_API espalier_status espalier_batch_norm_train_backward(espalier_in dy, espalier_in x, espalier_in weight,
                                                                espalier_in mean, espalier_in scale, espalier_out dx,
                                                                espalier_out dweight, espalier_out dbias,
                                                                espalier_channels shape);

/* y = (x − mean) / sqrt(var + eps) · weight + bias with given statistics. */
ESPALIER_API espalier_status espalier_batch_norm_eval(espalier_in x, espalier_in weight, espalier_in bias,
                                                      espalier_in mean, espalier_in variance, double eps,
                                                      espalier_out y, espalier_channels shape);

/* Gradients of it: dx, dweight, dbias; each may be absent. */
ESPALIER_API espalier_status espalier_batch_norm_eval_backward(espalier_in dy, espalier_in x, espalier_in weight,
                                                               espalier_in mean, espalier_in variance, double eps,
                                                               espalier_out dx, espalier_out dweight,
                                                               espalier_out dbias, espalier_channels shape);

/* Rows of values. */
typedef struct espalier_rows {
  int64_t rows, size;
} espalier_rows;

/* Each row normalised by its own mean and biased variance: y = (x − mean) / sqrt(var + eps) · weight + bias,
 * `weight` and `bias` of one row's length, each may be absent. `mean` and `scale` (rows values each)
 * receive the mean and 1 / sqrt(var + eps). */
ESPALIER_API espalier_status espalier_layer_norm_forward(espalier_in x, espalier_in weight, espalier_in bias,
                                                         double eps, espalier_out mean, espalier_out scale,
                                                         espalier_out y, espalier_rows shape);

/* Gradients of it: dx, dweight, dbias; each may be absent. */
ESPALIER_API espalier_status espalier_layer_norm_backward(espalier_in dy, espalier_in x, espalier_in weight,
                                                          espalier_in mean, espalier_in scale, espalier_out dx,
                                                          espalier_out dweight, espalier_out dbias,
                                                          espalier_rows shape);

#endif
