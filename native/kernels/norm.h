// Batch and layer normalisation.
#pragma once

#include "espalier/norm.h"

namespace espalier::kernels {

// The affine part: nullptr stands for ones and zeros.
template <class T>
struct Affine {
  const T* weight;
  const T* bias;
};
template <class T>
struct RunningStatistics {
  T* mean;  // both or neither
  T* var;
  double momentum;
};
// Where gradients go; nullptr: not wanted.
template <class T>
struct NormGradients {
  T* x;
  T* weight;
  T* bias;
};

template <class T>
void batch_norm_train(espalier_channels shape, const T* x, Affine<T> affine, double eps, RunningStatistics<T> running,
                      T* mean, T* scale, T* y);
template <class T>
void batch_norm_eval(espalier_channels shape, const T* x, Affine<T> affine, double eps, const T* mean, const T* var,
                     T* y);
template <class T>
void batch_norm_train_backward(espalier_channels shape, const T* dy, const T* x, const T* weight, const T* mean,
                               const T* scale, NormGradients<T> to);
template <class T>
void batch_norm_eval_backward(espalier_channels shape, const T* dy, const T* x, const T* weight, const T* mean,
                              const T* var, double eps, NormGradients<T> to);

template <class T>
void layer_norm_forward(espalier_rows shape, const T* x, Affine<T> affine, double eps, T* mean, T* scale, T* y);
template <class T>
void layer_norm_backward(espalier_rows shape, const T* dy, const T* x, const T* weight, const T* mean, const T* scale,
                         NormGradients<T> to);

}  // namespace espalier::kernels
