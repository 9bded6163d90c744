// A nest of loops over one to three arrays: the shape it runs over and each array's step a dimension.
#pragma once

#include <algorithm>
#include <cstdint>

namespace espalier {

constexpr int64_t kMaxDimensions = 32;

template <int Arrays>
struct Layout {
  int rank = 0;
  int64_t shape[kMaxDimensions];
  int64_t stride[Arrays][kMaxDimensions];

  // Adds a dimension on the inside. One of extent 1 is dropped; one that only continues its
  // neighbour, in every array, is merged into it.
  template <class... Stride>
  void push(int64_t extent, Stride... strides) {
    const int64_t step[Arrays] = {strides...};
    if (extent == 1) return;
    bool continues = rank > 0;
    for (int k = 0; continues && k < Arrays; ++k) continues = stride[k][rank - 1] == step[k] * extent;
    if (!continues) shape[rank++] = 1;
    shape[rank - 1] *= extent;
    for (int k = 0; k < Arrays; ++k) stride[k][rank - 1] = step[k];
  }

  // For kernels that want an innermost loop, though it be of one element.
  void ensure_one() {
    if (rank > 0) return;
    rank = 1;
    shape[0] = 1;
    for (int k = 0; k < Arrays; ++k) stride[k][0] = 1;
  }

  int64_t size() const {
    int64_t product = 1;
    for (int d = 0; d < rank; ++d) product *= shape[d];
    return product;
  }
};

// Walks the index of a nest's outermost `rank` dimensions in order, keeping each array's offset.
template <int Arrays>
class Walk {
 public:
  Walk(const Layout<Arrays>& layout, int rank, int64_t start) : layout_(layout), rank_(rank) {
    for (int d = rank - 1; d >= 0; --d) {
      index_[d] = start % layout.shape[d];
      start /= layout.shape[d];
      for (int k = 0; k < Arrays; ++k) offset[k] += index_[d] * layout.stride[k][d];
    }
  }
  void step() {
    for (int d = rank_ - 1; d >= 0; --d) {
      for (int k = 0; k < Arrays; ++k) offset[k] += layout_.stride[k][d];
      if (++index_[d] < layout_.shape[d]) return;
      for (int k = 0; k < Arrays; ++k) offset[k] -= layout_.shape[d] * layout_.stride[k][d];
      index_[d] = 0;
    }
  }
  int64_t offset[Arrays] = {};

 private:
  const Layout<Arrays>& layout_;
  int rank_;
  int64_t index_[kMaxDimensions];
};

}  // namespace espalier
