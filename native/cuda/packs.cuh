// Elementwise kernels at the speed of memory: elements move in packs where every array allows it.
#pragma once

#include <cstdint>

#include "cuda/core/launch.cuh"

namespace espalier::cuda {

// Elements of the narrowest type of a kernel that make one 16-byte access; at least 4, so that wider
// arrays beside it take one or two.
template <class T>
constexpr int kPackOf = sizeof(T) <= 2 ? 8 : 4;

// Whether packs of N can move at the addresses; null ones do not count.
template <int N, class... T>
bool packable(const T*... addresses) {
  return ((reinterpret_cast<uintptr_t>(addresses) % (N * sizeof(T)) == 0) && ...);
}

template <int N, class T>
__device__ __forceinline__ Pack<T, N> load(const T* from) {
  if constexpr (N == 1) return {*from};
  else return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <int N, class T>
__device__ __forceinline__ void store(T* to, const Pack<T, N>& pack) {
  if constexpr (N == 1) *to = pack.at[0];
  else *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

template <int N, class Body>
__global__ void __launch_bounds__(kBlock) packs_kernel(int64_t n, Body body) {
  const int64_t thread = blockIdx.x * int64_t{kBlock} + threadIdx.x, packs = n / N;
  for (int64_t i = thread; i < packs; i += int64_t{gridDim.x} * kBlock) body.template at<N>(i * N);
  if constexpr (N > 1)
    if (thread < n % N) body.template at<1>(packs * N + thread);
}

// A pack a thread: on an H200 a step that reads four arrays and writes two took 5% longer in blocks that go over
// the arrays again and again, whatever their number; loads and stores past the caches changed nothing.
inline unsigned grid_of_packs(int64_t packs) {
  return static_cast<unsigned>(std::min<int64_t>(ceil_div(packs, kBlock), (int64_t{1} << 31) - 1));
}

// Calls body.at<count>(i) for elements i … i + count: packs of N where `packed`, single ones elsewhere.
template <int N, class Body>
void for_packs(int64_t n, bool packed, const char* name, const Body& body) {
  if (n <= 0) return;
  if (packed) packs_kernel<N><<<grid_of_packs(ceil_div(n, N)), kBlock, 0, stream()>>>(n, body);
  else packs_kernel<1><<<grid_of_packs(n), kBlock, 0, stream()>>>(n, body);
  launched(name);
}

}  // namespace espalier::cuda
