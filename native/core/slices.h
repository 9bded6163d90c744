// What both libraries check of a norm of slices.
#pragma once

#include <cmath>
#include <vector>

#include "core/array.h"

namespace espalier {

// How many slices a shape has whose `reduced` dimensions are taken together.
inline int64_t checked_slices(espalier_dims shape, espalier_dims reduced, double p) {
  if (reduced.rank != shape.rank || (reduced.rank > 0 && reduced.data == nullptr))
    fail(ESPALIER_SHAPE_MISMATCH, "reduced has %lld entries, shape %lld", static_cast<long long>(reduced.rank),
         static_cast<long long>(shape.rank));
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < reduced.rank; ++i) {
    require_range("reduced", reduced.data[i], int64_t{0}, int64_t{1});
    if (reduced.data[i] == 0) kept.push_back(shape.data[i]);
  }
  if (std::isnan(p)) fail(ESPALIER_INVALID_ARGUMENT, "p is NaN");
  return checked_product("shape", espalier_dims{kept.data(), static_cast<int64_t>(kept.size())});
}

}  // namespace espalier
