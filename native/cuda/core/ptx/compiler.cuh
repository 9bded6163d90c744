// Words to the compiler that become no instruction.
#pragma once

#include <cstdint>

namespace espalier::cuda::ptx {

// Loads and stores stay on the side of it where they are written.
__device__ __forceinline__ void keep_order() { asm volatile("" ::: "memory"); }

// What is computed from these afterwards is computed there, not before.
__device__ __forceinline__ void hide_origin(int& first, int& second) { asm volatile("" : "+r"(first), "+r"(second)); }

// Keeps reads of an accumulator from being moved before the wait for its products.
template <int kCount>
__device__ __forceinline__ void settle(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}
// A wgmma reads its registers until it is waited for: after the wait, this keeps them from being given away before.
template <int kCount>
__device__ __forceinline__ void keep(const uint32_t (&a)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" ::"r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]) : "memory");
}

}  // namespace espalier::cuda::ptx
