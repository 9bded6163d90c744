#include "kernels/pool.h"

namespace espalier {
// Elements a thread takes at a time, in whole planes.
constexpr int64_t kPoolGrain = 1 << 14;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/pool.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void max_pool2d(espalier_pool2d shape, const T* x, T* y, int32_t* indices) {
  ESPALIER_ON_ISA(max_pool2d<T>(shape, x, y, indices));
}
template <class T>
void max_pool_backward(int64_t planes, int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices, T* dx) {
  ESPALIER_ON_ISA(max_pool_backward<T>(planes, in_size, out_size, dy, indices, dx));
}
template <class T>
void avg_pool2d(espalier_pool2d shape, bool count_padding, const T* x, T* y) {
  ESPALIER_ON_ISA(avg_pool2d<T>(shape, count_padding, x, y));
}
template <class T>
void avg_pool2d_backward(espalier_pool2d shape, bool count_padding, const T* dy, T* dx) {
  ESPALIER_ON_ISA(avg_pool2d_backward<T>(shape, count_padding, dy, dx));
}
template <class T>
void adaptive_avg_pool2d(espalier_adaptive_pool2d shape, const T* x, T* y) {
  ESPALIER_ON_ISA(adaptive_avg_pool2d<T>(shape, x, y));
}
template <class T>
void adaptive_avg_pool2d_backward(espalier_adaptive_pool2d shape, const T* dy, T* dx) {
  ESPALIER_ON_ISA(adaptive_avg_pool2d_backward<T>(shape, dy, dx));
}
template <class T>
void adaptive_max_pool2d(espalier_adaptive_pool2d shape, const T* x, T* y, int32_t* indices) {
  ESPALIER_ON_ISA(adaptive_max_pool2d<T>(shape, x, y, indices));
}

#define ESPALIER_POOLS(T)                                                                   \
  template void max_pool2d(espalier_pool2d, const T*, T*, int32_t*);                        \
  template void max_pool_backward(int64_t, int64_t, int64_t, const T*, const int32_t*, T*); \
  template void avg_pool2d(espalier_pool2d, bool, const T*, T*);                            \
  template void avg_pool2d_backward(espalier_pool2d, bool, const T*, T*);                   \
  template void adaptive_avg_pool2d(espalier_adaptive_pool2d, const T*, T*);                \
  template void adaptive_avg_pool2d_backward(espalier_adaptive_pool2d, const T*, T*);       \
  template void adaptive_max_pool2d(espalier_adaptive_pool2d, const T*, T*, int32_t*);
ESPALIER_POOLS(float)
ESPALIER_POOLS(double)
#undef ESPALIER_POOLS

}  // namespace espalier::kernels
