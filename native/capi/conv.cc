#include "espalier/conv.h"

#include "core/conv_shape.h"
#include "kernels/conv.h"

using namespace espalier;

espalier_status espalier_conv2d_forward(espalier_in x, espalier_in weight, espalier_in bias, int64_t relu,
                                        espalier_out y, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked_conv(shape);
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
    const ConvLengths length = checked_conv(shape);
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
    const ConvLengths length = checked_conv(shape);
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
