// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "cuda/core/ptx/shared.cuh"
#include "instructions.h"

namespace espalier::cuda::ptx {

// Of operands of type T; float32 is taken as tf32.
template <class T>
constexpr simulated::Elements elements_of = sizeof(T) == 1                     ? simulated::Elements::kInt8
                                            : std::is_same_v<T, __nv_bfloat16> ? simulated::Elements::kBfloat16
                                                                               : simulated::Elements::kHalf;

inline void load_matrix4(uint32_t (&to)[4], Shared auto row) {
  simulated::load_matrix4(to, shared_address(row), false);
}
inline void load_matrix4_transposed(uint32_t (&to)[4], Shared auto row) {
  simulated::load_matrix4(to, shared_address(row), true);
}
inline uint32_t transpose_matrix(uint32_t row) { return simulated::transpose_matrix(row); }

template <class T>
void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  simulated::mma(elements_of<T>, d, a, b, {});
}
inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  const uint32_t b[2] = {b0, b1};
  simulated::mma(simulated::Elements::kTf32, d, a, b, {});
}
// To the nearest, ties away from zero.
inline uint32_t to_tf32(float value) {
  const uint32_t word = __float_as_uint(value);
  return (word & 0x7f800000u) == 0x7f800000u ? word & 0xffffe000u : (word + 0x1000u) & 0xffffe000u;
}

template <class T, int kSelector>
void mma_sparse(std::conditional_t<sizeof(T) == 1, int32_t, float> (&d)[4], const uint32_t (&a)[4],
                const uint32_t (&b)[4], uint32_t places) {
  simulated::mma(elements_of<T>, d, a, b, {true, places, kSelector});
}

}  // namespace espalier::cuda::ptx
