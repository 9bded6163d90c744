/* Sparse matrices of float32 and their products: a pruned weight, prepared once for its mask.
 *
 * A matrix is named by a number that espalier_sparse_create gives and espalier_sparse_free takes back; a
 * number that names none is an error. Its kept entries have an order, row by row and within a row by
 * column: `values` are always in that order, one a kept entry. A matrix is read by any number of calls at
 * once; setting its values while another call reads them is the caller's fault.
 *
 * X and Y hold a vector a sample: `samples` of them, stored as columns (X is columns×samples, Y is
 * rows×samples, as a convolution has its channels) or, where `by_row` is 1, as rows (X is
 * samples×columns, Y is samples×rows, as a linear layer has its batch). */
#ifndef ESPALIER_SPARSE_H
#define ESPALIER_SPARSE_H

#include "gemm.h"
#include "types.h"

/* How a matrix is multiplied. */
typedef enum espalier_sparse_kernel {
  ESPALIER_SPARSE_KERNEL_AUTOMATIC = 0, /* generated code where it can be had and pays, else portable */
  ESPALIER_SPARSE_KERNEL_PORTABLE = 1,
  ESPALIER_SPARSE_KERNEL_GENERATED = 2 /* an error where code cannot be generated */
} espalier_sparse_kernel;

/* A matrix with the entries of `weight` [rows, columns] where `mask` (of its length, float32 or uint8) is not 0,
 * or, where the mask is absent, where the weight is not 0. A kept entry may hold 0. Both are read, none is kept.
 * Code is generated at the first product, and for products by the transpose at the first of those. */
ESPALIER_API espalier_status espalier_sparse_create(int64_t rows, int64_t columns, espalier_in weight, espalier_in mask,
                                                    espalier_sparse_kernel kernel, int64_t* matrix);
ESPALIER_API espalier_status espalier_sparse_free(int64_t matrix);

/* How many entries are kept. */
ESPALIER_API espalier_status espalier_sparse_size(int64_t matrix, int64_t* count);
/* Where they stand: index[i] (int32) = row·columns + column of kept entry i. */
ESPALIER_API espalier_status espalier_sparse_positions(int64_t matrix, espalier_out index);
/* The values, read and written; writing them costs a pass over them and no code. */
ESPALIER_API espalier_status espalier_sparse_values(int64_t matrix, espalier_out values);
ESPALIER_API espalier_status espalier_sparse_set_values(int64_t matrix, espalier_in values);

/* Bytes of machine code that the matrix holds so far; 0 where its products are portable. */
ESPALIER_API espalier_status espalier_sparse_code_size(int64_t matrix, int64_t* bytes);

/* Y = finish(W·X + bias), or with `transpose` 1 finish(Wᵀ·X + bias), where X has a row's length and Y a
 * column's. `bias` is optional: an element a component of Y's vectors. */
ESPALIER_API espalier_status espalier_spmm(int64_t matrix, int64_t transpose, int64_t samples, int64_t by_row,
                                           espalier_in x, espalier_in bias, espalier_finish finish, espalier_out y);

/* The gradient of the kept entries: values[i] = Σ over samples of dy[row of i]·x[column of i]. The dense product
 * is never made. dy holds Y's vectors, x X's. */
ESPALIER_API espalier_status espalier_sddmm(int64_t matrix, int64_t samples, int64_t by_row, espalier_in dy,
                                            espalier_in x, espalier_out values);

#endif
