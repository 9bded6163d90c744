// Matrices of a warp: fragments of them between shared memory and registers, and their products on tensor cores.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

#include "cuda/core/ptx/shared.cuh"

namespace espalier::cuda::ptx {

// 8×8 matrices of 16-bit elements between shared memory and fragments: lane l names row l % 8 of matrix l / 8,
// and holds of each matrix elements 2(l % 4), 2(l % 4) + 1 of row l / 4, or transposed, of column l / 4.
template <Shared T>
__device__ __forceinline__ void load_matrix4(uint32_t (&to)[4], T row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
template <Shared T>
__device__ __forceinline__ void load_matrix4_transposed(uint32_t (&to)[4], T row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
// Such a matrix in the fragments of a warp, transposed.
__device__ __forceinline__ uint32_t transpose_matrix(uint32_t row) {
  uint32_t column;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(column) : "r"(row));
  return column;
}

// Products of one warp, d += a·b. With g = lane / 4, t = lane % 4: d holds rows g, g + 8 (d[0..1], d[2..3]) and
// columns 2t, 2t + 1. Of 16-bit a (16×16) register i holds row g + 8(i % 2), elements 2t, 2t + 1 + 8(i / 2); of b
// (16×8) register i column g, rows 2t, 2t + 1 + 8i. Of tf32 a (16×8) register i holds row g + 8(i % 2), column
// t + 4(i / 2); of b (8×8) register i row t + 4i, column g.
template <class T>
__device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// A float32 rounded to tf32's 10 bits of mantissa (the tensor cores themselves cut off).
__device__ __forceinline__ uint32_t to_tf32(float value) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(value));
  return rounded;
}

// mma with two of every four elements of a along K left out, 32 bytes of a's rows against 64 of b's columns:
// 16×8×32 of 16-bit types, 16×8×64 of int8. `places` says which are there: see two_four.h.
template <class T, int kSelector>
__device__ __forceinline__ void mma_sparse(std::conditional_t<sizeof(T) == 1, int32_t, float> (&d)[4],
                                           const uint32_t (&a)[4], const uint32_t (&b)[4], uint32_t places) {
#define ESPALIER_SPARSE(shape, types, constraint)                                                                     \
  asm volatile("mma.sp::ordered_metadata.sync.aligned." shape ".row.col." types                                       \
               " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, %13;"                             \
               : constraint(d[0]), constraint(d[1]), constraint(d[2]), constraint(d[3])                               \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(places), \
                 "n"(kSelector))
  if constexpr (sizeof(T) == 1) ESPALIER_SPARSE("m16n8k64", "s32.s8.s8.s32", "+r");
  else if constexpr (std::is_same_v<T, __half>) ESPALIER_SPARSE("m16n8k32", "f32.f16.f16.f32", "+f");
  else ESPALIER_SPARSE("m16n8k32", "f32.bf16.bf16.f32", "+f");
#undef ESPALIER_SPARSE
}

}  // namespace espalier::cuda::ptx
