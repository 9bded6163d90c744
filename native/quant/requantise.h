// Sums to the codes of the next layer; what each function computes stands in espalier/quant.h.
#pragma once

#include <cstdint>

namespace espalier::quant {

// x [outer, channels, inner], and a multiplier for each channel.
template <class T>
struct Sums {
  const T *x, *multiplier;
  int64_t outer, channels, inner;
  T top;  // the largest code
};

template <class T>
void requantise_forward(const Sums<T>& sums, T* y);

// `gradient_log`: that of each multiplier's logarithm.
template <class T>
void requantise_backward(const Sums<T>& sums, const T* gradient, T* gradient_x, T* gradient_log);

}  // namespace espalier::quant
