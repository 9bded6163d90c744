// Products of a warpgroup whose left operand is in registers: a warp holds its 16 rows as of mma16816.
#pragma once

#include "cuda/core/ptx.cuh"

namespace espalier::cuda::ptx {

// A wgmma reads its registers until it is waited for: after the wait, this keeps them from being given away before.
template <int kCount>
__device__ __forceinline__ void keep(const uint32_t (&a)[kCount][4]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" ::"r"(a[i][0]), "r"(a[i][1]), "r"(a[i][2]), "r"(a[i][3]) : "memory");
}

#if defined(ESPALIER_HOPPER)

// d += a·b, 64×64×16 of 16-bit types, b by a descriptor of k_major, or where kNMajor of mn_major.
template <class T, bool kNMajor>
__device__ __forceinline__ void wgmma_registers(float (&d)[32], const uint32_t (&a)[4], uint64_t b) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    asm volatile(
        "{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{" ESPALIER_WGMMA_32 "}, {%32, %33, %34, %35}, %36, p, 1, 1, %37;\n}"
        : ESPALIER_WGMMA_D32(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(int{kNMajor}));
  else
    asm volatile(
        "{\n.reg .pred p;\nsetp.eq.u32 p, 0, 0;\nwgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
        "{" ESPALIER_WGMMA_32 "}, {%32, %33, %34, %35}, %36, p, 1, 1, %37;\n}"
        : ESPALIER_WGMMA_D32(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(int{kNMajor}));
}

#endif

}  // namespace espalier::cuda::ptx
