/* Random numbers from a counter: Philox 4x32 with ten rounds (Salmon et al. 2011).
 *
 * Block number c of a seed is four 32-bit words, a function of c and the seed alone. A call starts
 * at block `counter` and reports in `used` how many blocks it took, so that the next call can go on
 * behind it. Results depend on nothing else: neither on threads nor on how the numbers were split
 * into calls of whole blocks. float32 takes a word a number, float64 two. */
#ifndef ESPALIER_RANDOM_H
#define ESPALIER_RANDOM_H

#include "types.h"

/* y[i] uniform between low and high; of [0, 1) the upper end never occurs. */
ESPALIER_API espalier_status espalier_random_uniform(int64_t seed, int64_t counter, double low, double high,
                                                     espalier_out y, int64_t* used);

/* y[i] normal with this mean and standard deviation (Box and Muller 1958). */
ESPALIER_API espalier_status espalier_random_normal(int64_t seed, int64_t counter, double mean, double deviation,
                                                    espalier_out y, int64_t* used);

/* y[i] = value with probability p (in steps of 2^-32), else 0. */
ESPALIER_API espalier_status espalier_random_bernoulli(int64_t seed, int64_t counter, double p, double value,
                                                       espalier_out y, int64_t* used);

/* y (int32) = the numbers 0 … length-1 in random order, every order equally likely. Takes half a
 * block a number. */
ESPALIER_API espalier_status espalier_random_permutation(int64_t seed, int64_t counter, espalier_out y, int64_t* used);

#endif
