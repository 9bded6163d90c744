#include "espalier/reduce.h"

#include <algorithm>

#include "core/array.h"
#include "core/layout.h"
#include "kernels/reduce.h"

using namespace espalier;

espalier_status espalier_sum(espalier_dims shape, espalier_dims reduced, double divisor, espalier_in x,
                             espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", shape);
    require_range("number of dimensions", shape.rank, int64_t{0}, kMaxDimensions);
    if (reduced.rank != shape.rank)
      fail(ESPALIER_SHAPE_MISMATCH, "reduced has %lld entries, expected %lld", static_cast<long long>(reduced.rank),
           static_cast<long long>(shape.rank));
    int64_t kept[kMaxDimensions];
    for (int64_t d = 0; d < shape.rank; ++d) {
      require_range("reduced entry", reduced.data[d], int64_t{0}, int64_t{1});
      kept[d] = reduced.data[d] == 1 ? 1 : shape.data[d];
    }
    const int64_t left = checked_product("shape without the reduced dimensions", {kept, shape.rank});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, size);
      T* const to = elements<T>("y", y, left);
      if (size > 0) kernels::sum(shape, reduced, static_cast<T>(divisor), from, to);
      else std::fill(to, to + left, static_cast<T>(0.0 / divisor));
    });
  });
}

espalier_status espalier_extreme(int64_t outer, int64_t n, int64_t inner, int64_t sign, espalier_in x,
                                 espalier_out values, espalier_out indices) {
  return guarded(__func__, [&] {
    require_range("n", n, int64_t{1}, int64_t{INT32_MAX});
    if (sign != 1 && sign != -1) fail(ESPALIER_INVALID_ARGUMENT, "sign is neither 1 nor -1");
    const int64_t size = checked_product("x", {outer, n, inner}), lines = size / n;
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, size);
      T* const most = optional_elements<T>("values", values, lines);
      int32_t* const place = optional_elements<int32_t>("indices", indices, lines);
      if (size > 0) kernels::extreme(outer, n, inner, static_cast<T>(sign), from, most, place);
    });
  });
}

espalier_status espalier_place(int64_t outer, int64_t n, int64_t inner, espalier_in values, espalier_in indices,
                               espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("y", {outer, n, inner}), lines = checked_product("values", {outer, inner});
    for_float("values", values.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("values", values, lines);
      const int32_t* const at = elements<int32_t>("indices", indices, lines);
      T* const to = elements<T>("y", y, size);
      for (int64_t i = 0; i < lines; ++i) require_range("index", int64_t{at[i]}, int64_t{0}, n - 1);
      if (size > 0) kernels::place(outer, n, inner, from, at, to);
    });
  });
}
