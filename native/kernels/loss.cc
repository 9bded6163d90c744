#include "kernels/loss.h"

namespace espalier {
// Elements a thread takes at a time, and a block of a sum.
constexpr int64_t kLossGrain = 1 << 13;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/loss.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void cross_entropy_forward(const ClassTargets<T>& of, const T* x, T* loss, T* kept) {
  ESPALIER_ON_ISA(cross_entropy_forward<T>(of, x, loss, kept));
}
template <class T>
void cross_entropy_backward(const ClassTargets<T>& of, const T* dloss, const T* x, const T* kept, T* dx) {
  ESPALIER_ON_ISA(cross_entropy_backward<T>(of, dloss, x, kept, dx));
}
template <class T>
void soft_cross_entropy_forward(const SoftTargets<T>& of, const T* x, T* loss, T* kept) {
  ESPALIER_ON_ISA(soft_cross_entropy_forward<T>(of, x, loss, kept));
}
template <class T>
void soft_cross_entropy_backward(const SoftTargets<T>& of, const T* dloss, const T* x, const T* kept, T* dx,
                                 T* dtarget) {
  ESPALIER_ON_ISA(soft_cross_entropy_backward<T>(of, dloss, x, kept, dx, dtarget));
}
template <class T>
void nll_forward(const ClassTargets<T>& of, const T* x, T* loss, T* divisor) {
  ESPALIER_ON_ISA(nll_forward<T>(of, x, loss, divisor));
}
template <class T>
void nll_backward(const ClassTargets<T>& of, const T* dloss, const T* divisor, T* dx) {
  ESPALIER_ON_ISA(nll_backward<T>(of, dloss, divisor, dx));
}
template <class T>
void distance_forward(espalier_distance kind, T beta, const T* x, const T* target, int64_t n,
                      espalier_reduction reduction, T* loss) {
  ESPALIER_ON_ISA(distance_forward<T>(kind, beta, x, target, n, reduction, loss));
}
template <class T>
void distance_backward(espalier_distance kind, T beta, const T* dloss, const T* x, const T* target, int64_t n,
                       espalier_reduction reduction, T* dx, T* dtarget) {
  ESPALIER_ON_ISA(distance_backward<T>(kind, beta, dloss, x, target, n, reduction, dx, dtarget));
}
template <class T>
void bce_forward(const T* x, const T* target, Repeated<T> weight, Repeated<T> pos_weight, int64_t n,
                 espalier_reduction reduction, T* loss) {
  ESPALIER_ON_ISA(bce_forward<T>(x, target, weight, pos_weight, n, reduction, loss));
}
template <class T>
void bce_backward(const T* dloss, const T* x, const T* target, Repeated<T> weight, Repeated<T> pos_weight, int64_t n,
                  espalier_reduction reduction, T* dx, T* dtarget) {
  ESPALIER_ON_ISA(bce_backward<T>(dloss, x, target, weight, pos_weight, n, reduction, dx, dtarget));
}

#define ESPALIER_LOSSES(T)                                                                                             \
  template void cross_entropy_forward(const ClassTargets<T>&, const T*, T*, T*);                                       \
  template void cross_entropy_backward(const ClassTargets<T>&, const T*, const T*, const T*, T*);                      \
  template void soft_cross_entropy_forward(const SoftTargets<T>&, const T*, T*, T*);                                   \
  template void soft_cross_entropy_backward(const SoftTargets<T>&, const T*, const T*, const T*, T*, T*);              \
  template void nll_forward(const ClassTargets<T>&, const T*, T*, T*);                                                 \
  template void nll_backward(const ClassTargets<T>&, const T*, const T*, T*);                                          \
  template void distance_forward(espalier_distance, T, const T*, const T*, int64_t, espalier_reduction, T*);           \
  template void distance_backward(espalier_distance, T, const T*, const T*, const T*, int64_t, espalier_reduction, T*, \
                                  T*);                                                                                 \
  template void bce_forward(const T*, const T*, Repeated<T>, Repeated<T>, int64_t, espalier_reduction, T*);            \
  template void bce_backward(const T*, const T*, const T*, Repeated<T>, Repeated<T>, int64_t, espalier_reduction, T*,  \
                             T*);
ESPALIER_LOSSES(float)
ESPALIER_LOSSES(double)
#undef ESPALIER_LOSSES

}  // namespace espalier::kernels
