// Convolution with channels last: the implicit GEMM without the copies around it, unless channels are to be
// padded or float32 rounded.
#include "core/conv_shape.h"
#include "cuda/conv_products.cuh"
#include "cuda/nhwc_depthwise.cuh"
#include "cuda/nhwc_statistics.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::conv;
using namespace espalier::cuda::nhwc;

namespace {

ConvLengths checked(const espalier_conv2d& s) {
  const ConvLengths lengths = checked_conv(s);
  if (!ordinary(s))
    fail(ESPALIER_INVALID_ARGUMENT,
         "kernel %lld × %lld, stride %lld × %lld: with channels last kernels go up to %d, strides up to %d",
         static_cast<long long>(s.kernel_height), static_cast<long long>(s.kernel_width),
         static_cast<long long>(s.stride_height), static_cast<long long>(s.stride_width), Axis::kMostTaps,
         Axis::kMostPhases);
  return lengths;
}

}  // namespace

espalier_status espalier_cuda_conv2d_forward_nhwc(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu,
                                                  espalier_out y, espalier_out moments, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked(shape);
    require_range("relu", relu, int64_t{0}, int64_t{1});
    const int64_t positions = shape.n * shape.out_height * shape.out_width;
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("x", x, length.x);
      const T* const by = aligned_elements<T>("weight", weight, length.weight);
      const T* const plus = optional_elements<T>("bias", bias, shape.out_channels);
      T* const to = aligned_elements<T>("y", y, length.y);
      float* const described =
          optional_elements<float>("moments", moments, 2 * ceil_div(positions, kMomentRows) * shape.out_channels);
      if (length.y == 0) return;
      if (length.x == 0)
        fail(ESPALIER_INVALID_ARGUMENT, "x has no elements: with channels last there must be some where y has");
      if (described != nullptr && !moments_in_one(shape))
        fail(ESPALIER_INVALID_ARGUMENT, "moments of images of %lld elements are not supported",
             static_cast<long long>(length.x / shape.n));
      Moments* const moments_of_y = reinterpret_cast<Moments*>(described);
      if (!depthwise_lanes(shape))
        return forward<T>(shape, true, from, by, {.bias = plus, .relu = relu == 1, .moments = moments_of_y}, to);
      lanes_forward(shape, from, by, plus, relu == 1, to);
      if (moments_of_y != nullptr) describe(to, moments_of_y, {positions, shape.out_channels});
    });
  });
}

espalier_status espalier_cuda_conv2d_data_grad_nhwc(espalier_in weight, espalier_in dy, espalier_in add,
                                                    espalier_out dx, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked(shape);
    for_activation("dy", dy.dtype, [&]<class T>(T) {
      const T* const by = aligned_elements<T>("weight", weight, length.weight);
      const T* const from = aligned_elements<T>("dy", dy, length.y);
      const T* const plus = optional_aligned_elements<T>("add", add, length.x);
      T* const to = aligned_elements<T>("dx", dx, length.x);
      if (length.x == 0) return;
      if (length.y == 0)
        fail(ESPALIER_INVALID_ARGUMENT, "dy has no elements: with channels last there must be some where x has");
      if (depthwise_lanes(shape)) return lanes_data_grad(shape, by, from, plus, to);
      data_grad<T>(shape, true, by, from, {.add = plus}, to);
    });
  });
}

espalier_status espalier_cuda_conv2d_weight_grad_nhwc(espalier_in x, espalier_in dy, espalier_out dweight,
                                                      espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked(shape);
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const seen = aligned_elements<T>("x", x, length.x);
      const T* const from = aligned_elements<T>("dy", dy, length.y);
      const auto into = [&]<class Out>(Out* to) {
        if (length.weight == 0) return;
        if (length.x == 0 || length.y == 0)
          ESPALIER_CUDA(cudaMemsetAsync(to, 0, static_cast<size_t>(length.weight) * sizeof(Out), stream()));
        else if (depthwise_lanes(shape)) lanes_weight_grad(shape, seen, from, to);
        else weight_grad(shape, true, seen, from, to);
      };
      if (sizeof(T) == 2 && dweight.dtype == ESPALIER_FLOAT32) into(elements<float>("dweight", dweight, length.weight));
      else into(elements<T>("dweight", dweight, length.weight));
    });
  });
}
