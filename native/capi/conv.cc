#include "espalier/conv.h"

#include "core/array.h"
#include "kernels/conv.h"

using namespace espalier;

namespace {

// Below 2^31, so that a position, a product of two of them plus another such product, fits in 64 bits.
constexpr int64_t kMost = (int64_t{1} << 31) - 1;

struct Lengths {
  int64_t x, weight, y;
};

Lengths check(const espalier_conv2d& s) {
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

}  // namespace

espalier_status espalier_conv2d_forward(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu,
                                        espalier_out y, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = check(shape);
    require_range("relu", relu, 0, 1);
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, length.x);
      const T* const by = elements<T>("weight", weight, length.weight);
      const T* const plus = optional_elements<T>("bias", bias, shape.out_channels);
      kernels::conv2d_forward(shape, from, by, plus, relu == 1, elements<T>("y", y, length.y));
    });
  });
}

espalier_status espalier_conv2d_data_grad(espalier_in weight, espalier_in dy, espalier_in bias, espalier_out dx,
                                          espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = check(shape);
    for_float("dy", dy.dtype, [&]<class T>(T) {
      const T* const by = elements<T>("weight", weight, length.weight);
      const T* const from = elements<T>("dy", dy, length.y);
      const T* const plus = optional_elements<T>("bias", bias, shape.in_channels);
      kernels::conv2d_data_grad(shape, by, from, plus, elements<T>("dx", dx, length.x));
    });
  });
}

espalier_status espalier_conv2d_weight_grad(espalier_in x, espalier_in dy, espalier_out dweight,
                                            espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const Lengths length = check(shape);
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const seen = elements<T>("x", x, length.x);
      const T* const from = elements<T>("dy", dy, length.y);
      kernels::conv2d_weight_grad(shape, seen, from, elements<T>("dweight", dweight, length.weight));
    });
  });
}

espalier_status espalier_channel_sum(int64_t n, int64_t channels, int64_t plane, espalier_in x, espalier_out sums) {
  return guarded(__func__, [&] {
    const int64_t length = checked_product("x", {n, channels, plane});
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::channel_sum(n, channels, plane, elements<T>("x", x, length), elements<T>("sums", sums, channels));
    });
  });
}
