// Functions applied element by element: of one array, of two of one shape, of an array and a number.
#include "core/array.h"
#include "cuda/functions.cuh"
#include "cuda/map.cuh"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

void require_kind(espalier_unary kind) {
  require_range("kind", static_cast<int64_t>(kind), int64_t{ESPALIER_UNARY_RELU}, int64_t{ESPALIER_UNARY_SIGN});
}
void require_kind(espalier_binary kind) {
  require_range("kind", static_cast<int64_t>(kind), int64_t{ESPALIER_BINARY_ADD}, int64_t{ESPALIER_BINARY_GREATER});
}

// Adapters from the functions to what `map` calls.
template <class W, class Function>
struct Value {
  Function function;
  __device__ W operator()(int64_t, W x) const { return function(x); }
};
template <class W, class Function>
struct Gradient {
  Function function;
  __device__ W operator()(int64_t, W x, W y, W g) const { return function.gradient(x, y, g); }
};
template <class W, class Function>
struct OfTwo {
  Function function;
  __device__ W operator()(int64_t, W a, W b) const { return function(a, b); }
};
template <class W, class Function>
struct WithNumber {
  Function function;
  W b;
  __device__ W operator()(int64_t, W a) const { return function(a, b); }
};

template <class T>
void binary(espalier_binary kind, int64_t n, const T* a, const T* b, T* y) {
  using W = wide_t<T>;
  with_binary<W>(kind, [=]<class F>(F function) { map(n, "binary", OfTwo<W, F>{function}, y, a, b); });
}

}  // namespace

espalier_status espalier_cuda_unary_forward(espalier_unary kind, double p, double q, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const from = elements<T>("x", x, x.length);
      T* const to = elements<T>("y", y, x.length);
      with_unary<W>(kind, static_cast<W>(p), static_cast<W>(q),
                    [&]<class F>(F function) { map(x.length, "unary", Value<W, F>{function}, to, from); });
    });
  });
}

espalier_status espalier_cuda_unary_backward(espalier_unary kind, double p, double q, espalier_in x, espalier_in y,
                                             espalier_in grad, espalier_out grad_x) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const at = elements<T>("x", x, x.length);
      const T* const value = elements<T>("y", y, x.length);
      const T* const gradient = elements<T>("grad", grad, x.length);
      T* const to = elements<T>("grad_x", grad_x, x.length);
      with_unary<W>(kind, static_cast<W>(p), static_cast<W>(q), [&]<class F>(F function) {
        map(x.length, "unary gradient", Gradient<W, F>{function}, to, at, value, gradient);
      });
    });
  });
}

espalier_status espalier_cuda_binary_forward(espalier_binary kind, espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_device_float("a", a.dtype, [&]<class T>(T) {
      binary(kind, a.length, elements<T>("a", a, a.length), elements<T>("b", b, a.length),
             elements<T>("y", y, a.length));
    });
  });
}

espalier_status espalier_cuda_binary_scalar(espalier_binary kind, espalier_in a, double b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    for_device_float("a", a.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const from = elements<T>("a", a, a.length);
      T* const to = elements<T>("y", y, a.length);
      with_binary<W>(kind, [&]<class F>(F function) {
        map(a.length, "binary with a number", WithNumber<W, F>{function, static_cast<W>(b)}, to, from);
      });
    });
  });
}

espalier_status espalier_cuda_accumulate(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, x.length);
      T* const to = elements<T>("y", y, x.length);
      binary<T>(ESPALIER_BINARY_ADD, x.length, to, from, to);
    });
  });
}
