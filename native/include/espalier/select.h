/* What pruning asks of weights: scores of slices, which entries are the smallest, masks. */
#ifndef ESPALIER_SELECT_H
#define ESPALIER_SELECT_H

#include "types.h"

/* y = the p-norm of x over the dimensions whose entry in `reduced` is 1 (the others are 0):
 * (Σ |x|^p)^(1/p); the largest |x| for p = ∞, the smallest for −∞, the number of entries that are
 * not 0 for p = 0. y holds the dimensions that stay, in their order. NaN gives NaN. Over no entries
 * the sum is 0, the largest 0 and the smallest ∞. */
ESPALIER_API espalier_status espalier_slice_norm(espalier_dims shape, espalier_dims reduced, double p, espalier_in x,
                                                 espalier_out y);

/* Of all entries of all `scores` together, the k smallest fall: results are 0 there, and elsewhere
 * what the mask was, or 1. Only entries whose mask is not 0 are counted and fall; of equal ones
 * those of the lower index, in the first array, fall first. `masks` has a mask for each array of
 * scores or is empty; masks and results have one type, the scores' or uint8, and may be the same
 * arrays. With `magnitude` 1 entries are ranked by |score|, with 0 by score. Returns the score of the
 * last to fall (−∞ for k = 0). A NaN among the scores is an error, and so is a k above the number of
 * entries left. */
ESPALIER_API espalier_status espalier_prune_smallest(espalier_in_list scores, espalier_in_list masks, int64_t magnitude,
                                                     int64_t k, espalier_out_list results, double* threshold);

/* Each row of `scores` [rows, columns] keeps its `keep` largest entries (all, where it has no more):
 * result is 0 at the others, and elsewhere what the mask was, or 1. Of equal ones those of the lower
 * index are kept. Masks and `magnitude` as in prune_smallest; NaN is an error. */
ESPALIER_API espalier_status espalier_keep_largest(espalier_in scores, espalier_in mask, int64_t magnitude,
                                                   int64_t rows, int64_t columns, int64_t keep, espalier_out result);

/* `scores` [outer, size, inner] are cut into groups: the `size` entries of one outer and one inner index.
 * In each group the `falling` smallest fall (all that are left, where these are fewer): result is 0
 * there, and elsewhere what the mask was, or 1; of equal ones those of the lower index fall first.
 * `falling` (int32, ≥ 0) holds a number for each group [outer, inner], or one for all. Masks and
 * `magnitude` as in prune_smallest; NaN is an error. */
ESPALIER_API espalier_status espalier_prune_groups(espalier_in scores, espalier_in mask, int64_t magnitude,
                                                   int64_t outer, int64_t size, int64_t inner, espalier_in falling,
                                                   espalier_out result);

/* counts[outer, inner] (int32) = the entries of each group of a mask [outer, size, inner] that are not 0. */
ESPALIER_API espalier_status espalier_count_groups(espalier_in mask, int64_t outer, int64_t size, int64_t inner,
                                                   espalier_out counts);

/* count = the entries of all `scores` whose mask is not 0 and whose score is at most `threshold`, or with
 * `strictly` 1 below it. Masks and `magnitude` as in prune_smallest; NaN is an error. */
ESPALIER_API espalier_status espalier_count_at_most(espalier_in_list scores, espalier_in_list masks, int64_t magnitude,
                                                    double threshold, int64_t strictly, int64_t* count);

/* ones = the number of entries that are 1, or −1 where one is neither 0 nor 1. */
ESPALIER_API espalier_status espalier_count_ones(espalier_in mask, int64_t* ones);

/* y = x·mask; the mask has x's length, and its type or uint8. y may be x. */
ESPALIER_API espalier_status espalier_apply_mask(espalier_in x, espalier_in mask, espalier_out y);

/* The k-th smallest |x| of each channel of x [outer, channels, inner], k from 1 to outer·inner, and, where `index`
 * (int32) is given, the first place in x that has it. NaN is an error. */
ESPALIER_API espalier_status espalier_abs_kth(espalier_in x, int64_t outer, int64_t channels, int64_t inner, int64_t k,
                                              espalier_out value, espalier_out index);

#endif
