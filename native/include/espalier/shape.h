/* Moving elements: permutations, slices, padding, repetition, selection. */
#ifndef ESPALIER_SHAPE_H
#define ESPALIER_SHAPE_H

#include "types.h"

/* y[y_offset + i·y_strides] = x[x_offset + i·x_strides] for every index i of `shape`; steps count
 * elements and may be negative, those of x also 0 (an element repeats). Elements of y not reached
 * stay as they are; no two indices may reach the same one, nor lie within each other's span. x and y
 * share any one element type. */
ESPALIER_API espalier_status espalier_copy_strided(espalier_dims shape, espalier_dims x_strides, int64_t x_offset,
                                                   espalier_dims y_strides, int64_t y_offset, espalier_in x,
                                                   espalier_out y);

/* y [outer, count, inner] = the lines of x [outer, n, inner] that indices (int32, count of them, each
 * in [0, n)) name. x and y share any one element type. */
ESPALIER_API espalier_status espalier_take(int64_t outer, int64_t n, int64_t inner, espalier_in x, espalier_in indices,
                                           espalier_out y);

/* The gradient of espalier_take: grad_x [outer, n, inner] = for each line, the sum of the lines of
 * grad [outer, count, inner] that came from it, in their order. */
ESPALIER_API espalier_status espalier_take_backward(int64_t outer, int64_t n, int64_t inner, espalier_in grad,
                                                    espalier_in indices, espalier_out grad_x);

/* y[i] = a[i] where mask[i] (uint8) is not 0, else b[i]. All of one length; a, b and y of one element
 * type, float32 or float64. A NULL a or b stands for zeros. */
ESPALIER_API espalier_status espalier_choose(espalier_in mask, espalier_in a, espalier_in b, espalier_out y);

#endif
