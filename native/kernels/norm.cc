#include "kernels/norm.h"

namespace espalier {
// Elements a thread takes at a time.
constexpr int64_t kNormGrain = 1 << 14;
// Vectors that are added in the element type before a sum goes on in double.
constexpr int64_t kNormFold = 1 << 8;
// Layer norm adds the gradients of weight and bias over so many blocks of rows at most.
constexpr int64_t kNormBlocks = 32;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/norm.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void batch_norm_train(espalier_channels shape, const T* x, Affine<T> affine, double eps, RunningStatistics<T> running,
                      T* mean, T* scale, T* y) {
  ESPALIER_ON_ISA(batch_norm_train<T>(shape, x, affine, eps, running, mean, scale, y));
}
template <class T>
void batch_norm_eval(espalier_channels shape, const T* x, Affine<T> affine, double eps, const T* mean, const T* var,
                     T* y) {
  ESPALIER_ON_ISA(batch_norm_eval<T>(shape, x, affine, eps, mean, var, y));
}
template <class T>
void batch_norm_train_backward(espalier_channels shape, const T* dy, const T* x, const T* weight, const T* mean,
                               const T* scale, NormGradients<T> to) {
  ESPALIER_ON_ISA(batch_norm_train_backward<T>(shape, dy, x, weight, mean, scale, to));
}
template <class T>
void batch_norm_eval_backward(espalier_channels shape, const T* dy, const T* x, const T* weight, const T* mean,
                              const T* var, double eps, NormGradients<T> to) {
  ESPALIER_ON_ISA(batch_norm_eval_backward<T>(shape, dy, x, weight, mean, var, eps, to));
}
template <class T>
void layer_norm_forward(espalier_rows shape, const T* x, Affine<T> affine, double eps, T* mean, T* scale, T* y) {
  ESPALIER_ON_ISA(layer_norm_forward<T>(shape, x, affine, eps, mean, scale, y));
}
template <class T>
void layer_norm_backward(espalier_rows shape, const T* dy, const T* x, const T* weight, const T* mean, const T* scale,
                         NormGradients<T> to) {
  ESPALIER_ON_ISA(layer_norm_backward<T>(shape, dy, x, weight, mean, scale, to));
}

#define ESPALIER_NORMS(T)                                                                                             \
  template void batch_norm_train(espalier_channels, const T*, Affine<T>, double, RunningStatistics<T>, T*, T*, T*);   \
  template void batch_norm_eval(espalier_channels, const T*, Affine<T>, double, const T*, const T*, T*);              \
  template void batch_norm_train_backward(espalier_channels, const T*, const T*, const T*, const T*, const T*,        \
                                          NormGradients<T>);                                                          \
  template void batch_norm_eval_backward(espalier_channels, const T*, const T*, const T*, const T*, const T*, double, \
                                         NormGradients<T>);                                                           \
  template void layer_norm_forward(espalier_rows, const T*, Affine<T>, double, T*, T*, T*);                           \
  template void layer_norm_backward(espalier_rows, const T*, const T*, const T*, const T*, const T*, NormGradients<T>);
ESPALIER_NORMS(float)
ESPALIER_NORMS(double)
#undef ESPALIER_NORMS

}  // namespace espalier::kernels
