// Into the layouts of the implicit-GEMM convolutions: channels last, those of each group padded with zeros.
#pragma once

#include "cuda/conv_plan.cuh"
#include "cuda/conv_tile.cuh"

namespace espalier::cuda::conv {

// x [images, channels, plane] into y [images, plane, groups · depth].
template <class From, class To>
void to_channels_last(const From* x, To* y, int64_t images, int64_t channels, int64_t plane, int64_t groups,
                      int64_t depth);

// x [positions, channels], channels last already, into y [positions, groups · depth].
template <class From, class To>
void pad_channels(const From* x, To* y, int64_t positions, int64_t channels, int64_t groups, int64_t depth);

// x [images, channels, height, width], or with its channels last, into y [images, height, ⌈width / factor⌉, chunk].
template <class From, class To>
void fold_columns(const From* x, To* y, int64_t images, int64_t channels, int64_t height, int64_t width,
                  bool channels_last, const Fold& fold);

// The weight [out_channels, in_channels / groups, kernel], or with its channels last, as [out_channels, kernel,
// depth], its columns folded; for the gradient for the data, with in- and output channels exchanged in each
// group, as [in_channels, kernel, depth].
template <class From, class To>
void pack_weight(const From* weight, To* packed, const espalier_conv2d& shape, bool channels_last, const Fold& fold);
template <class From, class To>
void pack_exchanged(const From* weight, To* packed, const espalier_conv2d& shape, bool channels_last);

// An array as the kernels read it: itself where it has their type and its channels fill whole chunks, else a copy.
template <class U, class T>
class Operand {
 public:
  Operand(const T* x, int64_t images, int64_t channels, int64_t height, int64_t width, int64_t groups,
          bool channels_last, const Fold& fold = {})
      : depth_(padded<U>(fold.factor > 1 ? fold.factor * fold.slot : channels / groups)),
        own_(as_is(channels, groups, channels_last, fold)
                 ? 0
                 : images * height * ceil_div(width, fold.factor) * groups * depth_),
        data_(own_) {
    if constexpr (std::is_same_v<U, T>)
      if (as_is(channels, groups, channels_last, fold)) {
        data_ = x;
        return;
      }
    if (fold.factor > 1) fold_columns(x, own_.get(), images, channels, height, width, channels_last, fold);
    else if (channels_last) pad_channels(x, own_.get(), images * height * width, channels, groups, depth_);
    else to_channels_last(x, own_.get(), images, channels, height * width, groups, depth_);
  }
  operator const U*() const { return data_; }
  int64_t depth() const { return depth_; }

 private:
  bool as_is(int64_t channels, int64_t groups, bool channels_last, const Fold& fold) const {
    return std::is_same_v<U, T> && channels_last && fold.factor == 1 && depth_ * groups == channels;
  }
  const int64_t depth_;
  const Temporary<U> own_;
  const U* data_;
};

}  // namespace espalier::cuda::conv
