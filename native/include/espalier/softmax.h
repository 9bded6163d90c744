/* Softmax and its logarithm along one dimension of an array. */
#ifndef ESPALIER_SOFTMAX_H
#define ESPALIER_SOFTMAX_H

#include "types.h"

/* An array seen as [outer, length, inner]; the function works along `length`. */
typedef struct espalier_strip {
  int64_t outer, length, inner;
} espalier_strip;

/* y = e^x / Σ e^x along the strip, shifted by the largest x so that nothing overflows. All arrays here
 * hold outer · length · inner values of one float type. */
ESPALIER_API espalier_status espalier_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape);

/* dx = y (dy − Σ dy·y), y being what the forward function gave. */
ESPALIER_API espalier_status espalier_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx,
                                                       espalier_strip shape);

/* y = x − ln Σ e^x along the strip. */
ESPALIER_API espalier_status espalier_log_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape);

/* dx = dy − e^y Σ dy, y being what the forward function gave. */
ESPALIER_API espalier_status espalier_log_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx,
                                                           espalier_strip shape);

#endif
