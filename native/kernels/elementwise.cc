#include "kernels/elementwise.h"

namespace espalier {
// Elements a thread takes at a time: below this, waking another costs more than it saves.
constexpr int64_t kElementGrain = 1 << 15;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/elementwise.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void unary(espalier_unary kind, double parameter, const T* x, T* y, int64_t n) {
  ESPALIER_ON_ISA(unary<T>(kind, parameter, x, y, n));
}
template void unary(espalier_unary, double, const float*, float*, int64_t);
template void unary(espalier_unary, double, const double*, double*, int64_t);

template <class T>
void accumulate(const T* x, T* y, int64_t n) {
  ESPALIER_ON_ISA(accumulate<T>(x, y, n));
}
template void accumulate(const float*, float*, int64_t);
template void accumulate(const double*, double*, int64_t);

}  // namespace espalier::kernels
