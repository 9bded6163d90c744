// Selection by score, and masks; what each computes stands in espalier/select.h.
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/types.h"

namespace espalier::kernels {

// One array of scores with its masks: M is T or uint8_t. `mask` may be null, and may be `result`.
template <class T, class M>
struct Scored {
  const T* score;
  const M* mask;
  M* result;
  int64_t n;
};

// Returns the score of the last to fall. Throws Failure for NaN and for k beyond what is left.
template <class T, class M>
double prune_smallest(const std::vector<Scored<T, M>>& arrays, bool magnitude, int64_t k);

template <class T, class M>
void keep_largest(const Scored<T, M>& array, bool magnitude, int64_t rows, int64_t columns, int64_t keep);

// `prune_smallest` of one short array, on the caller's thread; more than is left is all that is left.
// `values` and `spare` are as in select_rank. There must be no NaN.
template <class T, class M>
void prune_row(const Scored<T, M>& row, bool magnitude, int64_t k, T* values, T* spare);

// How many entries whose mask is not 0 have a score of at most (with `strictly`, below) the threshold.
// Throws Failure for NaN.
template <class T, class M>
int64_t count_at_most(const Scored<T, M>& array, bool magnitude, double threshold, bool strictly);

// The number of ones, or −1 where an entry is neither 0 nor 1.
template <class M>
int64_t count_ones(const M* mask, int64_t n);

template <class T, class M>
void apply_mask(const T* x, const M* mask, T* y, int64_t n);

// The value of rank `rank` (from 0) among n values without NaN; `values` and `spare` hold n elements
// and kSelectSlack more, and their contents are lost.
constexpr int64_t kSelectSlack = 16;
template <class T>
T select_rank(T* values, T* spare, int64_t n, int64_t rank);

// The k-th smallest |x| of each channel of x [outer, channels, inner], k from 1, and, where `index` is
// not null, the first place that has it. Throws Failure for NaN.
template <class T>
void abs_kth(const T* x, int64_t outer, int64_t channels, int64_t inner, int64_t k, T* value, int32_t* index);

}  // namespace espalier::kernels
