/* One step of an update rule for one parameter: parameter, gradient and state in a single pass.
 *
 * `parameter`, `gradient`, every state array and the mask have one length and one type. State
 * starts at zero unless said otherwise. `mask` is optional; what it does, `mask_rule` says. */
#ifndef ESPALIER_OPTIMIZER_H
#define ESPALIER_OPTIMIZER_H

#include "types.h"

typedef enum espalier_mask_rule {
  ESPALIER_MASK_RULE_GRADIENT = 0, /* the gradient is multiplied by the mask; decay and momentum still act */
  ESPALIER_MASK_RULE_FREEZE = 1    /* where the mask is 0, parameter and state stay as they are */
} espalier_mask_rule;

/* Stochastic gradient descent. g = ±gradient + weight_decay·p; with momentum v = momentum·v +
 * (1 − dampening)·g, on the `first` step v = g; p −= lr·(v, or g + momentum·v if `nesterov`).
 * `velocity` is optional where momentum is 0. `first`, `nesterov` and `maximize` are 0 or 1. */
ESPALIER_API espalier_status espalier_sgd_step(espalier_out parameter, espalier_in gradient, espalier_out velocity,
                                               espalier_in mask, espalier_mask_rule mask_rule, double lr,
                                               double momentum, double dampening, double weight_decay, int64_t nesterov,
                                               int64_t maximize, int64_t first);

/* Adam (Kingma & Ba 2015); AdamW (Loshchilov & Hutter 2019) where `decoupled` is 1: decay then
 * shrinks p by 1 − lr·weight_decay instead of entering the gradient. With m, s the running means of
 * g and g², both corrected for their start at zero: p −= lr·m̂ / (√ŝ + eps). Where `largest` is
 * given (amsgrad) it takes the place of s and holds its maximum so far. `step` counts from 1. */
ESPALIER_API espalier_status espalier_adam_step(espalier_out parameter, espalier_in gradient, espalier_out mean,
                                                espalier_out square, espalier_out largest, espalier_in mask,
                                                espalier_mask_rule mask_rule, int64_t step, double lr, double beta1,
                                                double beta2, double eps, double weight_decay, int64_t decoupled,
                                                int64_t maximize);

/* RMSprop (Hinton 2012). s is the running mean of g² by `alpha`; where `mean` is given (centered)
 * the square of the running mean of g is taken from it. d = g / (√s + eps); with momentum
 * v = momentum·v + d takes the place of d; p −= lr·d. `velocity` is optional where momentum is 0. */
ESPALIER_API espalier_status espalier_rmsprop_step(espalier_out parameter, espalier_in gradient, espalier_out square,
                                                   espalier_out mean, espalier_out velocity, espalier_in mask,
                                                   espalier_mask_rule mask_rule, double lr, double alpha, double eps,
                                                   double weight_decay, double momentum, int64_t maximize);

/* y = factor·x. May run in place. */
ESPALIER_API espalier_status espalier_scale_gradient(espalier_in x, double factor, espalier_out y);

/* y = x brought into [−limit, limit]; NaN stays NaN. May run in place. */
ESPALIER_API espalier_status espalier_clamp_gradient(espalier_in x, double limit, espalier_out y);

#endif
