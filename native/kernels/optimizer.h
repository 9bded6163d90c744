// Update rules of optimisers; what each computes stands in espalier/optimizer.h.
#pragma once

#include <cstdint>

namespace espalier::kernels {

// What every rule reads and writes. `mask` may be null.
template <class T>
struct Update {
  T* parameter;
  const T* gradient;
  const T* mask;
  bool freeze;    // the mask holds entries in place instead of multiplying the gradient
  bool maximize;  // climb
  double weight_decay;
  int64_t n;
};

template <class T>
struct SgdStep : Update<T> {
  T* velocity;  // null without momentum
  double lr, momentum, dampening;
  bool nesterov, first;
};

template <class T>
struct AdamStep : Update<T> {
  T *mean, *square, *largest;  // largest: null without amsgrad
  int64_t step;
  double lr, beta1, beta2, eps;
  bool decoupled;
};

template <class T>
struct RmspropStep : Update<T> {
  T *square, *mean, *velocity;  // mean: null unless centered; velocity: null without momentum
  double lr, alpha, eps, momentum;
};

template <class T>
void sgd_step(const SgdStep<T>& step);
template <class T>
void adam_step(const AdamStep<T>& step);
template <class T>
void rmsprop_step(const RmspropStep<T>& step);
template <class T>
void scale_gradient(const T* x, double factor, T* y, int64_t n);
template <class T>
void clamp_gradient(const T* x, double limit, T* y, int64_t n);

}  // namespace espalier::kernels
