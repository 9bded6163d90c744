// Memory is the limit here, not arithmetic: plain loops, in an order that keeps to cache lines.
#include "kernels/shape.h"

#include <cstring>

#include "core/parallel.h"

namespace espalier::kernels {
namespace {

constexpr int64_t kMoveGrain = 1 << 15;  // elements a thread moves at a time
constexpr int64_t kTile = 32;            // side of a block of a transposition: both of its sides fit the L1 cache

template <class E>
void move_row(const E* x, int64_t step_x, E* y, int64_t step_y, int64_t n) {
  if (step_x == 1 && step_y == 1) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(E));
  } else if (step_x == 0 && step_y == 1) {
    std::fill(y, y + n, *x);
  } else {
    for (int64_t i = 0; i < n; ++i) y[i * step_y] = x[i * step_x];
  }
}

// Rows of the innermost dimension.
template <class E>
void move_rows(const Layout<2>& layout, const E* x, E* y) {
  const int outer = layout.rank - 1;
  const int64_t n = layout.shape[outer], step_x = layout.stride[0][outer], step_y = layout.stride[1][outer];
  // Long rows are cut too, so that one row keeps every thread busy.
  const int64_t pieces = (n + kMoveGrain - 1) / kMoveGrain;
  parallel_ranges(layout.size() / n * pieces, std::max<int64_t>(1, kMoveGrain / n), [&](int64_t begin, int64_t end) {
    Walk<2> at(layout, outer, begin / pieces);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = i % pieces * kMoveGrain, count = std::min(kMoveGrain, n - from);
      move_row(x + at.offset[0] + from * step_x, step_x, y + at.offset[1] + from * step_y, step_y, count);
      if (i % pieces == pieces - 1) at.step();
    }
  });
}

// The two innermost dimensions in tiles: the last runs along y, the one before it along x.
template <class E>
void move_tiles(const Layout<2>& layout, const E* x, E* y) {
  const int outer = layout.rank - 2;
  const int64_t rows = layout.shape[outer], columns = layout.shape[outer + 1];
  const int64_t row_y = layout.stride[1][outer];
  const int64_t column_x = layout.stride[0][outer + 1], column_y = layout.stride[1][outer + 1];
  const int64_t strips = (rows + kTile - 1) / kTile;
  const int64_t grain = std::max<int64_t>(1, kMoveGrain / (std::min(rows, kTile) * columns));
  parallel_ranges(layout.size() / (rows * columns) * strips, grain, [&](int64_t begin, int64_t end) {
    Walk<2> at(layout, outer, begin / strips);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t top = i % strips * kTile, height = std::min(kTile, rows - top);
      for (int64_t left = 0; left < columns; left += kTile) {
        const E* const from = x + at.offset[0] + top + left * column_x;
        E* const to = y + at.offset[1] + top * row_y + left * column_y;
        const int64_t width = std::min(kTile, columns - left);
        for (int64_t c = 0; c < width; ++c)
          for (int64_t r = 0; r < height; ++r) to[r * row_y + c * column_y] = from[r + c * column_x];
      }
      if (i % strips == strips - 1) at.step();
    }
  });
}

template <class E>
void copy(const Layout<2>& layout, const void* x, void* y) {
  const E* const from = static_cast<const E*>(x);
  E* const to = static_cast<E*>(y);
  const int last = layout.rank - 1;
  // Where x runs fastest along another dimension than y, that one goes next to the innermost.
  int across = -1;
  if (layout.stride[0][last] != 1 && layout.stride[0][last] != 0)
    for (int d = 0; d < last; ++d)
      if (layout.stride[0][d] == 1) across = d;
  if (across < 0) return move_rows(layout, from, to);
  Layout<2> turned = layout;
  const auto rotate = [&](int64_t* list) { std::rotate(list + across, list + across + 1, list + last); };
  rotate(turned.shape);
  rotate(turned.stride[0]);
  rotate(turned.stride[1]);
  move_tiles(turned, from, to);
}

}  // namespace

void copy_strided(const Layout<2>& layout, int64_t element_bytes, const void* x, void* y) {
  switch (element_bytes) {
    case 1: return copy<uint8_t>(layout, x, y);
    case 2: return copy<uint16_t>(layout, x, y);
    case 4: return copy<uint32_t>(layout, x, y);
    case 8: return copy<uint64_t>(layout, x, y);
  }
}

void take(int64_t outer, int64_t n, int64_t line_bytes, const void* x, const int32_t* indices, int64_t count, void* y) {
  const char* const from = static_cast<const char*>(x);
  char* const to = static_cast<char*>(y);
  parallel_ranges(outer * count, std::max<int64_t>(1, 4 * kMoveGrain / line_bytes), [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(to + i * line_bytes, from + (i / count * n + indices[i % count]) * line_bytes,
                  static_cast<size_t>(line_bytes));
  });
}

// Lines meet in an order of their own, so a task owns whole columns: it adds every line's part of them.
template <class T>
void take_gradient(int64_t outer, int64_t n, int64_t inner, const T* grad, const int32_t* indices, int64_t count,
                   T* grad_x) {
  constexpr int64_t kColumns = 256;
  const int64_t columns = (inner + kColumns - 1) / kColumns;
  const int64_t grain = std::max<int64_t>(1, kMoveGrain / (std::max(n, count) * std::min(inner, kColumns)));
  parallel_ranges(outer * columns, grain, [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / columns, left = task % columns * kColumns, width = std::min(kColumns, inner - left);
      T* const to = grad_x + o * n * inner + left;
      const T* const from = grad + o * count * inner + left;
      for (int64_t r = 0; r < n; ++r) std::fill(to + r * inner, to + r * inner + width, T(0));
      for (int64_t i = 0; i < count; ++i)
        for (int64_t j = 0; j < width; ++j) to[indices[i] * inner + j] += from[i * inner + j];
    }
  });
}
template void take_gradient(int64_t, int64_t, int64_t, const float*, const int32_t*, int64_t, float*);
template void take_gradient(int64_t, int64_t, int64_t, const double*, const int32_t*, int64_t, double*);

template <class T>
void choose(const uint8_t* mask, const T* a, const T* b, T* y, int64_t n) {
  parallel_ranges(n, kMoveGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T left = a == nullptr ? T(0) : a[i], right = b == nullptr ? T(0) : b[i];
      y[i] = mask[i] != 0 ? left : right;
    }
  });
}
template void choose(const uint8_t*, const float*, const float*, float*, int64_t);
template void choose(const uint8_t*, const double*, const double*, double*, int64_t);

}  // namespace espalier::kernels
