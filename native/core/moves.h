// Copies by steps, checked for both libraries: any element type, any dimension either way.
#pragma once

#include <algorithm>

#include "core/array.h"
#include "core/layout.h"

namespace espalier {

// The size of an element.
inline int64_t bytes_of(const char* name, espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 8;
    case ESPALIER_FLOAT32:
    case ESPALIER_INT32: return 4;
    case ESPALIER_INT16:
    case ESPALIER_FLOAT16:
    case ESPALIER_BFLOAT16: return 2;
    case ESPALIER_INT8:
    case ESPALIER_UINT8: return 1;
    default: break;
  }
  fail(ESPALIER_DTYPE_MISMATCH, "%s is %s", name, dtype_name(dtype));
}

inline void require_same_dtype(espalier_in x, espalier_out y) {
  if (x.dtype != y.dtype) fail(ESPALIER_DTYPE_MISMATCH, "y is %s, x is %s", dtype_name(y.dtype), dtype_name(x.dtype));
}

// An array of any type that holds exactly `length` elements.
inline const void* any_elements(const char* name, espalier_in array, int64_t length) {
  if (array.length != length)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected %lld", name, static_cast<long long>(array.length),
         static_cast<long long>(length));
  if (length > 0 && array.data == nullptr) fail(ESPALIER_INVALID_ARGUMENT, "%s is missing or detached", name);
  return array.data;
}
inline void* any_elements(const char* name, espalier_out array, int64_t length) {
  return const_cast<void*>(any_elements(name, espalier_in{array.data, array.length, array.dtype}, length));
}

inline const int64_t* strides_of(const char* name, espalier_dims strides, int64_t rank) {
  if (strides.rank != rank)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld entries, expected %lld", name, static_cast<long long>(strides.rank),
         static_cast<long long>(rank));
  return strides.data;
}

// Fails unless every element that a nest of steps reaches lies within the array.
inline void require_within(const char* name, espalier_dims shape, const int64_t* strides, int64_t offset,
                           int64_t length) {
  __int128 lowest = offset, highest = offset;
  for (int64_t d = 0; d < shape.rank; ++d) {
    const __int128 reach = static_cast<__int128>(shape.data[d] - 1) * strides[d];
    (reach < 0 ? lowest : highest) += reach;
  }
  if (lowest < 0 || highest >= length) fail(ESPALIER_INVALID_ARGUMENT, "%s: an index lies outside the array", name);
}

// The nest of loops of a copy from x to y. Steps that leave either array, or reach an element of y twice, are an
// error.
inline Layout<2> copy_nest(espalier_dims shape, espalier_dims x_strides, int64_t x_offset, int64_t x_length,
                           espalier_dims y_strides, int64_t y_offset, int64_t y_length) {
  const int64_t size = checked_product("shape", shape);
  require_range("number of dimensions", shape.rank, int64_t{0}, kMaxDimensions);
  const int64_t* const steps_x = strides_of("x_strides", x_strides, shape.rank);
  const int64_t* const steps_y = strides_of("y_strides", y_strides, shape.rank);
  Layout<2> layout;
  if (size == 0) {
    layout.push(0, 1, 1);
    return layout;
  }
  require_within("x", shape, steps_x, x_offset, x_length);
  require_within("y", shape, steps_y, y_offset, y_length);

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
  for (int k = 0; k < count; ++k) layout.push(shape.data[order[k]], steps_x[order[k]], steps_y[order[k]]);
  layout.ensure_one();
  return layout;
}

}  // namespace espalier
