// The tensor-core instructions that every chip from sm_80 on has, and copies into shared memory that run
// beside them.
#pragma once

#include <cstdint>

#include "cuda/core/launch.cuh"

namespace espalier::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}

// 16 bytes from memory to shared memory, of which the last 16 − `bytes` are zeros and not read.
__device__ __forceinline__ void copy_async(uint32_t to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}

// Four 8×8 matrices of 16-bit elements, a row per lane's address: each thread gets two neighbours of a row,
// or with `transpose` of a column.
template <bool kTranspose>
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t from) {
  if constexpr (kTranspose)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(from)
                 : "memory");
}

// sum += A·B for A of 16×16 and B of 16×8 (16×8 and 8×8 for tf32). With g = lane / 4, t = lane % 4 a
// thread holds rows g and g+8, columns 2t and 2t+1 of the sum, in that order.
template <class T>
__device__ __forceinline__ void multiply(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, __half>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ uint32_t to_tf32(float value) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

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
        copy_async(shared_address(to), source, held * int{sizeof(T)});
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
      if constexpr (kKFirst) load_matrices<false>(to, shared_address(tile + at_i * kStride + at_k));
      else {
        const int rows_i = i + (lane / 8 % 2) * 8, row_k = k + (lane / 16) * 8 + lane % 8;
        load_matrices<true>(to, shared_address(tile + row_k * kStride + rows_i));
      }
    } else {
      const int g = lane / 4, t = lane % 4;
#pragma unroll
      for (int part = 0; part < 4; ++part) to[part] = to_tf32(one(tile, i + g + part % 2 * 8, k + t + part / 2 * 4));
    }
  }
  // Two fragments of B: columns [j, j+8) in to[0], to[1] and [j+8, j+16) in to[2], to[3].
  static __device__ void right(uint32_t (&to)[4], const T* tile, int j, int k) {
    const int lane = static_cast<int>(threadIdx.x) & 31;
    if constexpr (sizeof(T) == 2) {
      // Matrices in the order (columns, k), (columns, k+8), (columns+8, k), (columns+8, k+8).
      if constexpr (kKFirst) {
        const int at_j = j + lane % 8 + (lane / 16) * 8, at_k = k + (lane / 8 % 2) * 8;
        load_matrices<false>(to, shared_address(tile + at_j * kStride + at_k));
      } else {
        const int row_k = k + lane % 8 + (lane / 8 % 2) * 8, at_j = j + (lane / 16) * 8;
        load_matrices<true>(to, shared_address(tile + row_k * kStride + at_j));
      }
    } else {
      const int g = lane / 4, t = lane % 4;
#pragma unroll
      for (int part = 0; part < 4; ++part) to[part] = to_tf32(one(tile, j + g + part / 2 * 8, k + t + part % 2 * 4));
    }
  }

 private:
  static __device__ float one(const T* tile, int i, int k) {
    return static_cast<float>(kKFirst ? tile[i * kStride + k] : tile[k * kStride + i]);
  }
};

}  // namespace espalier::cuda
