/* Convolution by a pruned weight of float32, prepared once for its mask: each pass costs what is kept.
 *
 * A convolution is named by a number that espalier_sparse_conv2d_create gives and espalier_sparse_conv2d_free takes
 * back; a number that names none is an error. Its kept entries stand in the order of the dense weight: `values` are
 * always in that order, one a kept entry. It is read by any number of calls at once; setting its values while
 * another call reads them is the caller's fault. */
#ifndef ESPALIER_SPARSE_CONV_H
#define ESPALIER_SPARSE_CONV_H

#include "conv.h"
#include "gemm.h"
#include "types.h"

/* How the passes of a sparse convolution are computed. */
typedef enum espalier_sparse_kernel {
  ESPALIER_SPARSE_KERNEL_AUTOMATIC = 0, /* generated code where it can be had and pays, else portable */
  ESPALIER_SPARSE_KERNEL_PORTABLE = 1,
  ESPALIER_SPARSE_KERNEL_GENERATED = 2 /* an error where code cannot be generated */
} espalier_sparse_kernel;

/* The weight [out_channels, in_channels / groups, kernel_height, kernel_width]. */
typedef struct espalier_sparse_conv2d {
  int64_t in_channels, out_channels, kernel_height, kernel_width, groups;
} espalier_sparse_conv2d;

/* A convolution by the entries of `weight` where `mask` (of its length, float32 or uint8) is not 0, or, where the
 * mask is absent, where the weight is not 0. A kept entry may hold 0. Both are read, none is kept. The other sizes
 * of a geometry are given with each call; code is generated at the first call of each pass with a geometry. */
ESPALIER_API espalier_status espalier_sparse_conv2d_create(espalier_in weight, espalier_in mask,
                                                           espalier_sparse_kernel kernel, int64_t* convolution,
                                                           espalier_sparse_conv2d size);
ESPALIER_API espalier_status espalier_sparse_conv2d_free(int64_t convolution);

/* How many entries are kept. */
ESPALIER_API espalier_status espalier_sparse_conv2d_size(int64_t convolution, int64_t* count);
/* Where they stand in the dense weight (int32). */
ESPALIER_API espalier_status espalier_sparse_conv2d_positions(int64_t convolution, espalier_out index);
/* The values, read and written; writing them costs a pass over them and no code. */
ESPALIER_API espalier_status espalier_sparse_conv2d_values(int64_t convolution, espalier_out values);
ESPALIER_API espalier_status espalier_sparse_conv2d_set_values(int64_t convolution, espalier_in values);

/* Bytes of machine code that the convolution holds so far; 0 where its passes are portable. */
ESPALIER_API espalier_status espalier_sparse_conv2d_code_size(int64_t convolution, int64_t* bytes);

/* Nanoseconds that were spent so far on making the convolution and what its passes prepare, as
 * espalier_sparse_making_time. */
ESPALIER_API espalier_status espalier_sparse_conv2d_making_time(int64_t convolution, double* nanoseconds);

/* As espalier_conv2d_forward: y = finish(the convolution of x + bias), where `bias` [out_channels] is optional. */
ESPALIER_API espalier_status espalier_sparse_conv2d_forward(int64_t convolution, espalier_in x, espalier_in bias,
                                                            espalier_finish finish, espalier_out y,
                                                            espalier_conv2d shape);

/* dx, the gradient of sum(dy * y) for x. */
ESPALIER_API espalier_status espalier_sparse_conv2d_data_grad(int64_t convolution, espalier_in dy, espalier_out dx,
                                                              espalier_conv2d shape);

/* The gradient of the kept entries, in their order; the dense one is never made. */
ESPALIER_API espalier_status espalier_sparse_conv2d_weight_grad(int64_t convolution, espalier_in x, espalier_in dy,
                                                                espalier_out values, espalier_conv2d shape);

/* As espalier_sparse_costs: [forward, gradient of x, gradient of the weight], by this convolution and by a dense one.
 */
ESPALIER_API espalier_status espalier_sparse_conv2d_costs(int64_t convolution, espalier_out sparse, espalier_out dense,
                                                          espalier_conv2d shape);

#endif
