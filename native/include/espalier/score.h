/* Scores of weights that no elementwise formula gives. */
#ifndef ESPALIER_SCORE_H
#define ESPALIER_SCORE_H

#include "types.h"

/* y = x² over the sum of the squares of x and of all entries after it, in the order of rising |x|,
 * of equal ones the lower index first: layer-adaptive magnitudes (Lee et al. 2021). 0 where x is 0. NaN is
 * an error. */
ESPALIER_API espalier_status espalier_lamp_score(espalier_in x, espalier_out y);

/* y[i] = Σ over j of the Euclidean distance between the rows i and j of x [rows, columns]. */
ESPALIER_API espalier_status espalier_distance_sums(espalier_in x, int64_t rows, int64_t columns, espalier_out y);

#endif
