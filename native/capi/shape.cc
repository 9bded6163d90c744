#include "espalier/shape.h"

#include "core/array.h"
#include "core/moves.h"
#include "kernels/shape.h"

using namespace espalier;

namespace {

const int32_t* lines(espalier_in indices, int64_t n) {
  const int32_t* const at = elements<int32_t>("indices", indices, indices.length);
  for (int64_t i = 0; i < indices.length; ++i) {
    if (at[i] < 0 || at[i] >= n)
      fail(ESPALIER_INVALID_ARGUMENT, "index %d is outside 0 to %lld", at[i], static_cast<long long>(n - 1));
  }
  return at;
}

}  // namespace

espalier_status espalier_copy_strided(espalier_dims shape, espalier_dims x_strides, int64_t x_offset,
                                      espalier_dims y_strides, int64_t y_offset, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    require_same_dtype(x, y);
    const int64_t bytes = bytes_of("x", x.dtype);
    const char* const from = static_cast<const char*>(any_elements("x", x, x.length));
    char* const to = static_cast<char*>(any_elements("y", y, y.length));
    const Layout<2> layout = copy_nest(shape, x_strides, x_offset, x.length, y_strides, y_offset, y.length);
    if (layout.size() > 0) kernels::copy_strided(layout, bytes, from + x_offset * bytes, to + y_offset * bytes);
  });
}

espalier_status espalier_take(int64_t outer, int64_t n, int64_t inner, espalier_in x, espalier_in indices,
                              espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t from = checked_product("x", {outer, n, inner});
    const int64_t to = checked_product("y", {outer, indices.length, inner});
    const int32_t* const at = lines(indices, n);
    require_same_dtype(x, y);
    const int64_t line = checked_product("line", {inner, bytes_of("x", x.dtype)});
    const void* const source = any_elements("x", x, from);
    void* const target = any_elements("y", y, to);
    if (to > 0) kernels::take(outer, n, line, source, at, indices.length, target);
  });
}

espalier_status espalier_take_backward(int64_t outer, int64_t n, int64_t inner, espalier_in grad, espalier_in indices,
                                       espalier_out grad_x) {
  return guarded(__func__, [&] {
    const int64_t to = checked_product("grad_x", {outer, n, inner});
    const int64_t from = checked_product("grad", {outer, indices.length, inner});
    const int32_t* const at = lines(indices, n);
    for_float("grad", grad.dtype, [&]<class T>(T) {
      const T* const source = elements<T>("grad", grad, from);
      T* const target = elements<T>("grad_x", grad_x, to);
      if (to > 0) kernels::take_gradient(outer, n, inner, source, at, indices.length, target);
    });
  });
}

espalier_status espalier_choose(espalier_in mask, espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    const uint8_t* const which = elements<uint8_t>("mask", mask, mask.length);
    for_float("y", y.dtype, [&]<class T>(T) {
      const T* const left = optional_elements<T>("a", a, mask.length);
      const T* const right = optional_elements<T>("b", b, mask.length);
      kernels::choose(which, left, right, elements<T>("y", y, mask.length), mask.length);
    });
  });
}
