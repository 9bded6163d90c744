// Moving elements: permutations, slices, padding, repetition, selection.
#include "core/array.h"
#include "core/moves.h"
#include "cuda/lines.h"
#include "cuda/map.cuh"
#include "cuda/nest.h"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- Copies ---------------------------------------------------------------------------------------

template <class E>
__global__ void __launch_bounds__(kBlock) rows_kernel(int64_t n, Nest<2> nest, const E* x, E* y) {
  constexpr int kDepth = 4;
  const int64_t step = int64_t{gridDim.x} * (kBlock * kDepth);
  for (int64_t tile = int64_t{blockIdx.x} * (kBlock * kDepth) + threadIdx.x; tile < n; tile += step) {
    E moved[kDepth];
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
      if (tile + d * kBlock < n) moved[d] = x[nest.offset(0, tile + d * kBlock)];
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
      if (tile + d * kBlock < n) y[nest.offset(1, tile + d * kBlock)] = moved[d];
  }
}

// The two innermost dimensions in square tiles that pass through shared memory: x runs along the first of them
// (its step there is 1), y along the second. So large that a thread has many loads under way, and each row of a
// tile is a whole number of sectors of memory.
template <class E>
constexpr int kSide = sizeof(E) == 8 ? 32 : 64;

template <class E>
struct Tiles {
  int64_t rows, columns, row_y, column_x, column_y;
  Divider across;  // tiles in a row of tiles
  Divider down;    // rows of tiles
};

template <class E>
__global__ void __launch_bounds__(kBlock) tiles_kernel(int64_t tiles, Tiles<E> of, Nest<2> outer, const E* x, E* y) {
  constexpr int side = kSide<E>, step = kBlock / side, each = side / step;
  // So much longer than the side that a column meets every bank.
  __shared__ E held[side][side + (sizeof(E) >= 4 ? 1 : 4 / static_cast<int>(sizeof(E)))];
  const int along = threadIdx.x % side, first = threadIdx.x / side;
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    int64_t left, top;
    const int64_t o = of.down.split(of.across.split(tile, left), top);
    left *= side;
    top *= side;
    const E* from = x + outer.offset(0, o) + top + along + (left + first) * of.column_x;
    E* to = y + outer.offset(1, o) + (top + first) * of.row_y + (left + along) * of.column_y;
    const int height = static_cast<int>(min(of.rows - top, int64_t{side}));
    const int width = static_cast<int>(min(of.columns - left, int64_t{side}));
    E moved[each];
#pragma unroll
    for (int k = 0; k < each; ++k) {
      if (along < height && first + k * step < width) moved[k] = *from;
      from += step * of.column_x;
    }
#pragma unroll
    for (int k = 0; k < each; ++k) held[first + k * step][along] = moved[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < each; ++k) {
      if (along < width && first + k * step < height) *to = held[along][first + k * step];
      to += step * of.row_y;
    }
    __syncthreads();
  }
}

unsigned blocks_for(int64_t n) { return static_cast<unsigned>(std::min<int64_t>(n, INT32_MAX)); }

template <class E>
void move_rows(const Layout<2>& layout, const void* x, void* y) {
  const int64_t n = layout.size();
  rows_kernel<<<blocks_for(ceil_div(n, 4 * kBlock)), kBlock, 0, stream()>>>(
      n, Nest<2>(layout), static_cast<const E*>(x), static_cast<E*>(y));
  launched("copy");
}

template <class E>
void move_tiles(const Layout<2>& layout, const void* x, void* y) {
  const int last = layout.rank - 1;
  const int64_t rows = layout.shape[last - 1], columns = layout.shape[last];
  const int64_t across = ceil_div(columns, kSide<E>), down = ceil_div(rows, kSide<E>);
  Layout<2> outer = layout;
  outer.rank -= 2;
  outer.ensure_one();
  const int64_t tiles = outer.size() * across * down;
  const Tiles<E> of{rows,
                    columns,
                    layout.stride[1][last - 1],
                    layout.stride[0][last],
                    layout.stride[1][last],
                    Divider(across),
                    Divider(down)};
  tiles_kernel<<<blocks_for(tiles), kBlock, 0, stream()>>>(tiles, of, Nest<2>(outer), static_cast<const E*>(x),
                                                           static_cast<E*>(y));
  launched("copy");
}

// With rows of an even length in step with the alignment on both sides, two elements are moved as one, and so on
// up to 16 bytes.
int64_t widened(Layout<2>& layout, int64_t bytes, const void* x, const void* y) {
  const int last = layout.rank - 1;
  const uintptr_t meet = reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y);
  if (layout.stride[0][last] != 1 || layout.stride[1][last] != 1) return bytes;
  while (bytes < 16 && layout.shape[last] % 2 == 0 && meet % static_cast<uintptr_t>(2 * bytes) == 0) {
    for (int d = 0; d < last; ++d)
      if (layout.stride[0][d] % 2 != 0 || layout.stride[1][d] % 2 != 0) return bytes;
    for (int d = 0; d < last; ++d)
      for (int k = 0; k < 2; ++k) layout.stride[k][d] /= 2;
    layout.shape[last] /= 2;
    bytes *= 2;
  }
  return bytes;
}

void copy(Layout<2> layout, int64_t bytes, const void* x, void* y) {
  const int last = layout.rank - 1;
  // Where x runs fastest along another dimension than y, that one goes next to the innermost.
  int across = -1;
  if (layout.stride[0][last] != 1 && layout.stride[0][last] != 0)
    for (int d = 0; d < last; ++d)
      if (layout.stride[0][d] == 1) across = d;
  if (across >= 0) {
    const auto rotate = [&](int64_t* list) { std::rotate(list + across, list + across + 1, list + last); };
    rotate(layout.shape);
    rotate(layout.stride[0]);
    rotate(layout.stride[1]);
    switch (bytes) {
      case 1: return move_tiles<uint8_t>(layout, x, y);
      case 2: return move_tiles<uint16_t>(layout, x, y);
      case 4: return move_tiles<uint32_t>(layout, x, y);
      default: return move_tiles<uint64_t>(layout, x, y);
    }
  }
  switch (widened(layout, bytes, x, y)) {
    case 1: return move_rows<uint8_t>(layout, x, y);
    case 2: return move_rows<uint16_t>(layout, x, y);
    case 4: return move_rows<uint32_t>(layout, x, y);
    case 8: return move_rows<uint64_t>(layout, x, y);
    default: return move_rows<int4>(layout, x, y);
  }
}

// ---- Selection ------------------------------------------------------------------------------------

template <class T>
void choose(int64_t n, const uint8_t* mask, const T* a, const T* b, T* y) {
  using W = wide_t<T>;
  const char* const name = "choose";
  if (a != nullptr && b != nullptr)
    map(
        n, name, [] __device__(int64_t, uint8_t m, W left, W right) { return m != 0 ? left : right; }, y, mask, a, b);
  else if (a != nullptr)
    map(
        n, name, [] __device__(int64_t, uint8_t m, W left) { return m ? left : W(0); }, y, mask, a);
  else if (b != nullptr)
    map(
        n, name, [] __device__(int64_t, uint8_t m, W right) { return m ? W(0) : right; }, y, mask, b);
  else if (n > 0) ESPALIER_CUDA(cudaMemsetAsync(y, 0, static_cast<size_t>(n) * sizeof(T), stream()));
}

}  // namespace

espalier_status espalier_cuda_copy_strided(espalier_dims shape, espalier_dims x_strides, int64_t x_offset,
                                           espalier_dims y_strides, int64_t y_offset, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    require_same_dtype(x, y);
    const int64_t bytes = bytes_of("x", x.dtype);
    const char* const from = static_cast<const char*>(any_elements("x", x, x.length));
    char* const to = static_cast<char*>(any_elements("y", y, y.length));
    const Layout<2> layout = copy_nest(shape, x_strides, x_offset, x.length, y_strides, y_offset, y.length);
    if (layout.size() > 0) copy(layout, bytes, from + x_offset * bytes, to + y_offset * bytes);
  });
}

espalier_status espalier_cuda_take(int64_t outer, int64_t n, int64_t inner, espalier_in x, espalier_in indices,
                                   espalier_out y) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t from = checked_product("x", {outer, n, inner});
    const int64_t to = checked_product("y", {outer, indices.length, inner});
    const int32_t* const at = elements<int32_t>("indices", indices, indices.length);
    require_same_dtype(x, y);
    const int64_t line = checked_product("line", {inner, bytes_of("x", x.dtype)});
    const void* const source = any_elements("x", x, from);
    take_lines(function, outer, n, line, source, at, indices.length, any_elements("y", y, to));
  });
}

espalier_status espalier_cuda_take_backward(int64_t outer, int64_t n, int64_t inner, espalier_in grad,
                                            espalier_in indices, espalier_out grad_x) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t to = checked_product("grad_x", {outer, n, inner});
    const int64_t from = checked_product("grad", {outer, indices.length, inner});
    const int32_t* const at = elements<int32_t>("indices", indices, indices.length);
    for_device_float("grad", grad.dtype, [&]<class T>(T) {
      const T* const source = elements<T>("grad", grad, from);
      add_lines(function, outer, n, inner, source, at, indices.length, -1, elements<T>("grad_x", grad_x, to));
    });
  });
}

espalier_status espalier_cuda_choose(espalier_in mask, espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    const uint8_t* const which = elements<uint8_t>("mask", mask, mask.length);
    for_device_float("y", y.dtype, [&]<class T>(T) {
      const T* const left = optional_elements<T>("a", a, mask.length);
      const T* const right = optional_elements<T>("b", b, mask.length);
      choose(mask.length, which, left, right, elements<T>("y", y, mask.length));
    });
  });
}
