/* Functions of select_groups.cu and score.cu, until espalier/select.h and espalier/score.h have them and
 * operations.h is derived with them. */
#pragma once

#include "espalier/cuda/operations.h"

ESPALIER_API espalier_status espalier_cuda_prune_groups(espalier_in scores, espalier_in mask, int64_t magnitude,
                                                        int64_t outer, int64_t size, int64_t inner, espalier_in falling,
                                                        espalier_out result);
ESPALIER_API espalier_status espalier_cuda_count_groups(espalier_in mask, int64_t outer, int64_t size, int64_t inner,
                                                        espalier_out counts);
ESPALIER_API espalier_status espalier_cuda_count_at_most(espalier_in_list scores, espalier_in_list masks,
                                                         int64_t magnitude, double threshold, int64_t strictly,
                                                         int64_t* count);
ESPALIER_API espalier_status espalier_cuda_count_ones(espalier_in mask, int64_t* ones);
ESPALIER_API espalier_status espalier_cuda_lamp_score(espalier_in x, espalier_out y);
ESPALIER_API espalier_status espalier_cuda_distance_sums(espalier_in x, int64_t rows, int64_t columns, espalier_out y);
