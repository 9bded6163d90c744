#include "kernels/elementwise.h"

namespace espalier {
// Elements a thread takes at a time: below this, waking another costs more than it saves.
constexpr int64_t kElementGrain = 1 << 15;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/elementwise.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void unary(espalier_unary kind, T p, T q, const T* x, T* y, int64_t n) {
  ESPALIER_ON_ISA(unary<T>(kind, p, q, x, y, n));
}

template <class T>
void unary_gradient(espalier_unary kind, T p, T q, const T* x, const T* y, const T* grad, T* grad_x, int64_t n) {
  ESPALIER_ON_ISA(unary_gradient<T>(kind, p, q, x, y, grad, grad_x, n));
}

template <class T>
void binary(espalier_binary kind, const T* a, const T* b, T* y, int64_t n) {
  ESPALIER_ON_ISA(binary<T>(kind, a, b, y, n));
}

template <class T>
void binary_scalar(espalier_binary kind, const T* a, T b, T* y, int64_t n) {
  ESPALIER_ON_ISA(binary_scalar<T>(kind, a, b, y, n));
}

template <class T>
void binary_strided(espalier_binary kind, const Layout<2>& layout, const T* a, const T* b, T* y) {
  ESPALIER_ON_ISA(binary_strided<T>(kind, layout, a, b, y));
}

template <class T>
void accumulate(const T* x, T* y, int64_t n) {
  ESPALIER_ON_ISA(accumulate<T>(x, y, n));
}

#define ESPALIER_ELEMENTWISE(T)                                                                  \
  template void unary(espalier_unary, T, T, const T*, T*, int64_t);                              \
  template void unary_gradient(espalier_unary, T, T, const T*, const T*, const T*, T*, int64_t); \
  template void binary(espalier_binary, const T*, const T*, T*, int64_t);                        \
  template void binary_scalar(espalier_binary, const T*, T, T*, int64_t);                        \
  template void binary_strided(espalier_binary, const Layout<2>&, const T*, const T*, T*);       \
  template void accumulate(const T*, T*, int64_t);
ESPALIER_ELEMENTWISE(float)
ESPALIER_ELEMENTWISE(double)
#undef ESPALIER_ELEMENTWISE

}  // namespace espalier::kernels
