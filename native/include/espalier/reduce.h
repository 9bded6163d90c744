/* Reductions over dimensions of an array. */
#ifndef ESPALIER_REDUCE_H
#define ESPALIER_REDUCE_H

#include "types.h"

/* y = sums of x over the dimensions whose entry in `reduced` is 1 (the others are 0), divided by
 * `divisor`. x has the given shape; y holds the dimensions that stay, in their order. Sums run in a
 * fixed tree, so that float32 stays accurate and the bits do not depend on the threads. */
ESPALIER_API espalier_status espalier_sum(espalier_dims shape, espalier_dims reduced, double divisor, espalier_in x,
                                          espalier_out y);

/* The largest value (sign 1) or the smallest (sign -1) of each line of x [outer, n, inner] along its
 * middle, and where it stands: the first of equal ones; a NaN counts as the most extreme. values and
 * indices (int32) have outer * inner elements; n is at least 1. Either may be NULL. */
ESPALIER_API espalier_status espalier_extreme(int64_t outer, int64_t n, int64_t inner, int64_t sign, espalier_in x,
                                              espalier_out values, espalier_out indices);

/* y [outer, n, inner] = 0 but at the index of each line, where it takes the value of that line. */
ESPALIER_API espalier_status espalier_place(int64_t outer, int64_t n, int64_t inner, espalier_in values,
                                            espalier_in indices, espalier_out y);

#endif
