// What the products on Hopper's tensor cores share: the shape of their work, and the way of a result into memory.
#pragma once

#include <type_traits>

#include "cuda/core/launch.cuh"
#include "cuda/core/ptx/barriers.cuh"
#include "cuda/core/ptx/compiler.cuh"
#include "cuda/core/ptx/copies.cuh"
#include "cuda/core/ptx/descriptors.cuh"
#include "cuda/core/ptx/matrices.cuh"
#include "cuda/core/ptx/warpgroups.cuh"

namespace espalier::cuda::sparse {

constexpr int kSide = 64;  // of the blocks that operands are cut into: 64 rows of 128 bytes
constexpr int kBlockBytes = kSide * kSide * 2;
constexpr int kThreads = 3 * 128;  // a warpgroup that loads, two that multiply
constexpr int kConsumerWarps = 8;

template <class T>
__device__ __forceinline__ uint32_t pack2(float low, float high) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  } else {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
}

// Two bits as a mask of two 16-bit elements.
__device__ __forceinline__ uint32_t spread(uint32_t bits) {
  return (bits & 1) * 0x0000ffffu | (bits >> 1 & 1) * 0xffff0000u;
}

// The 4×4 matrix of words of four neighbouring lanes, transposed: lane t gets word t of each of them.
__device__ __forceinline__ void transpose_quad(uint32_t (&word)[4]) {
  const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const uint32_t got = __shfl_xor_sync(0xffffffffu, odd ? word[i] : word[i + 1], 1);
    (odd ? word[i] : word[i + 1]) = got;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t got = __shfl_xor_sync(0xffffffffu, upper ? word[i] : word[i + 2], 2);
    (upper ? word[i] : word[i + 2]) = got;
  }
}

// Columns 32·part to 32·part + 31 of the warp's 16 rows, in pieces of 16 bytes: out[row·ld + column], or
// transposed, out[column·ld + row].
template <class T, bool kTransposed, int kCount>
__device__ __forceinline__ void store_part(const float (&d)[kCount], int part, T* out, int64_t ld, int64_t row,
                                           int64_t rows, int64_t column, int64_t columns, const float (&bias)[2]) {
  const int lane = threadIdx.x & 31, g = lane / 4, t = lane % 4;
  if constexpr (!kTransposed) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      uint32_t word[4];
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int at = 4 * (4 * part + q) + 2 * h;
        word[q] = pack2<T>(d[at] + bias[h], d[at + 1] + bias[h]);
      }
      transpose_quad(word);
      if (row + g + 8 * h < rows && column + 8 * t < columns)
        ptx::store16(out + (row + g + 8 * h) * ld + column + 8 * t, make_uint4(word[0], word[1], word[2], word[3]));
    }
  } else {
#pragma unroll
    for (int pair = 0; pair < 2; ++pair) {
      uint32_t word[4];
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        const int h = q % 2, at = 4 * (4 * part + 2 * pair + q / 2) + 2 * h;
        word[q] = ptx::transpose_matrix(pack2<T>(d[at] + bias[h], d[at + 1] + bias[h]));
      }
      transpose_quad(word);
      const int64_t to = column + 16 * pair + 8 * (t / 2) + g;
      if (row + 8 * (t % 2) < rows && to < columns)
        ptx::store16(out + to * ld + row + 8 * (t % 2), make_uint4(word[0], word[1], word[2], word[3]));
    }
  }
}

}  // namespace espalier::cuda::sparse
