// Tiles of operands in shared memory, for the products that every chip from sm_80 on has.
#pragma once

#include <cstdint>

#include "cuda/core/launch.cuh"
#include "cuda/core/ptx/copies.cuh"
#include "cuda/core/ptx/matrices.cuh"

namespace espalier::cuda {

// One operand's tile in shared memory: kExtent rows (columns for B) of C by kK, as it is stored in memory:
// with K along the rows (kKFirst) or along the columns. Rows are padded by an access so that neither the
// copies nor the reads of a fragment meet in a bank.
template <class T, int kExtent, int kK, bool kKFirst, int kThreads>
struct SharedTile {
  static constexpr int kRows = kKFirst ? kExtent : kK, kColumns = kKFirst ? kK : kExtent;
  static constexpr int kChunk = 16 / int{sizeof(T)};
  // 32-bit elements are read one by one along t in K and g in the other direction: 8 words of padding
  // keep these apart where K runs down the columns, 4 where it runs along the rows.
  static constexpr int kStride = kColumns + (sizeof(T) == 4 && !kKFirst ? 2 * kChunk : kChunk);
  static constexpr int kElements = kRows * kStride;
  static constexpr int kCopies = kRows * kColumns / kChunk;
  static_assert(kCopies % kThreads == 0);

  // Begins to bring the tile whose first stored element is `from` [row0][column0]; what lies beyond the
  // matrix of rows × columns becomes zero.
  static __device__ void bring(T* tile, const T* from, int64_t ld, int64_t rows, int64_t columns, int64_t row0,
                               int64_t column0, bool aligned) {
#pragma unroll
    for (int take = 0; take < kCopies / kThreads; ++take) {
      const int at = take * kThreads + static_cast<int>(threadIdx.x);
      const int row = at / (kColumns / kChunk), column = at % (kColumns / kChunk) * kChunk;
      const int64_t left = row0 + row < rows ? columns - column0 - column : 0;
      const int held = static_cast<int>(left < 0 ? 0 : left > kChunk ? kChunk : left);
      const T* const source = held > 0 ? from + (row0 + row) * ld + column0 + column : from;
      T* const to = tile + row * kStride + column;
      if (aligned) {
        ptx::copy16(to, source, held * int{sizeof(T)});
      } else {
        Pack<T, kChunk> packed;
#pragma unroll
        for (int e = 0; e < kChunk; ++e) packed.at[e] = e < held ? source[e] : T(0);
        *reinterpret_cast<Pack<T, kChunk>*>(to) = packed;
      }
    }
  }

  // The fragment of A that is rows [i, i+16) and one step of K from k on.
  static __device__ void left(uint32_t (&to)[4], const T* tile, int i, int k) {
    const int lane = static_cast<int>(threadIdx.x) & 31;
    if constexpr (sizeof(T) == 2) {
      // Matrices in the order (rows, k), (rows+8, k), (rows, k+8), (rows+8, k+8).
      const int at_i = i + lane % 8 + (lane / 8 % 2) * 8, at_k = k + (lane / 16) * 8;
      if constexpr (kKFirst) ptx::load_matrix4(to, tile + at_i * kStride + at_k);
      else {
        const int rows_i = i + (lane / 8 % 2) * 8, row_k = k + (lane / 16) * 8 + lane % 8;
        ptx::load_matrix4_transposed(to, tile + row_k * kStride + rows_i);
      }
    } else {
      const int g = lane / 4, t = lane % 4;
#pragma unroll
      for (int part = 0; part < 4; ++part)
        to[part] = ptx::to_tf32(one(tile, i + g + part % 2 * 8, k + t + part / 2 * 4));
    }
  }
  // Two fragments of B: columns [j, j+8) in to[0], to[1] and [j+8, j+16) in to[2], to[3].
  static __device__ void right(uint32_t (&to)[4], const T* tile, int j, int k) {
    const int lane = static_cast<int>(threadIdx.x) & 31;
    if constexpr (sizeof(T) == 2) {
      // Matrices in the order (columns, k), (columns, k+8), (columns+8, k), (columns+8, k+8).
      if constexpr (kKFirst) {
        const int at_j = j + lane % 8 + (lane / 16) * 8, at_k = k + (lane / 8 % 2) * 8;
        ptx::load_matrix4(to, tile + at_j * kStride + at_k);
      } else {
        const int row_k = k + lane % 8 + (lane / 8 % 2) * 8, at_j = j + (lane / 16) * 8;
        ptx::load_matrix4_transposed(to, tile + row_k * kStride + at_j);
      }
    } else {
      const int g = lane / 4, t = lane % 4;
#pragma unroll
      for (int part = 0; part < 4; ++part)
        to[part] = ptx::to_tf32(one(tile, j + g + part / 2 * 8, k + t + part % 2 * 4));
    }
  }

 private:
  static __device__ float one(const T* tile, int i, int k) {
    return static_cast<float>(kKFirst ? tile[i * kStride + k] : tile[k * kStride + i]);
  }
};

}  // namespace espalier::cuda
