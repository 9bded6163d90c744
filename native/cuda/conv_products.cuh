// A convolution and its gradients as products: the operands brought into the layout of the kernels, and back.
// float32 takes the road that espalier_cuda_set_precision says.
#pragma once

#include "cuda/conv_gather.cuh"
#include "cuda/conv_layout.cuh"
#include "cuda/conv_weight.cuh"

namespace espalier::cuda::conv {

// What happens to a sum before it is stored; see GatherProduct.
template <class T>
struct Finish {
  const T* bias = nullptr;
  const T* add = nullptr;
  bool relu = false;
  Moments* moments = nullptr;
};

template <class U, class T>
GatherProduct<U, T> product_of(const espalier_conv2d& s, const U* x, const U* weight, const Finish<T>& finish,
                               bool channels_last, T* y, int64_t depth, int64_t channels) {
  GatherProduct<U, T> product{};
  product.x = x, product.weight = weight, product.y = y;
  product.bias = finish.bias, product.add = finish.add, product.relu = finish.relu, product.moments = finish.moments;
  product.channels_last = channels_last;
  product.images = static_cast<int32_t>(s.n), product.groups = static_cast<int32_t>(s.groups);
  product.depth = static_cast<int32_t>(depth), product.width = static_cast<int32_t>(channels / s.groups);
  product.kernel_width = static_cast<int32_t>(s.kernel_width);
  product.kernel_elements = static_cast<int32_t>(s.kernel_height * s.kernel_width);
  return product;
}

template <class T>
void forward(const espalier_conv2d& shape, bool channels_last, const T* x, const T* weight, const Finish<T>& finish,
             T* y) {
  with_operand<T>([&]<class U>(U) {
    const Fold fold = fold_of<U>(shape);
    const espalier_conv2d s = folded(shape, fold);
    const Operand<U, T> from(x, shape.n, shape.in_channels, shape.in_height, shape.in_width, shape.groups,
                             channels_last, fold);
    const bool packs =
        !std::is_same_v<U, T> || !channels_last || fold.factor > 1 || from.depth() * shape.groups != shape.in_channels;
    const Temporary<U> packed(packs ? s.out_channels * s.kernel_height * s.kernel_width * from.depth() : 0);
    const U* by = packed;
    if (packs) pack_weight(weight, packed.get(), shape, channels_last, fold);
    else if constexpr (std::is_same_v<U, T>) by = weight;
    GatherProduct<U, T> product = product_of<U, T>(s, from, by, finish, channels_last, y, from.depth(), s.out_channels);
    product.rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
    product.columns =
        forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
    gather_product(product);
  });
}

template <class T>
void data_grad(const espalier_conv2d& s, bool channels_last, const T* weight, const T* dy, const Finish<T>& finish,
               T* dx) {
  with_operand<T>([&]<class U>(U) {
    const Operand<U, T> from(dy, s.n, s.out_channels, s.out_height, s.out_width, s.groups, channels_last);
    const Temporary<U> packed(s.in_channels * s.kernel_height * s.kernel_width * from.depth());
    pack_exchanged(weight, packed.get(), s, channels_last);
    GatherProduct<U, T> product =
        product_of<U, T>(s, from, packed, finish, channels_last, dx, from.depth(), s.in_channels);
    product.rows =
        data_grad_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
    product.columns =
        data_grad_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
    gather_product(product);
  });
}

template <class T, class Out>
void weight_grad(const espalier_conv2d& s, bool channels_last, const T* x, const T* dy, Out* dweight) {
  with_operand<T>([&]<class U>(U) {
    const Fold fold = fold_of<U>(s);
    const Operand<U, T> from(x, s.n, s.in_channels, s.in_height, s.in_width, s.groups, channels_last, fold);
    const Operand<U, T> to(dy, s.n, s.out_channels, s.out_height, s.out_width, s.groups, channels_last);
    weight_product<U, Out>({from, to, dweight, channels_last, s, fold});
  });
}

}  // namespace espalier::cuda::conv
