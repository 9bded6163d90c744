/* Rows of a table by number. */
#ifndef ESPALIER_EMBEDDING_H
#define ESPALIER_EMBEDDING_H

#include "types.h"

/* A table of `rows` rows of `size` values. */
typedef struct espalier_table {
  int64_t rows, size;
} espalier_table;

/* y[i] = weight[indices[i]], a row for each index; int32 indices in [0, rows). */
ESPALIER_API espalier_status espalier_embedding_forward(espalier_in weight, espalier_in indices, espalier_out y,
                                                        espalier_table shape);

/* dweight[r] = Σ dy[i] over the i with indices[i] = r, added in their order. Row `padding` gets 0; −1: none. */
ESPALIER_API espalier_status espalier_embedding_backward(espalier_in dy, espalier_in indices, int64_t padding,
                                                         espalier_out dweight, espalier_table shape);

#endif
