/* Sparse matrices of float32 and their products: a pruned weight, prepared once for its mask.
 *
 * A matrix is named by a number that espalier_sparse_create gives and espalier_sparse_free takes back; a
 * number that names none is an error. Its kept entries have an order, row by row and within a row by
 * column: `values` are always in that order, one a kept entry. A matrix is read by any number of calls at
 * once; setting its values while another call reads them is the caller's fault. */
#ifndef ESPALIER_SPARSE_H
#define ESPALIER_SPARSE_H

#include "gemm.h"
#include "types.h"

/* How a matrix is held and multiplied; docs/sparse.md says what each costs. */
typedef enum espalier_sparse_format {
  ESPALIER_SPARSE_FORMAT_AUTOMATIC = 0, /* what is expected to be the fastest here, product by product */
  ESPALIER_SPARSE_FORMAT_GENERATED = 1, /* an instruction an entry; an error where code cannot be generated */
  ESPALIER_SPARSE_FORMAT_ROWS = 2,      /* compressed rows, on every processor */
  ESPALIER_SPARSE_FORMAT_VECTOR = 3,    /* compressed indices, for few samples */
  ESPALIER_SPARSE_FORMAT_FAN_IN = 4,    /* as many entries in each row */
  ESPALIER_SPARSE_FORMAT_N_OF_M = 5,    /* parameters [N, M]: N of each M neighbours in a row, at most */
  ESPALIER_SPARSE_FORMAT_BLOCKS = 6,    /* parameters [r, c]: r×c blocks, whole ones; 1 to 64 each */
  ESPALIER_SPARSE_FORMAT_CHANNELS = 7,  /* whole rows and columns: dense on what is left */
  ESPALIER_SPARSE_FORMAT_DENSE = 8      /* every entry */
} espalier_sparse_format;

/* How X and Y hold a vector a sample. */
typedef enum espalier_sparse_layout {
  ESPALIER_SPARSE_LAYOUT_COLUMNS = 0, /* [components, samples], as a convolution has its channels */
  ESPALIER_SPARSE_LAYOUT_ROWS = 1,    /* [samples, components], as a linear layer has its batch */
  /* [⌈samples/16⌉, components, 16], which is what products work on: nothing is packed. Arrays that begin at a
   * multiple of 64 bytes are read faster. What stands past the last sample is computed too. */
  ESPALIER_SPARSE_LAYOUT_PANELS = 2
} espalier_sparse_layout;

/* A matrix with the entries of `weight` [rows, columns] where `mask` (of its length, float32 or uint8) is not 0,
 * or, where the mask is absent, where the weight is not 0. A kept entry may hold 0. Both are read, none is kept.
 * A mask that the format cannot hold is an error that says where. Code is generated at the first product, and for
 * products by the transpose at the first of those. */
ESPALIER_API espalier_status espalier_sparse_create(int64_t rows, int64_t columns, espalier_in weight, espalier_in mask,
                                                    espalier_sparse_format format, espalier_dims parameters,
                                                    int64_t* matrix);
ESPALIER_API espalier_status espalier_sparse_free(int64_t matrix);

/* How many entries are kept. */
ESPALIER_API espalier_status espalier_sparse_size(int64_t matrix, int64_t* count);
/* Where they stand: index[i] (int32) = row·columns + column of kept entry i. */
ESPALIER_API espalier_status espalier_sparse_positions(int64_t matrix, espalier_out index);
/* The values, read and written; writing them costs a pass over them and no code. */
ESPALIER_API espalier_status espalier_sparse_values(int64_t matrix, espalier_out values);
ESPALIER_API espalier_status espalier_sparse_set_values(int64_t matrix, espalier_in values);

/* weight [rows, columns]: the values where they stand, 0 elsewhere. */
ESPALIER_API espalier_status espalier_sparse_unpack(int64_t matrix, espalier_out weight);

/* The format's name: "generated", "2:4", "4x1"; of an automatic matrix, that of its product with so many samples. The
 * text lives as long as the process. */
ESPALIER_API espalier_status espalier_sparse_format_of(int64_t matrix, int64_t samples, const char** name);
/* Nanoseconds that its product with so many samples is expected to take on one core. */
ESPALIER_API espalier_status espalier_sparse_cost(int64_t matrix, int64_t samples, double* nanoseconds);
/* Bytes that the matrix holds so far: values, indices, machine code. */
ESPALIER_API espalier_status espalier_sparse_bytes(int64_t matrix, int64_t* bytes);
/* Those of machine code alone; 0 where its products need none. */
ESPALIER_API espalier_status espalier_sparse_code_size(int64_t matrix, int64_t* bytes);

/* Nanoseconds that were spent so far on making the matrix, and at the first product of each kind its code, tables and
 * transpose: measured, where everything else about costs is expected. */
ESPALIER_API espalier_status espalier_sparse_making_time(int64_t matrix, double* nanoseconds);

/* Y = finish(W·X + bias), or with `transpose` 1 finish(Wᵀ·X + bias), where X has a row's length and Y a
 * column's. `bias` is optional: an element a component of Y's vectors. */
ESPALIER_API espalier_status espalier_spmm(int64_t matrix, int64_t transpose, int64_t samples,
                                           espalier_sparse_layout layout, espalier_in x, espalier_in bias,
                                           espalier_finish finish, espalier_out y);

/* The gradient of the kept entries: values[i] = Σ over samples of dy[row of i]·x[column of i]. The dense product
 * is never made. dy holds Y's vectors, x X's. */
ESPALIER_API espalier_status espalier_sddmm(int64_t matrix, int64_t samples, espalier_sparse_layout layout,
                                            espalier_in dy, espalier_in x, espalier_out values);

/* Rows, a vector a sample, into panels, and back: a chain of products in panels packs once. What stands past the last
 * sample is 0. */
ESPALIER_API espalier_status espalier_to_panels(int64_t samples, int64_t components, espalier_in x,
                                                espalier_out panels);
ESPALIER_API espalier_status espalier_from_panels(int64_t samples, int64_t components, espalier_in panels,
                                                  espalier_out y);

/* The gradient before the finish of Y's product, which both products of a training step take: dz = dy where y > 0, else
 * 0; all of dy where y, optional, is absent: there was no ReLU. And that of the bias, optional: sums[c] = Σ over
 * samples of dz's component c. dy is held as `layout` says; y and dz in panels, and dz may be dy where that is in
 * panels too. */
ESPALIER_API espalier_status espalier_finish_grad(int64_t samples, int64_t components, espalier_sparse_layout layout,
                                                  espalier_in dy, espalier_in y, espalier_out dz, espalier_out sums);

/* What the three products of a masked linear layer with so many samples are expected to take, in nanoseconds on one
 * core: [W·X, Wᵀ·dY, the gradient of W], float64, by this matrix (of the kept entries) and by a dense product (of all).
 * They rank, as espalier_sparse_cost does. */
ESPALIER_API espalier_status espalier_sparse_costs(int64_t matrix, int64_t samples, espalier_out sparse,
                                                   espalier_out dense);

/* Kept entries apart from any matrix: `index` (int32) says where they stand, and ascends. values[i] =
 * weight[index[i]]; and weight[index[i]] = values[i], the other entries as they were. */
ESPALIER_API espalier_status espalier_gather_kept(espalier_in weight, espalier_in index, espalier_out values);
ESPALIER_API espalier_status espalier_scatter_kept(espalier_in values, espalier_in index, espalier_out weight);

/* same = 1 where the mask is 1 wherever `kept` (uint8, of zeros and ones, of its length) is and 0 elsewhere, else 0. */
ESPALIER_API espalier_status espalier_keeps_same(espalier_in mask, espalier_in kept, int64_t* same);

#endif
