#include "quant/requantise.h"

namespace espalier {
// Elements a thread takes at a time, at least.
constexpr int64_t kRequantiseGrain = 1 << 13;
}  // namespace espalier

#define ESPALIER_KERNEL "quant/requantise.inl"
#include "simd/each_isa.h"

namespace espalier::quant {

template <class T>
void requantise_forward(const Sums<T>& sums, T* y) {
  ESPALIER_ON_ISA(requantise_forward<T>(sums, y));
}
template void requantise_forward(const Sums<float>&, float*);
template void requantise_forward(const Sums<double>&, double*);

template <class T>
void requantise_backward(const Sums<T>& sums, const T* gradient, T* gradient_x, T* gradient_log) {
  ESPALIER_ON_ISA(requantise_backward<T>(sums, gradient, gradient_x, gradient_log));
}
template void requantise_backward(const Sums<float>&, const float*, float*, float*);
template void requantise_backward(const Sums<double>&, const double*, double*, double*);

}  // namespace espalier::quant
