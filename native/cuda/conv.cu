// Two-dimensional convolution and its gradients, channels first. Products of matrices on tensor cores do
// the work: x is copied with its channels last, so that what is summed over is contiguous, and y is written
// back with its channels first.
#include "espalier/conv.h"

#include "core/conv_shape.h"
#include "cuda/conv_dense.cuh"
#include "cuda/conv_depthwise.cuh"
#include "cuda/conv_plain.cuh"
#include "cuda/conv_products.cuh"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::conv;

namespace espalier::cuda::conv {
namespace {

// Whether the implicit GEMM takes it: the rest is small, odd, or float64.
template <class T>
bool gathered(const espalier_conv2d& s, const ConvLengths& length) {
  return !std::is_same_v<T, double> && ordinary(s) && length.x > 0 && length.y > 0;
}

}  // namespace

template <class T>
void dense_forward(const espalier_conv2d& s, const ConvLengths& length, const T* x, const T* weight, const T* bias,
                   bool relu, T* y) {
  if constexpr (!std::is_same_v<T, double>)
    if (gathered<T>(s, length)) {
      if (depthwise(s) && depthwise_forward(s, x, weight, bias, relu, y)) return;
      return forward<T>(s, false, x, weight, {.bias = bias, .relu = relu}, y);
    }
  plain_forward(s, x, weight, bias, relu, y);
}

template <class T>
void dense_data_grad(const espalier_conv2d& s, const ConvLengths& length, const T* weight, const T* dy, const T* bias,
                     T* dx) {
  if constexpr (!std::is_same_v<T, double>)
    if (gathered<T>(s, length)) {
      if (depthwise(s) && depthwise_data_grad(s, weight, dy, bias, dx)) return;
      return data_grad<T>(s, false, weight, dy, {.bias = bias}, dx);
    }
  plain_data_grad(s, weight, dy, bias, dx);
}

template <class T, class Out>
void dense_weight_grad(const espalier_conv2d& s, const ConvLengths& length, const T* x, const T* dy, Out* dweight) {
  if constexpr (!std::is_same_v<T, double>)
    if (gathered<T>(s, length)) {
      if (depthwise(s) && depthwise_weight_grad(s, x, dy, dweight)) return;
      return weight_grad(s, false, x, dy, dweight);
    }
  plain_weight_grad(s, x, dy, dweight);
}

// For the sparse ones; what else the functions below call comes by itself.
#define ESPALIER_DENSE(T)                                                                                          \
  template void dense_forward(const espalier_conv2d&, const ConvLengths&, const T*, const T*, const T*, bool, T*); \
  template void dense_data_grad(const espalier_conv2d&, const ConvLengths&, const T*, const T*, const T*, T*);     \
  template void dense_weight_grad(const espalier_conv2d&, const ConvLengths&, const T*, const T*, T*);
ESPALIER_DENSE(float)
ESPALIER_DENSE(double)
ESPALIER_DENSE(__half)
ESPALIER_DENSE(__nv_bfloat16)
#undef ESPALIER_DENSE

}  // namespace espalier::cuda::conv

espalier_status espalier_cuda_conv2d_forward(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu,
                                             espalier_out y, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked_conv(shape);
    require_range("relu", relu, int64_t{0}, int64_t{1});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, length.x);
      const T* const by = elements<T>("weight", weight, length.weight);
      const T* const plus = optional_elements<T>("bias", bias, shape.out_channels);
      T* const to = elements<T>("y", y, length.y);
      dense_forward(shape, length, from, by, plus, relu == 1, to);
    });
  });
}

espalier_status espalier_cuda_conv2d_data_grad(espalier_in weight, espalier_in dy, espalier_in bias, espalier_out dx,
                                               espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked_conv(shape);
    for_device_float("dy", dy.dtype, [&]<class T>(T) {
      const T* const by = elements<T>("weight", weight, length.weight);
      const T* const from = elements<T>("dy", dy, length.y);
      const T* const plus = optional_elements<T>("bias", bias, shape.in_channels);
      T* const to = elements<T>("dx", dx, length.x);
      dense_data_grad(shape, length, by, from, plus, to);
    });
  });
}

// For 16-bit x and dy the gradient may be float32.
espalier_status espalier_cuda_conv2d_weight_grad(espalier_in x, espalier_in dy, espalier_out dweight,
                                                 espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked_conv(shape);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const seen = elements<T>("x", x, length.x);
      const T* const from = elements<T>("dy", dy, length.y);
      if constexpr (sizeof(T) == 2)
        if (dweight.dtype == ESPALIER_FLOAT32)
          return dense_weight_grad(shape, length, seen, from, elements<float>("dweight", dweight, length.weight));
      dense_weight_grad(shape, length, seen, from, elements<T>("dweight", dweight, length.weight));
    });
  });
}
