/* Sparse matrices of int8 and their products with codes of 8 bits, in exact whole numbers: a weight that is pruned and
 * quantised, prepared once.
 *
 * A matrix is named by a number that espalier_sparse_integer_create gives and espalier_sparse_integer_free takes back;
 * a number that names none is an error. It never changes, and is read by any number of calls at once. */
#ifndef ESPALIER_SPARSE_INTEGER_H
#define ESPALIER_SPARSE_INTEGER_H

#include "gemm.h"
#include "sparse.h"
#include "types.h"

/* How a matrix is multiplied; docs/sparse.md says how each works. */
typedef enum espalier_integer_kernel {
  ESPALIER_INTEGER_KERNEL_AUTOMATIC = 0, /* what is expected to be the fastest here */
  ESPALIER_INTEGER_KERNEL_ROWS = 1,      /* entries anywhere */
  ESPALIER_INTEGER_KERNEL_SIGNS = 2,     /* weights −1 and 1, sums of 16 bits; an error where code cannot be generated */
  ESPALIER_INTEGER_KERNEL_BLOCKS = 3,    /* 1×4 blocks; those that are not whole are filled up */
  ESPALIER_INTEGER_KERNEL_DENSE = 4      /* every entry */
} espalier_integer_kernel;

#endif
