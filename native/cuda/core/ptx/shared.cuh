// Shared memory as instructions name it: by 32-bit addresses.
//
// The headers of this folder hold all of this library's inline PTX, each instruction once. Facts are from NVIDIA's
// "Parallel Thread Execution ISA".
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

namespace espalier::cuda::ptx {

// A place in shared memory: a pointer to it, or its address.
template <class T>
concept Shared = std::is_pointer_v<T> || std::is_same_v<T, uint32_t>;

template <Shared T>
__device__ __forceinline__ uint32_t shared_address(T place) {
  if constexpr (std::is_pointer_v<T>) return static_cast<uint32_t>(__cvta_generic_to_shared(place));
  else return place;
}

__device__ __forceinline__ float4 read_float4(Shared auto from) {
  float4 value;
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "r"(shared_address(from)));
  return value;
}
__device__ __forceinline__ uint32_t read_word(Shared auto from) {
  uint32_t value;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(value) : "r"(shared_address(from)));
  return value;
}

}  // namespace espalier::cuda::ptx
