/* Sparse products on the GPU: a weight matrix W of m×k of which part counts, times a dense X.
 *
 * All come in threes: the product Y = W·X (+ bias), the gradient of the data dX = Wᵀ·dY, and the gradient of
 * the weight dW = dY·Xᵀ, computed only where W counts. W and dW are row-major. X and dX are k×n, Y and dY m×n,
 * row-major; where batch_major is 1 they are stored the other way round, X n×k and Y n×m: then the product is
 * a linear layer's, Y = X·Wᵀ. bias has m elements, or is absent. Arrays have exactly as many elements as that
 * and are of one element type: float64, float32, float16 or bfloat16; sums of the last three are float32.
 * espalier_cuda_set_precision says how the dense parts of float32 products meet the tensor cores. */
#ifndef ESPALIER_CUDA_SPARSE_H
#define ESPALIER_CUDA_SPARSE_H

#include "../conv.h"
#include "../types.h"

/* Whole tiles of W count or do not.
 *
 * W is cut into tiles of tile_rows×tile_columns, multiples of 32 up to 256 that divide m and k (128×64: two
 * times 64×64). The mask has a byte for each, row-major, (m / tile_rows)×(k / tile_columns): not 0 where the
 * tile counts. Elements of other tiles are neither read nor written; gradients of theirs stay as they are. */
typedef struct espalier_cuda_tiles {
  int64_t m, k, n, batch_major, tile_rows, tile_columns;
} espalier_cuda_tiles;

/* What the products need to know of a mask, int32 on the device, made once for each mask: its length (which
 * n and batch_major do not change), and itself. */
ESPALIER_API espalier_status espalier_cuda_tiles_plan_size(espalier_cuda_tiles shape, int64_t* length);
ESPALIER_API espalier_status espalier_cuda_tiles_plan(espalier_in mask, espalier_out plan, espalier_cuda_tiles shape);

ESPALIER_API espalier_status espalier_cuda_tiles_forward(espalier_in weight, espalier_in plan, espalier_in x,
                                                         espalier_in bias, espalier_out y, espalier_cuda_tiles shape);
ESPALIER_API espalier_status espalier_cuda_tiles_data_grad(espalier_in weight, espalier_in plan, espalier_in dy,
                                                           espalier_out dx, espalier_cuda_tiles shape);
ESPALIER_API espalier_status espalier_cuda_tiles_weight_grad(espalier_in x, espalier_in dy, espalier_in plan,
                                                             espalier_out dweight, espalier_cuda_tiles shape);

/* Single elements of W count, wherever they stand; worth it from some 80% of zeros on.
 *
 * `values` holds the elements that count, row by row from left to right; `pattern`, int32, says where they
 * stand. fan_in: how many each row has, where that is the same for all (then no row is looked up), else 0. */
typedef struct espalier_cuda_sparse {
  int64_t m, k, n, batch_major, fan_in;
} espalier_cuda_sparse;

/* How many elements of a mask (uint8 or float32) are not 0. Waits for the device. */
ESPALIER_API espalier_status espalier_cuda_sparse_count(espalier_in mask, int64_t* count);

/* The length of the pattern of `count` elements, below 2^31. */
ESPALIER_API espalier_status espalier_cuda_sparse_pattern_size(int64_t count, espalier_cuda_sparse shape,
                                                               int64_t* length);
/* The pattern of a mask of m×k, uint8 or float32, of which `count` elements are not 0. A mask of another
 * count, or of rows of another fan_in, is an error of the next call that waits for the device. */
ESPALIER_API espalier_status espalier_cuda_sparse_pattern(espalier_in mask, int64_t count, espalier_out pattern,
                                                          espalier_cuda_sparse shape);

/* From a dense W of m×k to the values that count; and back into W, which keeps its other elements. */
ESPALIER_API espalier_status espalier_cuda_sparse_gather(espalier_in weight, espalier_in pattern, espalier_out values,
                                                         espalier_cuda_sparse shape);
ESPALIER_API espalier_status espalier_cuda_sparse_scatter(espalier_in values, espalier_in pattern, espalier_out weight,
                                                          espalier_cuda_sparse shape);

ESPALIER_API espalier_status espalier_cuda_sparse_forward(espalier_in values, espalier_in pattern, espalier_in x,
                                                          espalier_in bias, espalier_out y, espalier_cuda_sparse shape);
ESPALIER_API espalier_status espalier_cuda_sparse_data_grad(espalier_in values, espalier_in pattern, espalier_in dy,
                                                            espalier_out dx, espalier_cuda_sparse shape);
/* dvalues: the gradient of each value. */
ESPALIER_API espalier_status espalier_cuda_sparse_weight_grad(espalier_in x, espalier_in dy, espalier_in pattern,
                                                              espalier_out dvalues, espalier_cuda_sparse shape);

/* Convolutions by single elements of a weight W [out_channels, in_channels / groups, kernel_height, kernel_width]: of
 * it as a matrix, m = out_channels, k = in_channels / groups · kernel_height · kernel_width, `values` hold what counts,
 * as many as the pattern was made of, and `pattern` is what espalier_cuda_sparse_pattern makes of its mask; fan_in is
 * the one that it was made with. x, y and `shape` are those of a dense convolution (espalier/conv.h); bias has
 * out_channels elements, or is absent; all arrays are of one element type, as above. ESPALIER_INVALID_ARGUMENT where
 * out_channels is above (2^31 − 1) / 32, k above 2^31 − 1, fan_in above k, or there are more values than m·k;
 * ESPALIER_SHAPE_MISMATCH where an array's length is another, or there are not m·fan_in values.
 *
 * Patches are not written out. Zeros are multiplied where a kernel reaches beyond an edge: an Inf or NaN among the
 * values makes NaN of sums there, and one in x or dy of gradients of values that nothing joins with it.
 *
 * Every geometry is computed. A tile of one channel, with the rows and columns that its taps reach and in all the
 * planes that steps cut it into, must fit into shared memory; where it does not (a stride of 40×40; a kernel of 5×5 at
 * dilation 8 on rows of 1,024), a dense weight is made of the values, and the convolution is a dense one. */
ESPALIER_API espalier_status espalier_cuda_sparse_convolution_forward(espalier_in values, espalier_in pattern,
                                                                      espalier_in x, espalier_in bias, espalier_out y,
                                                                      int64_t fan_in, espalier_conv2d shape);
ESPALIER_API espalier_status espalier_cuda_sparse_convolution_data_grad(espalier_in values, espalier_in pattern,
                                                                        espalier_in dy, espalier_out dx, int64_t fan_in,
                                                                        espalier_conv2d shape);
/* dvalues: the gradient of each value. Sums are added in an order that timing does not change. */
ESPALIER_API espalier_status espalier_cuda_sparse_convolution_weight_grad(espalier_in x, espalier_in dy,
                                                                          espalier_in pattern, espalier_out dvalues,
                                                                          int64_t fan_in, espalier_conv2d shape);

/* Any elements of W count, and W stays dense: the products are dense, of mask∘W, which is never stored. The
 * mask has m·k elements that count where they are not 0, uint8 or of the type of W; or it is packed, which saves
 * packing it in each call: int32 words, element i bit i % 32 of word i / 32, (m·k + 31) / 32 of them. */
typedef struct espalier_cuda_masked {
  int64_t m, k, n, batch_major;
} espalier_cuda_masked;

/* Packs a mask of any of espalier_cuda_cast's float types or uint8; the last word's spare bits are 0. */
ESPALIER_API espalier_status espalier_cuda_masked_pack(espalier_in mask, espalier_out words);

ESPALIER_API espalier_status espalier_cuda_masked_forward(espalier_in weight, espalier_in mask, espalier_in x,
                                                          espalier_in bias, espalier_out y, espalier_cuda_masked shape);
ESPALIER_API espalier_status espalier_cuda_masked_data_grad(espalier_in weight, espalier_in mask, espalier_in dy,
                                                            espalier_out dx, espalier_cuda_masked shape);
/* dW = mask∘(dY·Xᵀ). */
ESPALIER_API espalier_status espalier_cuda_masked_weight_grad(espalier_in x, espalier_in dy, espalier_in mask,
                                                              espalier_out dweight, espalier_cuda_masked shape);

/* Of every four neighbours along a row of W two count (2:4), as the sparse tensor cores want it: they multiply
 * at up to twice the rate of dense ones.
 *
 * W is float16, bfloat16 or int8 (X too; then Y and bias are int32), k a multiple of 32. `values` holds the
 * m·k/2 elements that count, row by row; `places`, int32, says where they stand, in the order in which the
 * hardware reads it. The hardware skips along the dimension that is summed over, and only in W: Wᵀ·dY sums over
 * m, where W need not be 2:4, and is computed densely. Where W is 2:4 along both of its dimensions (Hubara et
 * al. 2021, transposable masks), compress Wᵀ as well and take the gradient of the data as a product by it. X is wanted
 * with its k values side by side: where batch_major is 0 it is copied so first. */
typedef struct espalier_cuda_two_four {
  int64_t m, k, n, batch_major;
} espalier_cuda_two_four;

ESPALIER_API espalier_status espalier_cuda_two_four_places_size(espalier_cuda_two_four shape, int64_t* length);

/* From a dense W of m×k, pruned on the way where it has more than two elements in a group: the largest of |W|
 * are kept, of equals those to the left. n and batch_major do not matter here. */
ESPALIER_API espalier_status espalier_cuda_two_four_compress(espalier_in weight, espalier_out values,
                                                             espalier_out places, espalier_cuda_two_four shape);
/* The dense W, with zeros where nothing counts. */
ESPALIER_API espalier_status espalier_cuda_two_four_expand(espalier_in values, espalier_in places, espalier_out weight,
                                                           espalier_cuda_two_four shape);
/* The elements of a dense m×k matrix (a new W, a gradient) that stand in the places. */
ESPALIER_API espalier_status espalier_cuda_two_four_gather(espalier_in weight, espalier_in places, espalier_out values,
                                                           espalier_cuda_two_four shape);

ESPALIER_API espalier_status espalier_cuda_two_four_forward(espalier_in values, espalier_in places, espalier_in x,
                                                            espalier_in bias, espalier_out y,
                                                            espalier_cuda_two_four shape);
/* float16 and bfloat16 alone. */
ESPALIER_API espalier_status espalier_cuda_two_four_data_grad(espalier_in values, espalier_in places, espalier_in dy,
                                                              espalier_out dx, espalier_cuda_two_four shape);
/* dvalues: the gradient of each value. */
ESPALIER_API espalier_status espalier_cuda_two_four_weight_grad(espalier_in x, espalier_in dy, espalier_in places,
                                                                espalier_out dvalues, espalier_cuda_two_four shape);

#endif
