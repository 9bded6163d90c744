#include "kernels/reduce.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/elementwise.h"
#include "core/layout.h"

namespace espalier {
constexpr int kSumStep = 8;             // terms a register takes before it is handed on
constexpr int64_t kSumPiece = 1 << 15;  // elements a task sums
constexpr int64_t kSumColumns = 512;    // columns a task works on
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/reduce.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

// Rows that one task sums: fixed by the shape, and few enough for two stages to stay accurate.
int64_t rows_a_piece(int64_t inner) {
  return inner == 1 ? kSumPiece : std::clamp<int64_t>(kSumPiece / inner, 64, 1024);
}

// x [outer, n, inner] → y [outer, inner], by pieces and then the pieces' sums in turn.
template <class T>
void sum_middle(int64_t outer, int64_t n, int64_t inner, const T* x, T* y) {
  const int64_t rows = rows_a_piece(inner);
  int64_t partial = 0;
  for (int64_t left = n; left > rows;) partial += outer * (left = (left + rows - 1) / rows) * inner;
  T* room = scratch<T>(Scratch::kPartial, partial);
  while (n > rows) {
    const int64_t pieces = (n + rows - 1) / rows;
    ESPALIER_ON_ISA(sum_pieces<T>(outer, n, inner, rows, x, room));
    x = room;
    room += outer * pieces * inner;
    n = pieces;
  }
  ESPALIER_ON_ISA(sum_pieces<T>(outer, n, inner, rows, x, y));
}

}  // namespace

template <class T>
void sum(espalier_dims shape, espalier_dims reduced, T divisor, const T* x, T* y) {
  // Neighbouring dimensions that share a fate are one; then each reduced one goes, the last first.
  struct Group {
    int64_t extent;
    bool reduced;
  };
  Group groups[kMaxDimensions];
  int count = 0;
  int64_t size = 1, passes = 0;
  for (int64_t d = 0; d < shape.rank; ++d) {
    if (shape.data[d] == 1) continue;
    const bool goes = reduced.data[d] != 0;
    if (count == 0 || groups[count - 1].reduced != goes) {
      groups[count++] = {1, goes};
      passes += goes;
    }
    groups[count - 1].extent *= shape.data[d];
    size *= shape.data[d];
  }
  int64_t inner = 1, result = size;
  for (int g = count - 1; g >= 0; --g) {
    const auto [extent, goes] = groups[g];
    if (!goes) {
      inner *= extent;
      continue;
    }
    const int64_t outer = result / extent / inner;
    result /= extent;
    const Scratch slot = passes % 2 ? Scratch::kOther : Scratch::kColumns;
    T* const to = --passes == 0 ? y : scratch<T>(slot, result);
    sum_middle<T>(outer, extent, inner, x, to);
    x = to;
  }
  if (x != y && result == size) std::memcpy(y, x, static_cast<size_t>(size) * sizeof(T));
  if (divisor != 1) binary_scalar<T>(ESPALIER_BINARY_DIV, y, divisor, y, result);
}

template <class T>
void extreme(int64_t outer, int64_t n, int64_t inner, T sign, const T* x, T* values, int32_t* indices) {
  ESPALIER_ON_ISA(extreme<T>(outer, n, inner, sign, x, values, indices));
}

template <class T>
void place(int64_t outer, int64_t n, int64_t inner, const T* values, const int32_t* indices, T* y) {
  parallel_ranges(outer, std::max<int64_t>(1, kSumPiece / (n * inner)), [=](int64_t begin, int64_t end) {
    std::memset(y + begin * n * inner, 0, static_cast<size_t>((end - begin) * n * inner) * sizeof(T));
    for (int64_t o = begin; o < end; ++o)
      for (int64_t i = 0; i < inner; ++i) y[(o * n + indices[o * inner + i]) * inner + i] = values[o * inner + i];
  });
}

#define ESPALIER_REDUCE(T)                                                     \
  template void sum(espalier_dims, espalier_dims, T, const T*, T*);            \
  template void extreme(int64_t, int64_t, int64_t, T, const T*, T*, int32_t*); \
  template void place(int64_t, int64_t, int64_t, const T*, const int32_t*, T*);
ESPALIER_REDUCE(float)
ESPALIER_REDUCE(double)
#undef ESPALIER_REDUCE

}  // namespace espalier::kernels
