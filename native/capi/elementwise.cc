#include "espalier/elementwise.h"

#include "core/array.h"
#include "core/stretched.h"
#include "kernels/elementwise.h"

using namespace espalier;

namespace {

void require_kind(espalier_unary kind) {
  require_range("kind", static_cast<int64_t>(kind), int64_t{ESPALIER_UNARY_RELU}, int64_t{ESPALIER_UNARY_SIGN});
}
void require_kind(espalier_binary kind) {
  require_range("kind", static_cast<int64_t>(kind), int64_t{ESPALIER_BINARY_ADD}, int64_t{ESPALIER_BINARY_GREATER});
}

}  // namespace

espalier_status espalier_unary_forward(espalier_unary kind, double p, double q, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::unary(kind, static_cast<T>(p), static_cast<T>(q), elements<T>("x", x, x.length),
                     elements<T>("y", y, x.length), x.length);
    });
  });
}

espalier_status espalier_unary_backward(espalier_unary kind, double p, double q, espalier_in x, espalier_in y,
                                        espalier_in grad, espalier_out grad_x) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::unary_gradient(kind, static_cast<T>(p), static_cast<T>(q), elements<T>("x", x, x.length),
                              elements<T>("y", y, x.length), elements<T>("grad", grad, x.length),
                              elements<T>("grad_x", grad_x, x.length), x.length);
    });
  });
}

espalier_status espalier_binary_forward(espalier_binary kind, espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_float("a", a.dtype, [&]<class T>(T) {
      kernels::binary(kind, elements<T>("a", a, a.length), elements<T>("b", b, a.length), elements<T>("y", y, a.length),
                      a.length);
    });
  });
}

espalier_status espalier_binary_scalar(espalier_binary kind, espalier_in a, double b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_float("a", a.dtype, [&]<class T>(T) {
      kernels::binary_scalar(kind, elements<T>("a", a, a.length), static_cast<T>(b), elements<T>("y", y, a.length),
                             a.length);
    });
  });
}

espalier_status espalier_binary_middle(espalier_binary kind, int64_t outer, int64_t n, int64_t inner, espalier_in a,
                                       espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    const int64_t size = checked_product("a", {outer, n, inner});
    for_float("a", a.dtype, [&]<class T>(T) {
      const T* const left = elements<T>("a", a, size);
      const T* const right = elements<T>("b", b, n);
      T* const result = elements<T>("y", y, size);
      if (size == 0) return;
      Layout<2> layout;
      layout.push(outer, n * inner, 0);
      layout.push(n, inner, 1);
      layout.push(inner, 1, 0);
      layout.ensure_one();
      kernels::binary_strided(kind, layout, left, right, result);
    });
  });
}

espalier_status espalier_binary_broadcast(espalier_binary kind, espalier_dims a_shape, espalier_dims b_shape,
                                          espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    const int64_t in_a = checked_product("a_shape", a_shape), in_b = checked_product("b_shape", b_shape);
    const Layout<2> layout = stretched(a_shape, b_shape);
    for_float("a", a.dtype, [&]<class T>(T) {
      const T* const left = elements<T>("a", a, in_a);
      const T* const right = elements<T>("b", b, in_b);
      T* const result = elements<T>("y", y, layout.size());
      if (layout.size() > 0) kernels::binary_strided(kind, layout, left, right, result);
    });
  });
}

espalier_status espalier_accumulate(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::accumulate(elements<T>("x", x, x.length), elements<T>("y", y, x.length), x.length);
    });
  });
}
