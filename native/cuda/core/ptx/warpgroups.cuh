// What Hopper alone has, in device code for 90a: products of a warpgroup (128 threads) from operands in shared memory,
// and registers given from warpgroup to warpgroup. ESPALIER_HOPPER is defined where they are there.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ESPALIER_HOPPER 1
#endif

#if defined(ESPALIER_HOPPER)

namespace espalier::cuda::ptx {

template <int kRegisters>
__device__ __forceinline__ void raise_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void lower_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Before the first product, and after the accumulators were touched otherwise.
__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

// The registers of an accumulator, as text and as operands of a constraint, and the numbers of what follows them.
#define ESPALIER_TEXT_32                                                   \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ESPALIER_TEXT_64                                                                                 \
  ESPALIER_TEXT_32                                                                                       \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51" \
  ", %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ESPALIER_TEXT_96                                                                                 \
  ESPALIER_TEXT_64                                                                                       \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83" \
  ", %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ESPALIER_TEXT_128                                                                        \
  ESPALIER_TEXT_96                                                                               \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ESPALIER_SUMS_8(c, i) \
  c(d[i]), c(d[i + 1]), c(d[i + 2]), c(d[i + 3]), c(d[i + 4]), c(d[i + 5]), c(d[i + 6]), c(d[i + 7])
#define ESPALIER_SUMS_32(c, i) \
  ESPALIER_SUMS_8(c, i), ESPALIER_SUMS_8(c, i + 8), ESPALIER_SUMS_8(c, i + 16), ESPALIER_SUMS_8(c, i + 24)
#define ESPALIER_SUMS_64(c, i) ESPALIER_SUMS_32(c, i), ESPALIER_SUMS_32(c, i + 32)
#define ESPALIER_SUMS_96(c, i) ESPALIER_SUMS_64(c, i), ESPALIER_SUMS_32(c, i + 64)
#define ESPALIER_SUMS_128(c, i) ESPALIER_SUMS_96(c, i), ESPALIER_SUMS_32(c, i + 96)
#define ESPALIER_AFTER_32 "%32", "%33", "%34", "%35", "%36", "%37", "%38"
#define ESPALIER_AFTER_64 "%64", "%65", "%66", "%67", "%68", "%69", "%70"
#define ESPALIER_AFTER_96 "%96", "%97", "%98", "%99", "%100", "%101", "%102"
#define ESPALIER_AFTER_128 "%128", "%129", "%130", "%131", "%132", "%133", "%134"
#define ESPALIER_FLOAT(x) "+f"(x)
#define ESPALIER_INTEGER(x) "+r"(x)
// So that the numbers are several arguments.
#define ESPALIER_WITH(macro, ...) macro(__VA_ARGS__)

// d = a·b (+ d where `add`), 64×N of 32 bytes of K, operands in shared memory by descriptors. Row 16·(warp % 4) +
// lane / 4 + 8·h, column 8·j + 2·(lane % 4) + e of the result is d[4·j + 2·h + e], N two for each of d.

// 16-bit types; kMMajor, kNMajor: the descriptor's rows are those of K.
#define ESPALIER_DENSE(count, n, type, a_at, b_at, add_at, major_a, major_b, ...)                                     \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type \
               "." type " {" ESPALIER_TEXT_##count "}, " a_at ", " b_at ", p, 1, 1, " major_a ", " major_b ";\n}"     \
               : ESPALIER_SUMS_##count(ESPALIER_FLOAT, 0)                                                             \
               : "l"(a), "l"(b), "r"(add), "n"(int{kMMajor}), "n"(int{kNMajor}))
#define ESPALIER_DEFINE(count, n)                                                            \
  template <class T, bool kMMajor, bool kNMajor>                                             \
  __device__ __forceinline__ void wgmma(float(&d)[count], uint64_t a, uint64_t b, int add) { \
    if constexpr (std::is_same_v<T, __nv_bfloat16>)                                          \
      ESPALIER_WITH(ESPALIER_DENSE, count, n, "bf16", ESPALIER_AFTER_##count);               \
    else ESPALIER_WITH(ESPALIER_DENSE, count, n, "f16", ESPALIER_AFTER_##count);             \
  }
ESPALIER_DEFINE(32, "64")
ESPALIER_DEFINE(64, "128")
ESPALIER_DEFINE(128, "256")
#undef ESPALIER_DEFINE
#undef ESPALIER_DENSE

// float32 taken as tf32 (lower bits are cut off), rows along K.
#define ESPALIER_TF32(count, n, a_at, b_at, add_at, ...)                                              \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" n \
               "k8.f32.tf32.tf32 {" ESPALIER_TEXT_##count "}, " a_at ", " b_at ", p, 1, 1;\n}"        \
               : ESPALIER_SUMS_##count(ESPALIER_FLOAT, 0)                                             \
               : "l"(a), "l"(b), "r"(add))
#define ESPALIER_DEFINE(count, n)                                                                 \
  __device__ __forceinline__ void wgmma_tf32(float(&d)[count], uint64_t a, uint64_t b, int add) { \
    ESPALIER_WITH(ESPALIER_TF32, count, n, ESPALIER_AFTER_##count);                               \
  }
ESPALIER_DEFINE(32, "64")
ESPALIER_DEFINE(64, "128")
ESPALIER_DEFINE(128, "256")
#undef ESPALIER_DEFINE
#undef ESPALIER_TF32

// 16-bit types, a from registers: a warp holds its 16 rows as of mma.
#define ESPALIER_REGISTERS(count, n, type, a0, a1, a2, a3, b_at, add_at, major)                                       \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" n "k16.f32." type \
               "." type " {" ESPALIER_TEXT_##count "}, {" a0 ", " a1 ", " a2 ", " a3 "}, " b_at ", p, 1, 1, " major   \
                                                   ";\n}"                                                             \
               : ESPALIER_SUMS_##count(ESPALIER_FLOAT, 0)                                                             \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kNMajor}))
#define ESPALIER_DEFINE(count, n)                                                                       \
  template <class T, bool kNMajor>                                                                      \
  __device__ __forceinline__ void wgmma(float(&d)[count], const uint32_t(&a)[4], uint64_t b, int add) { \
    if constexpr (std::is_same_v<T, __nv_bfloat16>)                                                     \
      ESPALIER_WITH(ESPALIER_REGISTERS, count, n, "bf16", ESPALIER_AFTER_##count);                      \
    else ESPALIER_WITH(ESPALIER_REGISTERS, count, n, "f16", ESPALIER_AFTER_##count);                    \
  }
ESPALIER_DEFINE(32, "64")
ESPALIER_DEFINE(128, "256")
#undef ESPALIER_DEFINE
#undef ESPALIER_REGISTERS

// Two of every four elements of a left out along K: 32 bytes of a's rows against 64 of b's, rows along K. `places`
// says which are there: see two_four.h.
#define ESPALIER_SPARSE(count, n, type, a_at, b_at, add_at, places_at, selector_at, ...)                  \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sp.sync.aligned.m64n" n  \
               "k32.f32." type "." type " {" ESPALIER_TEXT_##count "}, " a_at ", " b_at ", " places_at    \
                                                                   ", " selector_at ", p, 1, 1, 0, 0;\n}" \
               : ESPALIER_SUMS_##count(ESPALIER_FLOAT, 0)                                                 \
               : "l"(a), "l"(b), "r"(add), "r"(places), "n"(kSelector))
#define ESPALIER_DEFINE(count, n)                                                                                    \
  template <class T, int kSelector>                                                                                  \
  __device__ __forceinline__ void wgmma_sparse(float(&d)[count], uint64_t a, uint64_t b, uint32_t places, int add) { \
    if constexpr (std::is_same_v<T, __nv_bfloat16>)                                                                  \
      ESPALIER_WITH(ESPALIER_SPARSE, count, n, "bf16", ESPALIER_AFTER_##count);                                      \
    else ESPALIER_WITH(ESPALIER_SPARSE, count, n, "f16", ESPALIER_AFTER_##count);                                    \
  }
ESPALIER_DEFINE(96, "192")
ESPALIER_DEFINE(128, "256")
#undef ESPALIER_DEFINE
#undef ESPALIER_SPARSE
__device__ __forceinline__ void wgmma_sparse(int32_t (&d)[128], uint64_t a, uint64_t b, uint32_t places, int add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\nwgmma.mma_async.sp.sync.aligned.m64n256k64.s32.s8.s8 "
      "{" ESPALIER_TEXT_128 "}, %128, %129, %131, 0, p;\n}"
      : ESPALIER_SUMS_128(ESPALIER_INTEGER, 0)
      : "l"(a), "l"(b), "r"(add), "r"(places));
}

#undef ESPALIER_TEXT_32
#undef ESPALIER_TEXT_64
#undef ESPALIER_TEXT_96
#undef ESPALIER_TEXT_128
#undef ESPALIER_SUMS_8
#undef ESPALIER_SUMS_32
#undef ESPALIER_SUMS_64
#undef ESPALIER_SUMS_96
#undef ESPALIER_SUMS_128
#undef ESPALIER_AFTER_32
#undef ESPALIER_AFTER_64
#undef ESPALIER_AFTER_96
#undef ESPALIER_AFTER_128
#undef ESPALIER_FLOAT
#undef ESPALIER_INTEGER
#undef ESPALIER_WITH

}  // namespace espalier::cuda::ptx

#endif
