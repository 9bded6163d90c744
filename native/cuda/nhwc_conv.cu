// Convolution with channels last: the implicit GEMM without the copies around it, unless channels are to be
// padded or float32 rounded.
#include "cuda/conv_check.h"
#include "cuda/conv_gather.cuh"
#include "cuda/conv_layout.cuh"
#include "cuda/conv_weight.cuh"
#include "cuda/nhwc.cuh"
#include "cuda/nhwc_depthwise.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::conv;
using namespace espalier::cuda::nhwc;

namespace {

Lengths checked(const espalier_conv2d& s) {
  const Lengths lengths = checked_lengths(s);
  if (!ordinary(s))
    fail(ESPALIER_INVALID_ARGUMENT,
         "kernel %lld × %lld, stride %lld × %lld: with channels last kernels go up to %d, strides up to %d",
         static_cast<long long>(s.kernel_height), static_cast<long long>(s.kernel_width),
         static_cast<long long>(s.stride_height), static_cast<long long>(s.stride_width), Axis::kMostTaps,
         Axis::kMostPhases);
  return lengths;
}

// The array as the kernels read it: itself where its channels fill whole chunks of the operands' type.
template <class U, class T>
class Operand {
 public:
  Operand(const T* x, int64_t positions, int64_t channels, int64_t groups)
      : depth_(padded<U>(channels / groups)), own_(fits(channels, groups) ? 0 : positions * groups * depth_) {
    if constexpr (std::is_same_v<U, T>)
      if (fits(channels, groups)) {
        data_ = x;
        return;
      }
    pad_channels(x, own_.get(), positions, channels, groups, depth_);
    data_ = own_.get();
  }
  operator const U*() const { return data_; }
  int64_t depth() const { return depth_; }

 private:
  bool fits(int64_t channels, int64_t groups) const { return std::is_same_v<U, T> && depth_ * groups == channels; }
  int64_t depth_;
  Temporary<U> own_;
  const U* data_;
};

template <class U, class T>
GatherProduct<U, T> product_of(const espalier_conv2d& s, const U* x, const U* weight, T* y, int64_t depth,
                               int64_t channels) {
  GatherProduct<U, T> product{};
  product.x = x, product.weight = weight, product.y = y;
  product.channels_last = true;
  product.images = static_cast<int32_t>(s.n), product.groups = static_cast<int32_t>(s.groups);
  product.depth = static_cast<int32_t>(depth), product.width = static_cast<int32_t>(channels / s.groups);
  product.kernel_width = static_cast<int32_t>(s.kernel_width);
  product.kernel_elements = static_cast<int32_t>(s.kernel_height * s.kernel_width);
  return product;
}

template <class U, class T>
void forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y, Moments* moments) {
  const Operand<U, T> operand(x, s.n * s.in_height * s.in_width, s.in_channels, s.groups);
  const Operand<U, T> packed(weight, s.out_channels * s.kernel_height * s.kernel_width, s.in_channels / s.groups, 1);
  GatherProduct<U, T> product = product_of<U, T>(s, operand, packed, y, operand.depth(), s.out_channels);
  product.bias = bias, product.relu = relu, product.moments = moments;
  product.rows =
      forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  product.columns =
      forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  gather_product(product);
}

template <class U, class T>
void data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* add, T* dx) {
  const Operand<U, T> operand(dy, s.n * s.out_height * s.out_width, s.out_channels, s.groups);
  const Temporary<U> packed(s.in_channels * s.kernel_height * s.kernel_width * operand.depth());
  pack_weight(weight, packed.get(), s, true, true, operand.depth());
  GatherProduct<U, T> product = product_of<U, T>(s, operand, packed, dx, operand.depth(), s.in_channels);
  product.add = add;
  product.rows =
      data_grad_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  product.columns =
      data_grad_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  gather_product(product);
}

template <class U, class T, class Out>
void weight_grad(const espalier_conv2d& s, const T* x, const T* dy, Out* dweight) {
  const Operand<U, T> from(x, s.n * s.in_height * s.in_width, s.in_channels, s.groups);
  const Operand<U, T> to(dy, s.n * s.out_height * s.out_width, s.out_channels, s.groups);
  weight_product<U, Out>({from, to, dweight, true, s});
}

}  // namespace

espalier_status espalier_cuda_conv2d_forward_nhwc(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu,
                                                  espalier_out y, espalier_out moments, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = checked(shape);
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
      with_operand<T>(
          [&]<class U>(U) { forward<U>(shape, from, by, plus, relu == 1, to, reinterpret_cast<Moments*>(described)); });
    });
  });
}

espalier_status espalier_cuda_conv2d_data_grad_nhwc(espalier_in weight, espalier_in dy, espalier_in add,
                                                    espalier_out dx, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = checked(shape);
    for_activation("dy", dy.dtype, [&]<class T>(T) {
      const T* const by = aligned_elements<T>("weight", weight, length.weight);
      const T* const from = aligned_elements<T>("dy", dy, length.y);
      const T* const plus = optional_aligned_elements<T>("add", add, length.x);
      T* const to = aligned_elements<T>("dx", dx, length.x);
      if (length.x == 0) return;
      if (length.y == 0)
        fail(ESPALIER_INVALID_ARGUMENT, "dy has no elements: with channels last there must be some where x has");
      if (depthwise_lanes(shape)) return lanes_data_grad(shape, by, from, plus, to);
      with_operand<T>([&]<class U>(U) { data_grad<U>(shape, by, from, plus, to); });
    });
  });
}

espalier_status espalier_cuda_conv2d_weight_grad_nhwc(espalier_in x, espalier_in dy, espalier_out dweight,
                                                      espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = checked(shape);
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const seen = aligned_elements<T>("x", x, length.x);
      const T* const from = aligned_elements<T>("dy", dy, length.y);
      const auto into = [&]<class Out>(Out* to) {
        if (length.weight == 0) return;
        if (length.x == 0 || length.y == 0)
          ESPALIER_CUDA(cudaMemsetAsync(to, 0, static_cast<size_t>(length.weight) * sizeof(Out), stream()));
        else if (depthwise_lanes(shape)) lanes_weight_grad(shape, seen, from, to);
        else with_operand<T>([&]<class U>(U) { weight_grad<U>(shape, seen, from, to); });
      };
      if (sizeof(T) == 2 && dweight.dtype == ESPALIER_FLOAT32) into(elements<float>("dweight", dweight, length.weight));
      else into(elements<T>("dweight", dweight, length.weight));
    });
  });
}
