// How kernels are launched over elements, and the arithmetic types they share.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>

#include "cuda/core/counts.h"
#include "cuda/core/device.h"

namespace espalier {
template <>
constexpr espalier_dtype dtype_of<__half>() {
  return ESPALIER_FLOAT16;
}
template <>
constexpr espalier_dtype dtype_of<__nv_bfloat16>() {
  return ESPALIER_BFLOAT16;
}
}  // namespace espalier

namespace espalier::cuda {

// Sums and functions of 16-bit types are computed in float.
template <class T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};
template <class T>
using wide_t = typename Wide<T>::type;

template <class T>
__device__ __forceinline__ wide_t<T> widen(T value) {
  return static_cast<wide_t<T>>(value);
}
template <class T>
__device__ __forceinline__ T narrow(wide_t<T> value) {
  return static_cast<T>(value);
}

// N consecutive elements that move in one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

constexpr int kBlock = 256;

// Blocks that cover n threads, at most as many as keep the device full: kernels step by the grid.
inline unsigned grid_for(int64_t n, int block = kBlock) {
  const int64_t most = int64_t{traits().multiprocessors} * (2048 / block) * 4;
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(n, block), 1, most));
}

template <class Body>
__global__ void each_kernel(int64_t n, Body body) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < n; i += int64_t{gridDim.x} * blockDim.x) body(i);
}

// body(i) for 0 ≤ i < n on the device; body is a device lambda that captures by value. (nvcc takes no device
// lambda inside a generic lambda: write a function template around it.)
template <class Body>
void for_each(int64_t n, const char* name, Body body) {
  if (n <= 0) return;
  each_kernel<<<grid_for(n), kBlock, 0, stream()>>>(n, body);
  launched(name);
}

// The sum, or another combination, of a value per lane, in every lane of the warp.
template <class T, class Combine>
__device__ __forceinline__ T warp_reduce(T value, Combine combine) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) value = combine(value, __shfl_xor_sync(0xffffffffu, value, offset));
  return value;
}

// The same over a block of up to 1024 threads (a multiple of 32); every thread gets the result. Combines
// in a fixed order, so that the bits do not depend on timing.
template <class T, class Combine>
__device__ T block_reduce(T value, T identity, Combine combine) {
  __shared__ T of_warp[32];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, warps = blockDim.x >> 5;
  value = warp_reduce(value, combine);
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  value = warp_reduce(lane < warps ? of_warp[lane] : identity, combine);
  __syncthreads();
  return value;
}

// Leaves a fault for the host; of several one is kept.
__device__ __forceinline__ void raise_fault(Fault* at, FaultKind kind, int32_t function, int64_t value) {
  if (atomicCAS_system(&at->kind, 0, static_cast<int32_t>(kind)) == 0) {
    at->function = function;
    at->value = value;
    __threadfence_system();
  }
}

// Runs body(T{}) for the float types a device function takes: float, double, half, bfloat16.
template <class Body>
void for_device_float(const char* name, espalier_dtype dtype, Body body) {
  switch (dtype) {
    case ESPALIER_FLOAT16: return body(__half{});
    case ESPALIER_BFLOAT16: return body(__nv_bfloat16{});
    default: return for_float(name, dtype, body);
  }
}

}  // namespace espalier::cuda
