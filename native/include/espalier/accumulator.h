/* Sums of products of integer codes in registers of a chosen width, as narrow hardware forms them. */
#ifndef ESPALIER_ACCUMULATOR_H
#define ESPALIER_ACCUMULATOR_H

#include "conv.h"
#include "types.h"

/* What becomes of a sum that a register of two's complement cannot hold. */
typedef enum espalier_overflow {
  ESPALIER_OVERFLOW_WRAP = 0,    /* the bits above the register are lost */
  ESPALIER_OVERFLOW_SATURATE = 1 /* the end of the register's range is kept */
} espalier_overflow;

/* The products of a neuron are added one after another. */
typedef enum espalier_summing {
  ESPALIER_SUMMING_LISTED = 0, /* in the order of `order`, or of the weights where it is absent */
  /* Those of one sign first, then the others: the sign whose sum leaves the register by more, of equal
   * ones the positive. No order brings a partial sum nearer to overflow. */
  ESPALIER_SUMMING_WORST = 1
} espalier_summing;

/* The convolution of espalier_conv2d_forward on int32 codes, each output summed in a register of `bits`
 * bits, 2 to 32, that starts at bias[o] where `bias` is given, else at 0. A matrix product is the
 * convolution of images of one element.
 *
 * `order`, optional, lists the fan-in's indices 0 … in_channels / groups · kernel_height · kernel_width − 1,
 * each once, as products are to be added. With `tile` above 0 each `tile` products in turn are added in a
 * register of `tile_bits` bits that starts at 0, and its sum is then added to the first; ESPALIER_SUMMING_WORST
 * orders the products inside of each tile, and then the sums of the tiles. With `tile` 0, `tile_bits` is
 * not looked at.
 *
 * `first`, int32 of y's length, is optional: at how many products the first sum left its register, 0
 * where the bias alone does, −1 where none did; under ESPALIER_SUMMING_WORST, where it has no one place, the
 * fan-in.
 *
 * Codes of x and of the weight lie within ±2^15, and ESPALIER_SUMMING_WORST takes no `order`. */
ESPALIER_API espalier_status espalier_narrow_conv2d(espalier_in x, espalier_in weight, espalier_in bias,
                                                    espalier_in order, espalier_summing summing, int64_t bits,
                                                    espalier_overflow overflow, int64_t tile, int64_t tile_bits,
                                                    espalier_out y, espalier_out first, espalier_conv2d shape);

#endif
