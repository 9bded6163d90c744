// Shapes stretched to a common one, for both libraries.
#pragma once

#include "core/array.h"
#include "core/layout.h"

namespace espalier {

// The nest of loops over two shapes stretched to a common one: aligned at the last dimension, a dimension of 1
// repeats. Shapes that do not go together are an error.
inline Layout<2> stretched(espalier_dims a, espalier_dims b) {
  const int64_t rank = std::max(a.rank, b.rank);
  require_range("number of dimensions", rank, int64_t{0}, kMaxDimensions);
  int64_t in_a[kMaxDimensions], in_b[kMaxDimensions], extent[kMaxDimensions];
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t from_a = d - (rank - a.rank), from_b = d - (rank - b.rank);
    in_a[d] = from_a < 0 ? 1 : a.data[from_a];
    in_b[d] = from_b < 0 ? 1 : b.data[from_b];
    if (in_a[d] != in_b[d] && in_a[d] != 1 && in_b[d] != 1)
      fail(ESPALIER_SHAPE_MISMATCH, "dimensions %lld and %lld do not broadcast", static_cast<long long>(in_a[d]),
           static_cast<long long>(in_b[d]));
    extent[d] = in_a[d] == 1 ? in_b[d] : in_a[d];
  }
  Layout<2> layout;
  if (checked_product("broadcast shape", {extent, rank}) == 0) {
    // No steps are worked out here: beside a 0 the other dimensions may be of any size.
    layout.push(0, 1, 1);
    return layout;
  }
  int64_t stride_a[kMaxDimensions], stride_b[kMaxDimensions];
  int64_t step_a = 1, step_b = 1;
  for (int64_t d = rank - 1; d >= 0; --d) {
    stride_a[d] = in_a[d] == 1 ? 0 : step_a;
    stride_b[d] = in_b[d] == 1 ? 0 : step_b;
    step_a *= in_a[d];
    step_b *= in_b[d];
  }
  for (int64_t d = 0; d < rank; ++d) layout.push(extent[d], stride_a[d], stride_b[d]);
  layout.ensure_one();
  return layout;
}

}  // namespace espalier
