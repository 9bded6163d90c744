// Reductions along the middle of an array [outer, n, inner], for any way of combining.
//
// A reduction R says what is combined: `State`, `identity()`, `append(state, x, i)` of the element at place i of its
// line to a state of elements before it, `combine(a, b)`, which must not mind the order. A finish F takes the result of
// line k (counted over [outer, inner]): `write<N>(k, states)` of N neighbours. Lines are cut into pieces by their
// length alone, and everything is combined in a fixed order: the bits depend on nothing but shape and values.
#pragma once

#include <cstring>
#include <type_traits>

#include "cuda/divider.h"
#include "cuda/map.cuh"

namespace espalier::cuda {

// ---- Combining over threads -----------------------------------------------------------------------

// A state of any type (whole 32-bit words) from the lane whose number differs by `offset`.
template <class State>
__device__ __forceinline__ State from_lane(const State& state, int offset) {
  constexpr int kWords = sizeof(State) / 4;
  uint32_t words[kWords];
  memcpy(words, &state, sizeof state);
#pragma unroll
  for (int w = 0; w < kWords; ++w) words[w] = __shfl_xor_sync(0xffffffffu, words[w], offset);
  State other;
  memcpy(&other, words, sizeof other);
  return other;
}

// Over groups of `Lanes` neighbouring threads: up to a warp, or the block of kBlock.
template <int Lanes, class R>
__device__ __forceinline__ typename R::State combine_lanes(const R& r, typename R::State state) {
#pragma unroll
  for (int offset = (Lanes < 32 ? Lanes : 32) / 2; offset > 0; offset /= 2)
    state = r.combine(state, from_lane(state, offset));
  if constexpr (Lanes > 32) {
    static_assert(Lanes == kBlock);
    constexpr int kWarps = kBlock / 32;
    __shared__ typename R::State of_warp[kWarps];
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = state;
    __syncthreads();
    state = of_warp[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) state = r.combine(state, of_warp[w]);
    __syncthreads();
  }
  return state;
}

// A run of n neighbours, by a group of threads of which this is number `lane`; `first` is the place of the first
// one in its line. Up to a 16-byte boundary and behind the last one element by element.
template <int Lanes, class R, class Item>
__device__ __forceinline__ typename R::State reduce_run(const R& r, const Item* x, int n, int64_t first, int lane) {
  constexpr int N = kPack<Item>;
  using State = typename R::State;
  State part[N];
#pragma unroll
  for (int k = 0; k < N; ++k) part[k] = r.identity();
  const int past = static_cast<int>(reinterpret_cast<uintptr_t>(x) / sizeof(Item) % N);
  const int head = min(past == 0 ? 0 : N - past, n);
  const int packs = (n - head) / N, tail = head + packs * N;
  for (int i = lane; i < head; i += Lanes) r.append(part[0], x[i], first + i);
#pragma unroll 4
  for (int p = lane; p < packs; p += Lanes) {
    const int at = head + p * N;
    const Pack<Item, N> read = load_pack<Item, N>(x + at);
#pragma unroll
    for (int k = 0; k < N; ++k) r.append(part[k], read.at[k], first + at + k);
  }
  for (int i = tail + lane; i < n; i += Lanes) r.append(part[0], x[i], first + i);
#pragma unroll
  for (int width = N / 2; width > 0; width /= 2)
#pragma unroll
    for (int k = 0; k < width; ++k) part[k] = r.combine(part[k], part[k + width]);
  return combine_lanes<Lanes>(r, part[0]);
}

// ---- Lines that lie together (inner is 1) -----------------------------------------------------------

template <int Lanes, class R, class Item, class Finish>
__global__ void __launch_bounds__(kBlock)
    reduce_rows_kernel(R r, int64_t runs, Divider pieces, int64_t n, int64_t piece, const Item* x, Finish finish) {
  constexpr int kGroups = kBlock / Lanes;
  const int lane = threadIdx.x % Lanes;
  for (int64_t begin = int64_t{blockIdx.x} * kGroups; begin < runs; begin += int64_t{gridDim.x} * kGroups) {
    // Every thread takes part in the exchange; the groups past the end have nothing to bring.
    const int64_t run = begin + threadIdx.x / Lanes;
    const bool inside = run < runs;
    int64_t p;
    const int64_t row = pieces.split(inside ? run : 0, p);
    const int64_t first = p * piece, count = inside ? min(piece, n - first) : 0;
    const typename R::State state[1] = {
        reduce_run<Lanes>(r, x + row * n + first, static_cast<int>(count), first, lane)};
    if (inside && lane == 0) finish.write(run, state);
  }
}

// ---- Lines side by side -----------------------------------------------------------------------------

// A block takes `width` columns, N elements wide each and numbered over [outer, inner / N], and the rows of one
// piece, `step` of them at a time.
template <int N, class R, class Item, class Finish>
__global__ void __launch_bounds__(kBlock)
    reduce_columns_kernel(R r, int64_t columns, int width, int64_t n, int64_t inner, int64_t piece, int64_t blocks,
                          Divider pieces, Divider across, const Item* x, Finish finish) {
  using State = typename R::State;
  constexpr int kBatch = 8;  // rows, which also make a sum of their own, so that rounding errors do not pile up
  __shared__ State shared[kBlock][N];
  const int step = kBlock / width, lane = threadIdx.x / width;
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    int64_t p, j;
    const int64_t column = pieces.split(block, p) * width + threadIdx.x % width;
    const int64_t o = across.split(min(column, columns - 1), j);
    const bool active = column < columns && lane < step;
    const int64_t first = p * piece, end = min(n, first + piece);
    State total[N];
#pragma unroll
    for (int k = 0; k < N; ++k) total[k] = r.identity();
    if (active) {
      const Item* const from = x + o * n * inner + j * N;
      int64_t i = first + lane;
      // Rows by the batch, all of it under way at once, while whole batches are left.
      for (; i + (kBatch - 1) * step < end; i += kBatch * step) {
        Pack<Item, N> read[kBatch];
#pragma unroll
        for (int b = 0; b < kBatch; ++b) read[b] = load_pack<Item, N>(from + (i + b * step) * inner);
        State part[N];
#pragma unroll
        for (int k = 0; k < N; ++k) part[k] = r.identity();
#pragma unroll
        for (int b = 0; b < kBatch; ++b)
#pragma unroll
          for (int k = 0; k < N; ++k) r.append(part[k], read[b].at[k], i + b * step);
#pragma unroll
        for (int k = 0; k < N; ++k) total[k] = r.combine(total[k], part[k]);
      }
#pragma unroll 4
      for (; i < end; i += step) {
        const Pack<Item, N> read = load_pack<Item, N>(from + i * inner);
#pragma unroll
        for (int k = 0; k < N; ++k) r.append(total[k], read.at[k], i);
      }
    }
    if (step > 1) {
#pragma unroll
      for (int k = 0; k < N; ++k) shared[threadIdx.x][k] = total[k];
      __syncthreads();
      for (int height = step; height > 1;) {
        const int half = (height + 1) / 2;
        if (lane + half < height)
#pragma unroll
          for (int k = 0; k < N; ++k)
            shared[threadIdx.x][k] = r.combine(shared[threadIdx.x][k], shared[threadIdx.x + half * width][k]);
        __syncthreads();
        height = half;
      }
#pragma unroll
      for (int k = 0; k < N; ++k) total[k] = shared[threadIdx.x][k];
      __syncthreads();
    }
    if (active && lane == 0) finish.write((o * pieces.divisor() + p) * inner + j * N, total);
  }
}

// ---- Launching --------------------------------------------------------------------------------------

// States as they are, for a further pass.
template <class State>
struct KeepState {
  State* to;
  template <int N>
  __device__ __forceinline__ void write(int64_t k, const State (&states)[N]) const {
#pragma unroll
    for (int i = 0; i < N; ++i) to[k + i] = states[i];
  }
};

inline unsigned reduce_grid(int64_t blocks) { return static_cast<unsigned>(std::min<int64_t>(blocks, INT32_MAX)); }

template <class R, class Item, class Finish>
void reduce_rows(const char* name, R r, int64_t rows, int64_t n, int64_t pieces, int64_t piece, const Item* x,
                 Finish finish) {
  const int64_t runs = rows * pieces, packs = ceil_div(std::min(n, piece), kPack<Item>);
  const auto launch = [&]<int Lanes>(std::integral_constant<int, Lanes>) {
    reduce_rows_kernel<Lanes><<<reduce_grid(ceil_div(runs, kBlock / Lanes)), kBlock, 0, stream()>>>(
        r, runs, Divider(pieces), n, piece, x, finish);
  };
  // Two to sixteen packs a thread.
  if (packs <= 4) launch(std::integral_constant<int, 2>{});
  else if (packs <= 32) launch(std::integral_constant<int, 8>{});
  else if (packs <= 512) launch(std::integral_constant<int, 32>{});
  else launch(std::integral_constant<int, kBlock>{});
  launched(name);
}

template <int N, class R, class Item, class Finish>
void reduce_columns(const char* name, R r, int64_t outer, int64_t n, int64_t inner, int width, int64_t pieces,
                    int64_t piece, const Item* x, Finish finish) {
  const int64_t across = inner / N, columns = outer * across, blocks = ceil_div(columns, width) * pieces;
  reduce_columns_kernel<N><<<reduce_grid(blocks), kBlock, 0, stream()>>>(r, columns, width, n, inner, piece, blocks,
                                                                         Divider(pieces), Divider(across), x, finish);
  launched(name);
}

// How a reduction is cut: rows of a piece, and columns of a block (see reduce_columns_kernel).
struct Cut {
  int64_t piece;
  int width;
};
inline Cut cut_rows(int pack) { return {int64_t{16} * kBlock * pack, 0}; }
inline Cut cut_columns(int64_t columns) {
  // Columns enough for a thread each keep the device busy; else the block's threads share the rows.
  constexpr int64_t kMany = 1 << 16;
  const int width = static_cast<int>(columns >= kMany ? kBlock : columns >= 32 ? 32 : columns);
  return {int64_t{32} * std::max(8, kBlock / width), width};
}

// Every line of x [outer, n, inner], n at least 1, to `finish`.
template <class R, class Item, class Finish>
void reduce_middle(const char* name, R r, int64_t outer, int64_t n, int64_t inner, const Item* x, Finish finish) {
  using State = typename R::State;
  if (outer == 0 || inner == 0) return;
  constexpr int N = kPack<Item>;
  const bool packed = inner % N == 0 && aligned_for(x, N);
  const Cut cut = inner == 1 ? cut_rows(N) : cut_columns(outer * (packed ? inner / N : inner));
  const int64_t pieces = ceil_div(n, cut.piece);
  const auto pass = [&](auto to) {
    if (inner == 1) reduce_rows(name, r, outer, n, pieces, cut.piece, x, to);
    else if (packed) reduce_columns<N>(name, r, outer, n, inner, cut.width, pieces, cut.piece, x, to);
    else reduce_columns<1>(name, r, outer, n, inner, cut.width, pieces, cut.piece, x, to);
  };
  if (pieces == 1) return pass(finish);
  const Temporary<State> partial(outer * pieces * inner);
  pass(KeepState<State>{partial.get()});
  reduce_middle<R, State, Finish>(name, r, outer, pieces, inner, partial.get(), finish);
}

}  // namespace espalier::cuda
