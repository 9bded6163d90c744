#include "espalier/shape.h"

#include <algorithm>

#include "core/array.h"
#include "kernels/shape.h"

using namespace espalier;

namespace {

int64_t bytes_of(const char* name, espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 8;
    case ESPALIER_FLOAT32:
    case ESPALIER_INT32: return 4;
    case ESPALIER_INT16: return 2;
    case ESPALIER_INT8:
    case ESPALIER_UINT8: return 1;
    default: break;
  }
  fail(ESPALIER_DTYPE_MISMATCH, "%s is %s", name, dtype_name(dtype));
}

void require_same_dtype(espalier_in x, espalier_out y) {
  if (x.dtype != y.dtype) fail(ESPALIER_DTYPE_MISMATCH, "y is %s, x is %s", dtype_name(y.dtype), dtype_name(x.dtype));
}

// An array of any type that holds exactly `length` elements.
const void* any_elements(const char* name, espalier_in array, int64_t length) {
  if (array.length != length)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected %lld", name, static_cast<long long>(array.length),
         static_cast<long long>(length));
  if (length > 0 && array.data == nullptr) fail(ESPALIER_INVALID_ARGUMENT, "%s is missing or detached", name);
  return array.data;
}
void* any_elements(const char* name, espalier_out array, int64_t length) {
  return const_cast<void*>(any_elements(name, espalier_in{array.data, array.length, array.dtype}, length));
}

const int64_t* strides_of(const char* name, espalier_dims strides, int64_t rank) {
  if (strides.rank != rank)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld entries, expected %lld", name, static_cast<long long>(strides.rank),
         static_cast<long long>(rank));
  return strides.data;
}

// Fails unless every element that a nest of steps reaches lies within the array.
void require_within(const char* name, espalier_dims shape, const int64_t* strides, int64_t offset, int64_t length) {
  __int128 lowest = offset, highest = offset;
  for (int64_t d = 0; d < shape.rank; ++d) {
    const __int128 reach = static_cast<__int128>(shape.data[d] - 1) * strides[d];
    (reach < 0 ? lowest : highest) += reach;
  }
  if (lowest < 0 || highest >= length) fail(ESPALIER_INVALID_ARGUMENT, "%s: an index lies outside the array", name);
}

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
    const int64_t size = checked_product("shape", shape);
    require_range("number of dimensions", shape.rank, int64_t{0}, kMaxDimensions);
    const int64_t* const steps_x = strides_of("x_strides", x_strides, shape.rank);
    const int64_t* const steps_y = strides_of("y_strides", y_strides, shape.rank);
    require_same_dtype(x, y);
    const int64_t bytes = bytes_of("x", x.dtype);
    const char* const from = static_cast<const char*>(any_elements("x", x, x.length));
    char* const to = static_cast<char*>(any_elements("y", y, y.length));
    if (size == 0) return;
    require_within("x", shape, steps_x, x_offset, x.length);
    require_within("y", shape, steps_y, y_offset, y.length);

    // Loops go in the order in which y lies in memory. Each step over y must clear all that the
    // steps inside it span: then no element is written twice, whichever thread comes first.
    int order[kMaxDimensions];
    int count = 0;
    for (int d = 0; d < shape.rank; ++d)
      if (shape.data[d] != 1) order[count++] = d;
    const auto span = [&](int d) { return steps_y[d] < 0 ? -steps_y[d] : steps_y[d]; };
    std::stable_sort(order, order + count, [&](int a, int b) { return span(a) > span(b); });
    __int128 inside = 0;
    for (int k = count - 1; k >= 0; --k) {
      if (span(order[k]) <= inside) fail(ESPALIER_INVALID_ARGUMENT, "y_strides: steps overlap");
      inside += static_cast<__int128>(shape.data[order[k]] - 1) * span(order[k]);
    }
    Layout<2> layout;
    for (int k = 0; k < count; ++k) layout.push(shape.data[order[k]], steps_x[order[k]], steps_y[order[k]]);
    layout.ensure_one();
    kernels::copy_strided(layout, bytes, from + x_offset * bytes, to + y_offset * bytes);
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
