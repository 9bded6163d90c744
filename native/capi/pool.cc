#include "espalier/pool.h"

#include "core/array.h"
#include "kernels/pool.h"

using namespace espalier;

namespace {

// Above it an index into a plane would not fit its type; every other size shares the limit, so that
// sums and products of two of them fit 64 bits.
constexpr int64_t kLimit = (int64_t{1} << 31) - 1;

struct Sizes {
  int64_t in, out;
};

void require_windows(const char* name, int64_t size, int64_t out, int64_t kernel, int64_t stride, int64_t padding,
                     int64_t dilation) {
  require_range("kernel", kernel, 1, int64_t{1} << 20);
  require_range("stride", stride, 1, kLimit);
  require_range("padding", padding, 0, kernel / 2);
  require_range("dilation", dilation, 1, kLimit);
  require_range(name, size, 0, kLimit);
  require_range(name, out, 0, kLimit);
  if (out > 0 && (kernel - 1) * dilation >= size + 2 * padding)
    fail(ESPALIER_SHAPE_MISMATCH, "%s: a window of %lld is larger than %lld with padding %lld", name,
         static_cast<long long>((kernel - 1) * dilation + 1), static_cast<long long>(size),
         static_cast<long long>(padding));
  if (out > 0 && (out - 1) * stride >= size + padding)
    fail(ESPALIER_SHAPE_MISMATCH, "%s: the last of %lld windows starts at %lld, behind the %lld values", name,
         static_cast<long long>(out), static_cast<long long>((out - 1) * stride - padding),
         static_cast<long long>(size));
}

Sizes checked(const espalier_pool2d& shape) {
  require_windows("height", shape.height, shape.out_height, shape.kernel_height, shape.stride_height,
                  shape.padding_height, shape.dilation_height);
  require_windows("width", shape.width, shape.out_width, shape.kernel_width, shape.stride_width, shape.padding_width,
                  shape.dilation_width);
  require_range("height * width", shape.height * shape.width, 0, kLimit);
  return {checked_product("shape", {shape.planes, shape.height, shape.width}),
          checked_product("shape", {shape.planes, shape.out_height, shape.out_width})};
}

Sizes checked(const espalier_adaptive_pool2d& shape) {
  for (const int64_t size : {shape.height, shape.width, shape.out_height, shape.out_width})
    require_range("shape", size, 0, kLimit);
  require_range("height * width", shape.height * shape.width, 0, kLimit);
  const Sizes sizes{checked_product("shape", {shape.planes, shape.height, shape.width}),
                    checked_product("shape", {shape.planes, shape.out_height, shape.out_width})};
  if (sizes.out > 0 && sizes.in == 0) fail(ESPALIER_SHAPE_MISMATCH, "the planes are empty, the windows are not");
  return sizes;
}

}  // namespace

espalier_status espalier_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices,
                                            espalier_pool2d shape) {
  return guarded(__func__, [&] {
    const Sizes sizes = checked(shape);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::max_pool2d(shape, elements<T>("x", x, sizes.in), elements<T>("y", y, sizes.out),
                          optional_elements<int32_t>("indices", indices, sizes.out));
    });
  });
}

espalier_status espalier_max_pool_backward(espalier_in dy, espalier_in indices, espalier_out dx, int64_t planes,
                                           int64_t in_size, int64_t out_size) {
  return guarded(__func__, [&] {
    const int64_t in = checked_product("shape", {planes, in_size});
    const int64_t out = checked_product("shape", {planes, out_size});
    const int32_t* const where = elements<int32_t>("indices", indices, out);
    for (int64_t i = 0; i < out; ++i)
      if (where[i] < -1 || where[i] >= in_size)
        fail(ESPALIER_INVALID_ARGUMENT, "indices[%lld] is %d, expected -1 to %lld", static_cast<long long>(i), where[i],
             static_cast<long long>(in_size - 1));
    for_float("dy", dy.dtype, [&]<class T>(T) {
      kernels::max_pool_backward(planes, in_size, out_size, elements<T>("dy", dy, out), where,
                                 elements<T>("dx", dx, in));
    });
  });
}

namespace {
void require_undilated(const espalier_pool2d& shape) {
  if (shape.dilation_height != 1 || shape.dilation_width != 1)
    fail(ESPALIER_INVALID_ARGUMENT, "the dilation is %lld x %lld, expected 1 x 1",
         static_cast<long long>(shape.dilation_height), static_cast<long long>(shape.dilation_width));
}
}  // namespace

espalier_status espalier_avg_pool2d_forward(espalier_in x, int64_t count_padding, espalier_out y,
                                            espalier_pool2d shape) {
  return guarded(__func__, [&] {
    const Sizes sizes = checked(shape);
    require_undilated(shape);
    require_range("count_padding", count_padding, 0, 1);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::avg_pool2d(shape, count_padding == 1, elements<T>("x", x, sizes.in), elements<T>("y", y, sizes.out));
    });
  });
}

espalier_status espalier_avg_pool2d_backward(espalier_in dy, int64_t count_padding, espalier_out dx,
                                             espalier_pool2d shape) {
  return guarded(__func__, [&] {
    const Sizes sizes = checked(shape);
    require_undilated(shape);
    require_range("count_padding", count_padding, 0, 1);
    for_float("dy", dy.dtype, [&]<class T>(T) {
      kernels::avg_pool2d_backward(shape, count_padding == 1, elements<T>("dy", dy, sizes.out),
                                   elements<T>("dx", dx, sizes.in));
    });
  });
}

espalier_status espalier_adaptive_avg_pool2d_forward(espalier_in x, espalier_out y, espalier_adaptive_pool2d shape) {
  return guarded(__func__, [&] {
    const Sizes sizes = checked(shape);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::adaptive_avg_pool2d(shape, elements<T>("x", x, sizes.in), elements<T>("y", y, sizes.out));
    });
  });
}

espalier_status espalier_adaptive_avg_pool2d_backward(espalier_in dy, espalier_out dx, espalier_adaptive_pool2d shape) {
  return guarded(__func__, [&] {
    const Sizes sizes = checked(shape);
    for_float("dy", dy.dtype, [&]<class T>(T) {
      kernels::adaptive_avg_pool2d_backward(shape, elements<T>("dy", dy, sizes.out), elements<T>("dx", dx, sizes.in));
    });
  });
}

espalier_status espalier_adaptive_max_pool2d_forward(espalier_in x, espalier_out y, espalier_out indices,
                                                     espalier_adaptive_pool2d shape) {
  return guarded(__func__, [&] {
    const Sizes sizes = checked(shape);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::adaptive_max_pool2d(shape, elements<T>("x", x, sizes.in), elements<T>("y", y, sizes.out),
                                   optional_elements<int32_t>("indices", indices, sizes.out));
    });
  });
}
