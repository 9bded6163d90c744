// Functions applied element by element, 16 bytes an access where the addresses allow it.
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/core/launch.cuh"

namespace espalier::cuda {

// Elements of T that a thread moves at once.
template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <class T>
bool aligned_for(const T* address, int count) {
  return reinterpret_cast<uintptr_t>(address) % (sizeof(T) * static_cast<size_t>(count)) == 0;
}

// What a function computes with: float for the 16-bit types, integers as they are.
template <class T>
__device__ __forceinline__ auto operand(T value) {
  if constexpr (std::is_integral_v<T>) return value;
  else return widen(value);
}

template <class T, int N>
__device__ __forceinline__ Pack<T, N> load_pack(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
__device__ __forceinline__ void store_pack(T* to, const Pack<T, N>& values) {
  *reinterpret_cast<Pack<T, N>*>(to) = values;
}

// What a thread has read before it computes: `Depth` packs of each array, so that several loads are under way.
template <int Depth, int N, class... In>
struct Operands;
template <int Depth, int N>
struct Operands<Depth, N> {
  __device__ __forceinline__ void load(int, int64_t) {}
  template <class Function, class... Value>
  __device__ __forceinline__ auto apply(int, int, int64_t i, Function& function, Value... value) const {
    return function(i, value...);
  }
};
template <int Depth, int N, class First, class... Rest>
struct Operands<Depth, N, First, Rest...> {
  const First* from;
  Operands<Depth, N, Rest...> rest;
  Pack<First, N> at[Depth];

  __device__ __forceinline__ void load(int slot, int64_t pack) {
    at[slot] = load_pack<First, N>(from + pack * N);
    rest.load(slot, pack);
  }
  template <class Function, class... Value>
  __device__ __forceinline__ auto apply(int slot, int k, int64_t i, Function& function, Value... value) const {
    return rest.apply(slot, k, i, function, value..., operand(at[slot].at[k]));
  }
};
template <int Depth, int N>
__device__ __forceinline__ Operands<Depth, N> operands() {
  return {};
}
template <int Depth, int N, class First, class... Rest>
__device__ __forceinline__ Operands<Depth, N, First, Rest...> operands(const First* first, const Rest*... rest) {
  Operands<Depth, N, First, Rest...> made;
  made.from = first;
  made.rest = operands<Depth, N>(rest...);
  return made;
}

// y[i] = function(i, x[i]…): the first `packs`·N elements by packs, what is left one by one. No `__restrict__`:
// y may be one of the x.
template <int Depth, class Function, class Out, class... In>
__global__ void __launch_bounds__(kBlock)
    map_kernel(int64_t n, int64_t packs, Function function, Out* y, const In*... x) {
  constexpr int N = kPack<Out>;
  const int64_t step = int64_t{gridDim.x} * (kBlock * Depth);
  for (int64_t tile = int64_t{blockIdx.x} * (kBlock * Depth) + threadIdx.x; tile < packs; tile += step) {
    Operands<Depth, N, In...> read = operands<Depth, N>(x...);
#pragma unroll
    for (int d = 0; d < Depth; ++d)
      if (tile + d * kBlock < packs) read.load(d, tile + d * kBlock);
#pragma unroll
    for (int d = 0; d < Depth; ++d) {
      const int64_t pack = tile + d * kBlock;
      if (pack >= packs) break;
      Pack<Out, N> result;
#pragma unroll
      for (int k = 0; k < N; ++k) result.at[k] = narrow<Out>(read.apply(d, k, pack * N + k, function));
      store_pack<Out, N>(y + pack * N, result);
    }
  }
  const int64_t first = packs * N + int64_t{blockIdx.x} * kBlock + threadIdx.x;
  for (int64_t i = first; i < n; i += int64_t{gridDim.x} * kBlock) y[i] = narrow<Out>(function(i, operand(x[i])...));
}

// The same, launched. `function` is a device function of the index and the values, wide_t each.
template <class Function, class Out, class... In>
void map(int64_t n, const char* name, Function function, Out* y, const In*... x) {
  if (n <= 0) return;
  constexpr int N = kPack<Out>, depth = sizeof...(In) > 1 ? 2 : 4;
  const bool packed = (aligned_for(y, N) && ... && aligned_for(x, N));
  const int64_t packs = packed ? n / N : 0;
  const int64_t blocks = packs > 0 ? ceil_div(packs, kBlock * depth) : ceil_div(n, kBlock);
  map_kernel<depth><<<static_cast<unsigned>(std::min<int64_t>(blocks, INT32_MAX)), kBlock, 0, stream()>>>(
      n, packs, function, y, x...);
  launched(name);
}

}  // namespace espalier::cuda
