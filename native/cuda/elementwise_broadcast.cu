// Functions of two arrays stretched to a common shape.
#include "core/array.h"
#include "core/stretched.h"
#include "cuda/functions.cuh"
#include "cuda/map.cuh"
#include "cuda/nest.h"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// An operand: `flat` where it lies as the result does, so that it needs no index of its own.
template <class T>
struct Side {
  const T* data;
  bool flat;
};

// Elements i … i + N of an operand. Its innermost step is 1 or 0, and most packs lie within one row of the
// innermost dimension: then they are one access, or one number repeated.
template <int K, class T, int N>
__device__ __forceinline__ Pack<T, N> fetch(const Side<T>& side, const Nest<2>& nest, int64_t i) {
  if (side.flat) return load_pack<T, N>(side.data + i);
  const int last = nest.rank - 1;
  int64_t at;
  nest.extent[last].split(i, at);
  const T* const from = side.data + nest.offset(K, i);
  Pack<T, N> values;
  if (at + N > nest.extent[last].divisor()) {
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = side.data[nest.offset(K, i + k)];
  } else if (nest.stride[K][last] == 0) {
    const T only = *from;
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = only;
  } else if (reinterpret_cast<uintptr_t>(from) % sizeof(values) == 0) {
    values = load_pack<T, N>(from);
  } else {
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = from[k];
  }
  return values;
}

template <class T, class Function>
__global__ void __launch_bounds__(kBlock)
    stretch_kernel(int64_t n, int64_t packs, Function function, Nest<2> nest, Side<T> a, Side<T> b, T* y) {
  constexpr int N = kPack<T>, kDepth = 2;
  const int64_t step = int64_t{gridDim.x} * (kBlock * kDepth);
  for (int64_t tile = int64_t{blockIdx.x} * (kBlock * kDepth) + threadIdx.x; tile < packs; tile += step) {
    Pack<T, N> left[kDepth], right[kDepth];
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const int64_t pack = tile + d * kBlock;
      if (pack >= packs) break;
      left[d] = fetch<0, T, N>(a, nest, pack * N);
      right[d] = fetch<1, T, N>(b, nest, pack * N);
    }
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const int64_t pack = tile + d * kBlock;
      if (pack >= packs) break;
#pragma unroll
      for (int k = 0; k < N; ++k) left[d].at[k] = narrow<T>(function(widen(left[d].at[k]), widen(right[d].at[k])));
      store_pack<T, N>(y + pack * N, left[d]);
    }
  }
  const int64_t first = packs * N + int64_t{blockIdx.x} * kBlock + threadIdx.x;
  for (int64_t i = first; i < n; i += int64_t{gridDim.x} * kBlock)
    y[i] = narrow<T>(function(widen(a.data[nest.offset(0, i)]), widen(b.data[nest.offset(1, i)])));
}

// ---- A full array and one line of its middle ------------------------------------------------------------

// y [outer, n, inner] = function(a, b[n]), a bias for the most part: what the general kernel does for this case takes
// longer than the memory does.
template <class T>
struct Line {
  const T* data;
  Divider n, inner;
  bool together;  // inner is 1, and packs of b lie on 16-byte boundaries

  __device__ __forceinline__ T at(int64_t i) const {
    int64_t place;
    n.split(inner.quotient(i), place);
    return data[place];
  }
  // The values that elements i … i + N meet.
  template <int N>
  __device__ __forceinline__ Pack<T, N> fetch(int64_t i) const {
    int64_t rest, place;
    n.split(inner.split(i, rest), place);
    if (together) return load_pack<T, N>(data + place);
    Pack<T, N> values;
    const int64_t last = n.divisor() - 1, run = inner.divisor();
    if (run >= N) {
      const int left = static_cast<int>(min(run - rest, int64_t{N}));
      const T here = data[place];
      const T next = left < N ? data[place == last ? 0 : place + 1] : here;
#pragma unroll
      for (int k = 0; k < N; ++k) values.at[k] = k < left ? here : next;
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) {
        values.at[k] = data[place];
        if (++rest == run) {
          rest = 0;
          place = place == last ? 0 : place + 1;
        }
      }
    }
    return values;
  }
};

template <class T, class Function>
__global__ void __launch_bounds__(kBlock)
    middle_kernel(int64_t n, int64_t packs, Function function, const T* a, Line<T> b, T* y) {
  constexpr int N = kPack<T>, kDepth = 2;
  const int64_t step = int64_t{gridDim.x} * (kBlock * kDepth);
  for (int64_t tile = int64_t{blockIdx.x} * (kBlock * kDepth) + threadIdx.x; tile < packs; tile += step) {
    Pack<T, N> left[kDepth];
#pragma unroll
    for (int d = 0; d < kDepth; ++d)
      if (tile + d * kBlock < packs) left[d] = load_pack<T, N>(a + (tile + d * kBlock) * N);
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const int64_t pack = tile + d * kBlock;
      if (pack >= packs) break;
      const Pack<T, N> right = b.template fetch<N>(pack * N);
#pragma unroll
      for (int k = 0; k < N; ++k) left[d].at[k] = narrow<T>(function(widen(left[d].at[k]), widen(right.at[k])));
      store_pack<T, N>(y + pack * N, left[d]);
    }
  }
  const int64_t first = packs * N + int64_t{blockIdx.x} * kBlock + threadIdx.x;
  for (int64_t i = first; i < n; i += int64_t{gridDim.x} * kBlock)
    y[i] = narrow<T>(function(widen(a[i]), widen(b.at(i))));
}

// ---- Choice ---------------------------------------------------------------------------------------------

bool lies_flat(const Layout<2>& layout, int k) {
  int64_t step = 1;
  for (int d = layout.rank - 1; d >= 0; --d) {
    if (layout.stride[k][d] != step) return false;
    step *= layout.shape[d];
  }
  return true;
}

// Whether array k runs along one dimension alone, with step 1; then n elements of it, each for `inner` in turn.
bool lies_in_line(const Layout<2>& layout, int k, int64_t& n, int64_t& inner) {
  n = inner = 1;
  bool found = false;
  for (int d = layout.rank - 1; d >= 0; --d) {
    if (layout.stride[k][d] == 0) {
      if (!found) inner *= layout.shape[d];
    } else if (layout.stride[k][d] == 1 && !found) {
      found = true;
      n = layout.shape[d];
    } else {
      return false;
    }
  }
  return true;
}

template <class T>
void stretch(espalier_binary kind, const Layout<2>& layout, const T* a, const T* b, T* y) {
  constexpr int N = kPack<T>;
  const int64_t n = layout.size();
  const Side<T> left{a, lies_flat(layout, 0)}, right{b, lies_flat(layout, 1)};
  const bool packed = aligned_for(y, N) && (!left.flat || aligned_for(a, N)) && (!right.flat || aligned_for(b, N));
  const int64_t packs = packed ? n / N : 0;
  const int64_t blocks = packs > 0 ? ceil_div(packs, 2 * kBlock) : ceil_div(n, kBlock);
  const unsigned grid = static_cast<unsigned>(std::min<int64_t>(blocks, INT32_MAX));
  int64_t line, inner;
  const bool in_line = left.flat && !right.flat && lies_in_line(layout, 1, line, inner);
  with_binary<wide_t<T>>(kind, [&](auto function) {
    if (in_line) {
      const Line<T> values{b, Divider(line), Divider(inner), inner == 1 && line % N == 0 && aligned_for(b, N)};
      middle_kernel<<<grid, kBlock, 0, stream()>>>(n, packs, function, a, values, y);
    } else {
      stretch_kernel<<<grid, kBlock, 0, stream()>>>(n, packs, function, Nest<2>(layout), left, right, y);
    }
    launched("binary of stretched arrays");
  });
}

void require_kind(espalier_binary kind) {
  require_range("kind", static_cast<int64_t>(kind), int64_t{ESPALIER_BINARY_ADD}, int64_t{ESPALIER_BINARY_GREATER});
}

}  // namespace

espalier_status espalier_cuda_binary_middle(espalier_binary kind, int64_t outer, int64_t n, int64_t inner,
                                            espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    const int64_t size = checked_product("a", {outer, n, inner});
    for_device_float("a", a.dtype, [&]<class T>(T) {
      const T* const left = elements<T>("a", a, size);
      const T* const right = elements<T>("b", b, n);
      T* const result = elements<T>("y", y, size);
      if (size == 0) return;
      Layout<2> layout;
      layout.push(outer, n * inner, 0);
      layout.push(n, inner, 1);
      layout.push(inner, 1, 0);
      layout.ensure_one();
      stretch(kind, layout, left, right, result);
    });
  });
}

espalier_status espalier_cuda_binary_broadcast(espalier_binary kind, espalier_dims a_shape, espalier_dims b_shape,
                                               espalier_in a, espalier_in b, espalier_out y) {
  return guarded(__func__, [&] {
    require_kind(kind);
    const int64_t in_a = checked_product("a_shape", a_shape), in_b = checked_product("b_shape", b_shape);
    const Layout<2> layout = stretched(a_shape, b_shape);
    for_device_float("a", a.dtype, [&]<class T>(T) {
      const T* const left = elements<T>("a", a, in_a);
      const T* const right = elements<T>("b", b, in_b);
      T* const result = elements<T>("y", y, layout.size());
      if (layout.size() > 0) stretch(kind, layout, left, right, result);
    });
  });
}
