#include "kernels/optimizer.h"

namespace espalier {
// Elements a thread takes at a time: below this, waking another costs more than it saves.
constexpr int64_t kOptimizerGrain = 1 << 14;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/optimizer.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void sgd_step(const SgdStep<T>& step) {
  ESPALIER_ON_ISA(sgd_step<T>(step));
}
template void sgd_step(const SgdStep<float>&);
template void sgd_step(const SgdStep<double>&);

template <class T>
void adam_step(const AdamStep<T>& step) {
  ESPALIER_ON_ISA(adam_step<T>(step));
}
template void adam_step(const AdamStep<float>&);
template void adam_step(const AdamStep<double>&);

template <class T>
void rmsprop_step(const RmspropStep<T>& step) {
  ESPALIER_ON_ISA(rmsprop_step<T>(step));
}
template void rmsprop_step(const RmspropStep<float>&);
template void rmsprop_step(const RmspropStep<double>&);

template <class T>
void scale_gradient(const T* x, double factor, T* y, int64_t n) {
  ESPALIER_ON_ISA(scale_gradient<T>(x, factor, y, n));
}
template void scale_gradient(const float*, double, float*, int64_t);
template void scale_gradient(const double*, double, double*, int64_t);

template <class T>
void clamp_gradient(const T* x, double limit, T* y, int64_t n) {
  ESPALIER_ON_ISA(clamp_gradient<T>(x, limit, y, n));
}
template void clamp_gradient(const float*, double, float*, int64_t);
template void clamp_gradient(const double*, double, double*, int64_t);

}  // namespace espalier::kernels
