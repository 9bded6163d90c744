// Losses over rows of class scores and over elements.
#pragma once

#include "espalier/loss.h"

namespace espalier::kernels {

// What a class loss is of, checked: targets are in range or ignored.
template <class T>
struct ClassTargets {
  int64_t rows, classes;
  const int32_t* target;
  const T* weight;  // nullptr: ones
  espalier_reduction reduction;
  int64_t ignore_index;
  double smoothing;
};
// The same with a probability per class.
template <class T>
struct SoftTargets {
  int64_t rows, classes;
  const T* target;
  const T* weight;
  espalier_reduction reduction;
  double smoothing;
};

template <class T>
void cross_entropy_forward(const ClassTargets<T>& of, const T* x, T* loss, T* kept);
template <class T>
void cross_entropy_backward(const ClassTargets<T>& of, const T* dloss, const T* x, const T* kept, T* dx);

template <class T>
void soft_cross_entropy_forward(const SoftTargets<T>& of, const T* x, T* loss, T* kept);
template <class T>
void soft_cross_entropy_backward(const SoftTargets<T>& of, const T* dloss, const T* x, const T* kept, T* dx,
                                 T* dtarget);

template <class T>
void nll_forward(const ClassTargets<T>& of, const T* x, T* loss, T* divisor);
template <class T>
void nll_backward(const ClassTargets<T>& of, const T* dloss, const T* divisor, T* dx);

template <class T>
void distance_forward(espalier_distance kind, T beta, const T* x, const T* target, int64_t n,
                      espalier_reduction reduction, T* loss);
template <class T>
void distance_backward(espalier_distance kind, T beta, const T* dloss, const T* x, const T* target, int64_t n,
                       espalier_reduction reduction, T* dx, T* dtarget);

// A factor that repeats with its length; one of length 0 stands for ones.
template <class T>
struct Repeated {
  const T* data;
  int64_t length;
};
template <class T>
void bce_forward(const T* x, const T* target, Repeated<T> weight, Repeated<T> pos_weight, int64_t n,
                 espalier_reduction reduction, T* loss);
template <class T>
void bce_backward(const T* dloss, const T* x, const T* target, Repeated<T> weight, Repeated<T> pos_weight, int64_t n,
                  espalier_reduction reduction, T* dx, T* dtarget);

}  // namespace espalier::kernels
