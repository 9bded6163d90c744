#include "kernels/softmax.h"

namespace espalier {
// Elements a thread takes at a time.
constexpr int64_t kSoftmaxGrain = 1 << 13;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/softmax.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void softmax_forward(Softmax kind, const T* x, T* y, espalier_strip shape) {
  ESPALIER_ON_ISA(softmax_forward<T>(kind, x, y, shape));
}
template void softmax_forward(Softmax, const float*, float*, espalier_strip);
template void softmax_forward(Softmax, const double*, double*, espalier_strip);

template <class T>
void softmax_backward(Softmax kind, const T* dy, const T* y, T* dx, espalier_strip shape) {
  ESPALIER_ON_ISA(softmax_backward<T>(kind, dy, y, dx, shape));
}
template void softmax_backward(Softmax, const float*, const float*, float*, espalier_strip);
template void softmax_backward(Softmax, const double*, const double*, double*, espalier_strip);

}  // namespace espalier::kernels
