/* Update rules with float32 master weights and a gradient of 16 bits: the steps of espalier/optimizer.h,
 * where `gradient` is float16 or bfloat16 and parameter, state and mask (or a uint8 mask) are float32.
 * `copy`, optional, of the gradient's type, receives the new parameter rounded to it in the same pass. */
#ifndef ESPALIER_CUDA_MIXED_H
#define ESPALIER_CUDA_MIXED_H

#include "../optimizer.h"

ESPALIER_API espalier_status espalier_cuda_mixed_sgd_step(espalier_out parameter, espalier_out copy,
                                                          espalier_in gradient, espalier_out velocity, espalier_in mask,
                                                          espalier_mask_rule mask_rule, double lr, double momentum,
                                                          double dampening, double weight_decay, int64_t nesterov,
                                                          int64_t maximize, int64_t first);

ESPALIER_API espalier_status espalier_cuda_mixed_adam_step(espalier_out parameter, espalier_out copy,
                                                           espalier_in gradient, espalier_out mean, espalier_out square,
                                                           espalier_out largest, espalier_in mask,
                                                           espalier_mask_rule mask_rule, int64_t step, double lr,
                                                           double beta1, double beta2, double eps, double weight_decay,
                                                           int64_t decoupled, int64_t maximize);

ESPALIER_API espalier_status espalier_cuda_mixed_rmsprop_step(espalier_out parameter, espalier_out copy,
                                                              espalier_in gradient, espalier_out square,
                                                              espalier_out mean, espalier_out velocity,
                                                              espalier_in mask, espalier_mask_rule mask_rule, double lr,
                                                              double alpha, double eps, double weight_decay,
                                                              double momentum, int64_t maximize);

#endif
