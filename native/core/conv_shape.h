// What is checked of a convolution's geometry.
#pragma once

#include "core/array.h"
#include "espalier/conv.h"

namespace espalier {

// Elements of a convolution's arrays.
struct ConvLengths {
  int64_t x, weight, y;
};

inline ConvLengths checked_conv(const espalier_conv2d& s) {
  // Below 2^31, so that a position, a product of two of them plus another such product, fits in 64 bits.
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  require_range("n", s.n, 0, kMost);
  require_range("in_channels", s.in_channels, 0, kMost);
  require_range("in_height", s.in_height, 0, kMost);
  require_range("in_width", s.in_width, 0, kMost);
  require_range("out_channels", s.out_channels, 0, kMost);
  require_range("out_height", s.out_height, 0, kMost);
  require_range("out_width", s.out_width, 0, kMost);
  require_range("kernel_height", s.kernel_height, 1, kMost);
  require_range("kernel_width", s.kernel_width, 1, kMost);
  require_range("stride_height", s.stride_height, 1, kMost);
  require_range("stride_width", s.stride_width, 1, kMost);
  require_range("padding_top", s.padding_top, 0, kMost);
  require_range("padding_left", s.padding_left, 0, kMost);
  require_range("dilation_height", s.dilation_height, 1, kMost);
  require_range("dilation_width", s.dilation_width, 1, kMost);
  require_range("groups", s.groups, 1, kMost);
  if (s.in_channels % s.groups != 0 || s.out_channels % s.groups != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "%lld in and %lld out channels do not divide into %lld groups",
         static_cast<long long>(s.in_channels), static_cast<long long>(s.out_channels),
         static_cast<long long>(s.groups));
  return {checked_product("x", {s.n, s.in_channels, s.in_height, s.in_width}),
          checked_product("weight", {s.out_channels, s.in_channels / s.groups, s.kernel_height, s.kernel_width}),
          checked_product("y", {s.n, s.out_channels, s.out_height, s.out_width})};
}

}  // namespace espalier
