// What every function that takes a convolution's geometry checks of it.
#pragma once

#include "core/array.h"
#include "espalier/conv.h"

namespace espalier {

struct Lengths {
  int64_t x, weight, y;
};

inline Lengths checked_lengths(const espalier_conv2d& s) {
  // Below 2^31, so that a position, a product of two of them plus another such product, fits in 64 bits.
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  require_range("n", s.n, int64_t{0}, kMost);
  require_range("in_channels", s.in_channels, int64_t{0}, kMost);
  require_range("in_height", s.in_height, int64_t{0}, kMost);
  require_range("in_width", s.in_width, int64_t{0}, kMost);
  require_range("out_channels", s.out_channels, int64_t{0}, kMost);
  require_range("out_height", s.out_height, int64_t{0}, kMost);
  require_range("out_width", s.out_width, int64_t{0}, kMost);
  require_range("kernel_height", s.kernel_height, int64_t{1}, kMost);
  require_range("kernel_width", s.kernel_width, int64_t{1}, kMost);
  require_range("stride_height", s.stride_height, int64_t{1}, kMost);
  require_range("stride_width", s.stride_width, int64_t{1}, kMost);
  require_range("padding_top", s.padding_top, int64_t{0}, kMost);
  require_range("padding_left", s.padding_left, int64_t{0}, kMost);
  require_range("dilation_height", s.dilation_height, int64_t{1}, kMost);
  require_range("dilation_width", s.dilation_width, int64_t{1}, kMost);
  require_range("groups", s.groups, int64_t{1}, kMost);
  if (s.in_channels % s.groups != 0 || s.out_channels % s.groups != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "%lld in and %lld out channels do not divide into %lld groups",
         static_cast<long long>(s.in_channels), static_cast<long long>(s.out_channels),
         static_cast<long long>(s.groups));
  return {checked_product("x", {s.n, s.in_channels, s.in_height, s.in_width}),
          checked_product("weight", {s.out_channels, s.in_channels / s.groups, s.kernel_height, s.kernel_width}),
          checked_product("y", {s.n, s.out_channels, s.out_height, s.out_width})};
}

}  // namespace espalier
