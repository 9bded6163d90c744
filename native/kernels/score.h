// Scores of weights; what each computes stands in espalier/score.h.
#pragma once

#include <cstdint>

namespace espalier::kernels {

// Throws Failure for NaN.
template <class T>
void lamp_score(const T* x, int64_t n, T* y);

template <class T>
void distance_sums(const T* x, int64_t rows, int64_t columns, T* y);

}  // namespace espalier::kernels
