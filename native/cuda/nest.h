// A nest of loops over one or two arrays as a kernel sees it: from the number of an element to where it lies.
#pragma once

#include "cuda/divider.h"
#include "core/layout.h"

namespace espalier::cuda {

template <int Arrays>
struct Nest {
  int rank;
  Divider extent[kMaxDimensions];
  int64_t stride[Arrays][kMaxDimensions];

  explicit Nest(const Layout<Arrays>& layout) : rank(layout.rank) {
    for (int d = 0; d < rank; ++d) {
      extent[d] = Divider(layout.shape[d]);
      for (int k = 0; k < Arrays; ++k) stride[k][d] = layout.stride[k][d];
    }
  }

  // Where element i of the nest (the last dimension fastest) lies in array k.
  __device__ __forceinline__ int64_t offset(int k, int64_t i) const {
    int64_t total = 0;
    for (int d = rank - 1; d > 0; --d) {
      int64_t at;
      i = extent[d].split(i, at);
      total += at * stride[k][d];
    }
    return total + i * stride[k][0];
  }
};

}  // namespace espalier::cuda
