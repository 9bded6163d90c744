// Checked access to the arrays of the C interface.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "core/failure.h"
#include "espalier/types.h"

namespace espalier {

template <class T>
constexpr espalier_dtype dtype_of();
template <>
constexpr espalier_dtype dtype_of<float>() {
  return ESPALIER_FLOAT32;
}
template <>
constexpr espalier_dtype dtype_of<double>() {
  return ESPALIER_FLOAT64;
}
template <>
constexpr espalier_dtype dtype_of<int32_t>() {
  return ESPALIER_INT32;
}
template <>
constexpr espalier_dtype dtype_of<int16_t>() {
  return ESPALIER_INT16;
}
template <>
constexpr espalier_dtype dtype_of<int8_t>() {
  return ESPALIER_INT8;
}
template <>
constexpr espalier_dtype dtype_of<uint8_t>() {
  return ESPALIER_UINT8;
}

const char* dtype_name(espalier_dtype dtype);

// The product of the dimensions; a negative one, or a product beyond 2^53, is an error. (2^53: the
// largest length a JavaScript caller can name.)
int64_t checked_product(const char* what, std::initializer_list<int64_t> dims);
int64_t checked_product(const char* what, espalier_dims dims);

// `value` within [low, high], else an error that names it.
void require_range(const char* name, int64_t value, int64_t low, int64_t high);
void require_range(const char* name, double value, double low, double high);

// The elements of an array that must hold exactly `length` values of type T.
template <class T>
const T* elements(const char* name, espalier_in array, int64_t length) {
  if (array.length != length || length < 0)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected %lld", name, static_cast<long long>(array.length),
         static_cast<long long>(length));
  if (length > 0 && array.data == nullptr) fail(ESPALIER_INVALID_ARGUMENT, "%s is missing or detached", name);
  if (length > 0 && array.dtype != dtype_of<T>())
    fail(ESPALIER_DTYPE_MISMATCH, "%s is %s, expected %s", name, dtype_name(array.dtype), dtype_name(dtype_of<T>()));
  return static_cast<const T*>(array.data);
}
template <class T>
T* elements(const char* name, espalier_out array, int64_t length) {
  return const_cast<T*>(elements<T>(name, espalier_in{array.data, array.length, array.dtype}, length));
}
// The same for an argument that may be absent: then nullptr.
template <class T, class Array>
auto optional_elements(const char* name, Array array, int64_t length) {
  return array.data == nullptr && array.length == 0 ? nullptr : elements<T>(name, array, length);
}

// Runs body(float{}) or body(double{}), as the element type asks.
template <class Body>
void for_float(const char* name, espalier_dtype dtype, Body body) {
  switch (dtype) {
    case ESPALIER_FLOAT32: return body(float{});
    case ESPALIER_FLOAT64: return body(double{});
    default: fail(ESPALIER_DTYPE_MISMATCH, "%s is %s, expected float32 or float64", name, dtype_name(dtype));
  }
}

}  // namespace espalier
