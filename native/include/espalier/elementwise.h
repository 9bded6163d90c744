/* Functions applied element by element. */
#ifndef ESPALIER_ELEMENTWISE_H
#define ESPALIER_ELEMENTWISE_H

#include "types.h"

typedef enum espalier_unary { ESPALIER_UNARY_RELU = 0, ESPALIER_UNARY_EXP = 1 } espalier_unary;

/* y[i] = kind(x[i]); x and y of one length and type. `parameter` is the function's second
 * argument where it has one (see espalier_unary), else ignored. May run in place. */
ESPALIER_API espalier_status espalier_unary_forward(espalier_unary kind, double parameter, espalier_in x,
                                                    espalier_out y);

/* y[i] += x[i]; one length and type. */
ESPALIER_API espalier_status espalier_accumulate(espalier_in x, espalier_out y);

#endif
