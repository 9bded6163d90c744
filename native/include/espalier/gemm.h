/* Dense matrix products of float32 or float64, row-major.
 *
 * A stored matrix of r rows and c columns whose rows start `ld` elements apart takes an array of at
 * least (r-1)·ld + c elements (none where r or c is 0); ld is at least max(c, 1). Elements between
 * c and ld are neither read nor written. */
#ifndef ESPALIER_GEMM_H
#define ESPALIER_GEMM_H

#include "types.h"

/* C is m×n. op(A) is m×k: A is stored so, or k×m where transpose_a is 1. op(B) is k×n: B is stored
 * so, or n×k where transpose_b is 1. lda, ldb, ldc: from one stored row to the next. */
typedef struct espalier_product {
  int64_t m, n, k, transpose_a, transpose_b, lda, ldb, ldc;
} espalier_product;

/* What becomes of an element of C at last. */
typedef enum espalier_finish { ESPALIER_FINISH_NONE = 0, ESPALIER_FINISH_RELU = 1 } espalier_finish;

/* C = finish(alpha·op(A)·op(B) + beta·C + bias). row_bias has m elements, column_bias n; either may
 * be absent. With beta = 0 C is not read, with alpha = 0 A and B are not. */
ESPALIER_API espalier_status espalier_gemm(double alpha, espalier_in a, espalier_in b, double beta,
                                           espalier_in row_bias, espalier_in column_bias, espalier_finish finish,
                                           espalier_out c, espalier_product product);

/* The length of an array that holds a packed op(B) of k×n. It depends on the instruction set. */
ESPALIER_API espalier_status espalier_gemm_pack_size(int64_t n, int64_t k, espalier_dtype dtype, int64_t* length);

/* Packs op(B), k×n, once for many products. The array is good for this process and instruction set:
 * keep the matrix, not its packed form. */
ESPALIER_API espalier_status espalier_gemm_pack(int64_t n, int64_t k, int64_t transpose_b, int64_t ldb, espalier_in b,
                                                espalier_out packed);

/* espalier_gemm with op(B) from espalier_gemm_pack; an array packed for other sizes, or by another
 * instruction set, is an error. transpose_b and ldb are ignored. */
ESPALIER_API espalier_status espalier_gemm_packed(double alpha, espalier_in a, espalier_in packed, double beta,
                                                  espalier_in row_bias, espalier_in column_bias, espalier_finish finish,
                                                  espalier_out c, espalier_product product);

/* A batch of products C = op(A)·op(B) of dense matrices (ld = stored columns). The batch shapes have
 * one rank; a dimension of A or B that is 1 is stretched to the other's. A dimension of C is that, or
 * 1: then the products along it are added up. */
ESPALIER_API espalier_status espalier_matmul(int64_t m, int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b,
                                             espalier_dims batch_a, espalier_dims batch_b, espalier_dims batch_c,
                                             espalier_in a, espalier_in b, espalier_out c);

/* y[j] = Σ over i of x[i, j]; x is rows×columns, y has `columns` elements. */
ESPALIER_API espalier_status espalier_column_sum(int64_t rows, int64_t columns, espalier_in x, espalier_out y);

#endif
