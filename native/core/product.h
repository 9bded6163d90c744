// What both libraries check of a dense product's operands.
#pragma once

#include <algorithm>

#include "core/array.h"

namespace espalier {

// A matrix of an array that may be longer than it.
template <class T, class Array>
auto matrix(const char* name, Array array, int64_t rows, int64_t columns, int64_t ld) {
  require_range("a leading dimension", ld, std::max<int64_t>(columns, 1), int64_t{1} << 53);
  int64_t needed = 0;
  if (rows > 0 && columns > 0) needed = checked_product(name, {rows - 1, ld}) + columns;
  if (array.length < needed)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected %lld for %lld rows of %lld", name,
         static_cast<long long>(array.length), static_cast<long long>(needed), static_cast<long long>(rows),
         static_cast<long long>(columns));
  return elements<T>(name, array, array.length);
}

inline void check_sizes(int64_t m, int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b) {
  checked_product("the product", {m, n});
  checked_product("the product", {m, k});
  checked_product("the product", {n, k});
  require_range("transpose_a", transpose_a, int64_t{0}, int64_t{1});
  require_range("transpose_b", transpose_b, int64_t{0}, int64_t{1});
}

}  // namespace espalier
