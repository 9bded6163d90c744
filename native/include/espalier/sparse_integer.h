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
  ESPALIER_INTEGER_KERNEL_SIGNS = 2,  /* weights −1 and 1, sums of 16 bits; an error where code cannot be generated */
  ESPALIER_INTEGER_KERNEL_BLOCKS = 3, /* 1×4 blocks; those that are not whole are filled up */
  ESPALIER_INTEGER_KERNEL_DENSE = 4,  /* every entry */
  ESPALIER_INTEGER_KERNEL_VECTOR = 5  /* one sample or few, which automatic ones take so, whatever they are */
} espalier_integer_kernel;

/* A matrix with the entries of `weight` (int8 [rows, columns]) that are not 0 and, where there is a mask (uint8 of its
 * length, optional), are not 0 in that either. The codes that X will hold are within [low, high], itself within 0…255
 * or within −128…127. `bits` is how wide sums may be, 16 or 32, or 0 for whatever is the fastest; whether a width holds
 * every sum, in whatever order, is computed from the weights and the range, and one that does not is an error that says
 * which would. */
ESPALIER_API espalier_status espalier_sparse_integer_create(int64_t rows, int64_t columns, espalier_in weight,
                                                            espalier_in mask, espalier_integer_kernel kernel,
                                                            int64_t low, int64_t high, int64_t bits, int64_t* matrix);
ESPALIER_API espalier_status espalier_sparse_integer_free(int64_t matrix);

/* How many entries are kept. */
ESPALIER_API espalier_status espalier_sparse_integer_size(int64_t matrix, int64_t* count);
/* weight (int8 [rows, columns]): the kept entries where they stand, 0 elsewhere. */
ESPALIER_API espalier_status espalier_sparse_integer_unpack(int64_t matrix, espalier_out weight);

/* The kernel's name, for many samples: "rows", "signs", "1x4", "dense", "vector". The text lives as long as the
 * process. */
ESPALIER_API espalier_status espalier_sparse_integer_kernel_of(int64_t matrix, const char** name);
/* The bits of the sums of many samples; few may be summed in 32. */
ESPALIER_API espalier_status espalier_sparse_integer_sum_bits(int64_t matrix, int64_t* bits);
/* The least bits of two's complement that hold every partial sum of every row, start values apart. */
ESPALIER_API espalier_status espalier_sparse_integer_needed_bits(int64_t matrix, int64_t* bits);

/* Nanoseconds that its product with so many samples is expected to take on one core. */
ESPALIER_API espalier_status espalier_sparse_integer_cost(int64_t matrix, int64_t samples, double* nanoseconds);
/* Bytes that the matrix holds: entries, indices, machine code. */
ESPALIER_API espalier_status espalier_sparse_integer_bytes(int64_t matrix, int64_t* bytes);
/* Those of machine code alone. */
ESPALIER_API espalier_status espalier_sparse_integer_code_size(int64_t matrix, int64_t* bytes);

/* Y = finish(W·X + start). X is uint8 or int8, and Y int32; or both are float32 that hold whole numbers: fractions of X
 * are cut off, and Y is the float32 nearest to the exact sum. Codes outside of the matrix's range count as its nearest
 * end, what is no number as the lower one. `start` (int32, an element a row) is optional; a sum that it takes out of 32
 * bits wraps. */
ESPALIER_API espalier_status espalier_integer_spmm(int64_t matrix, int64_t samples, espalier_sparse_layout layout,
                                                   espalier_in x, espalier_in start, espalier_finish finish,
                                                   espalier_out y);

#endif
