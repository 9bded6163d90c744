/* Losses: how far predictions are from targets, and which way to go. */
#ifndef ESPALIER_LOSS_H
#define ESPALIER_LOSS_H

#include "types.h"

/* What becomes of the losses of the rows (or elements): kept apart, averaged or added. The `loss`
 * array then holds one value a row (or element), or a single one. */
typedef enum espalier_reduction {
  ESPALIER_REDUCTION_NONE = 0,
  ESPALIER_REDUCTION_MEAN = 1,
  ESPALIER_REDUCTION_SUM = 2
} espalier_reduction;

/* Rows of scores for classes. */
typedef struct espalier_class_rows {
  int64_t rows, classes;
} espalier_class_rows;

/* Cross entropy of the softmax of x (rows × classes) with a class number per row:
 *   loss[r] = (1 − ε) w[t] (−log p[t]) + ε / classes · Σ_c w[c] (−log p[c]),  p = softmax(x[r]), t = target[r]
 * `target` is int32 in [0, classes), or `ignore_index`: such a row counts nothing. `weight` (classes
 * values) may be absent: all ones. ε = `label_smoothing`, in [0, 1]. The mean divides by the sum of
 * the targets' weights, and is NaN where that is zero. `kept` (2 rows + 1 values) receives what the
 * backward function needs. */
ESPALIER_API espalier_status espalier_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                            espalier_reduction reduction, int64_t ignore_index,
                                                            double label_smoothing, espalier_out loss,
                                                            espalier_out kept, espalier_class_rows shape);

/* dx from the gradient of the loss; the other arguments as the forward function had them. */
ESPALIER_API espalier_status espalier_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                             espalier_in weight, espalier_reduction reduction,
                                                             int64_t ignore_index, double label_smoothing,
                                                             espalier_in kept, espalier_out dx,
                                                             espalier_class_rows shape);

/* The same with a probability per class as target (rows × classes values, smoothed by ε as above):
 *   loss[r] = Σ_c w[c] t[c] (−log p[c]);  the mean divides by the number of rows. */
ESPALIER_API espalier_status espalier_soft_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                                 espalier_reduction reduction, double label_smoothing,
                                                                 espalier_out loss, espalier_out kept,
                                                                 espalier_class_rows shape);

/* dx and dtarget, either of which may be absent. */
ESPALIER_API espalier_status espalier_soft_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                                  espalier_in weight, espalier_reduction reduction,
                                                                  double label_smoothing, espalier_in kept,
                                                                  espalier_out dx, espalier_out dtarget,
                                                                  espalier_class_rows shape);

/* Negative log-likelihood: loss[r] = −w[t] x[r, t], x being log-probabilities. Targets, weights and mean
 * as in the cross entropy. `divisor` (1 value) receives what the mean divided by. */
ESPALIER_API espalier_status espalier_nll_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                  espalier_reduction reduction, int64_t ignore_index, espalier_out loss,
                                                  espalier_out divisor, espalier_class_rows shape);

ESPALIER_API espalier_status espalier_nll_backward(espalier_in dloss, espalier_in target, espalier_in weight,
                                                   espalier_reduction reduction, int64_t ignore_index,
                                                   espalier_in divisor, espalier_out dx, espalier_class_rows shape);

/* Losses of a difference d = x − target: d²; |d|; |d| with a parabola in |d| < β, d²/2β (smooth L1); the
 * same times β (Huber). */
typedef enum espalier_distance {
  ESPALIER_DISTANCE_SQUARE = 0,
  ESPALIER_DISTANCE_ABSOLUTE = 1,
  ESPALIER_DISTANCE_SMOOTH = 2,
  ESPALIER_DISTANCE_HUBER = 3
} espalier_distance;

/* x and target of one length; the mean of no elements is NaN. `beta` > 0 is used by the last two. */
ESPALIER_API espalier_status espalier_distance_forward(espalier_distance kind, double beta, espalier_in x,
                                                       espalier_in target, espalier_reduction reduction,
                                                       espalier_out loss);

/* dx and dtarget, either of which may be absent. */
ESPALIER_API espalier_status espalier_distance_backward(espalier_distance kind, double beta, espalier_in dloss,
                                                        espalier_in x, espalier_in target, espalier_reduction reduction,
                                                        espalier_out dx, espalier_out dtarget);

/* Binary cross entropy of the logistic function of x, elementwise:
 *   loss = w [(1 − t) x + (1 + (q − 1) t) ln(1 + e^−x)],
 * w = `weight`, q = `pos_weight`, each absent (1) or of a length that divides x's: it repeats. */
ESPALIER_API espalier_status espalier_bce_with_logits_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                              espalier_in pos_weight, espalier_reduction reduction,
                                                              espalier_out loss);

/* dx and dtarget, either of which may be absent. */
ESPALIER_API espalier_status espalier_bce_with_logits_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                               espalier_in weight, espalier_in pos_weight,
                                                               espalier_reduction reduction, espalier_out dx,
                                                               espalier_out dtarget);

#endif
