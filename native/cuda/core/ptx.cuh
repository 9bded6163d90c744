// The instructions that CUDA C++ has no words for: asynchronous copies and the barriers they complete on,
// tensor-core products, and the descriptors both take. Facts from NVIDIA's "Parallel Thread Execution ISA",
// sections "Data Movement and Conversion", "Parallel Synchronization", "Warp Level Matrix" and "Asynchronous
// Warpgroup Level Matrix Instructions".
//
// What only Hopper has (wgmma, setmaxnreg) is there where ESPALIER_HOPPER is defined: in the device code for
// 90a. Bulk copies and mbarrier waits need 90 or later, everything else 80.
#pragma once

#include <cuda.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ESPALIER_HOPPER 1
#endif

namespace espalier::cuda::ptx {

// An address in shared memory as instructions take it.
__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// One lane of the warp, always the same; to be called by whole warps.
__device__ __forceinline__ bool elect_lane() { return (threadIdx.x & 31) == 0; }

// elect_lane for one warp of the block, that of number `warp`, so that the compiler sees that a single thread goes on:
// else it guards each copy by a loop over the threads that might be there.
__device__ __forceinline__ bool elect_thread([[maybe_unused]] int warp) {
  uint32_t elected = 0;
#if __CUDA_ARCH__ >= 900
  if (__shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 32), 0) == warp)
    asm volatile("{\n.reg .pred one;\nelect.sync _|one, 0xffffffff;\nselp.u32 %0, 1, 0, one;\n}" : "=r"(elected));
#endif
  return elected != 0;
}

// mbarrier: counts arrivals of threads and bytes of copies; a phase ends when both are complete, and the
// parity of phases alternates from 0.

__device__ __forceinline__ void barrier_init(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// After the last barrier_init, by the thread that made it, before the block's __syncthreads: makes the barriers
// known to the copy engine.
__device__ __forceinline__ void barrier_init_done() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
  asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared::cta.b64 state, [%0];\n}" ::"r"(shared_address(barrier))
               : "memory");
}
// Arrives, and has the phase wait for `bytes` that copies will bring.
__device__ __forceinline__ void barrier_arrive_expect([[maybe_unused]] uint64_t* barrier,
                                                      [[maybe_unused]] uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.expect_tx.shared::cta.b64 state, [%0], %1;\n}" ::"r"(
                   shared_address(barrier)),
               "r"(bytes)
               : "memory");
#endif
}
__device__ __forceinline__ bool barrier_passed([[maybe_unused]] uint64_t* barrier, [[maybe_unused]] uint32_t parity) {
  uint32_t passed = 1;
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .pred done;\nmbarrier.try_wait.parity.shared::cta.b64 done, [%1], %2;\nselp.u32 %0, 1, 0, done;\n}"
      : "=r"(passed)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
#endif
  return passed != 0;
}
// Waits for the end of the phase of this parity; a wait of some two seconds is a deadlock, and ends the kernel.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  if (barrier_passed(barrier, parity)) return;
  const int64_t began = clock64();
  while (!barrier_passed(barrier, parity))
    if (clock64() - began > (int64_t{1} << 32)) __trap();
}

// Ordinary writes to shared memory of this thread come before what the copy engine and wgmma read there after
// the next barrier.
__device__ __forceinline__ void fence_async_shared() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// `count` threads (a multiple of 32) meet at the block's barrier number `id`, 1 to 15 (__syncthreads is 0).
__device__ __forceinline__ void meet(int id, int count) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory");
}

// cp.async: 16 bytes a thread from global to shared memory, the first `bytes` of them read, the rest zero.
__device__ __forceinline__ void copy16(void* to, const void* from, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
}
// Arrives when all copies that this thread has queued so far are there.
__device__ __forceinline__ void copy_arrive(uint64_t* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// barrier_wait for barriers that are used before 90 too.
__device__ __forceinline__ void test_wait(uint64_t* barrier, uint32_t parity) {
#if __CUDA_ARCH__ >= 900
  barrier_wait(barrier, parity);
#else
  uint32_t passed;
  do {
    asm volatile(
        "{\n.reg .pred done;\nmbarrier.test_wait.parity.shared::cta.b64 done, [%1], %2;\nselp.u32 %0, 1, 0, "
        "done;\n}"
        : "=r"(passed)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (passed == 0);
#endif
}

// Bulk tensor copies, by one thread. Coordinates count elements, the innermost first; what lies outside the
// tensor is read as zero. A map is a `const __grid_constant__ CUtensorMap` parameter.

__device__ __forceinline__ void load_tile([[maybe_unused]] void* to, [[maybe_unused]] const CUtensorMap* map,
                                          [[maybe_unused]] uint64_t* barrier, [[maybe_unused]] int x,
                                          [[maybe_unused]] int y) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::"r"(
          shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(x), "r"(y), "r"(shared_address(barrier))
      : "memory");
#endif
}

// 16 bytes to global memory by one instruction: of assignments to a uint4 the compiler makes four now and then.
__device__ __forceinline__ void store16(void* to, uint4 value) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(value.x),
               "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}

// Where a byte lies in a tile whose rows are 128 bytes, as copies with the 128-byte swizzle place it (the tile
// starts at a multiple of 1024 bytes): the 16-byte chunk's number is xored with the row's, modulo 8.
__device__ __forceinline__ uint32_t swizzled128(uint32_t offset) { return offset ^ ((offset >> 3) & 0x70u); }

// 8×8 matrices of 16-bit elements between shared memory and fragments: lane l names row l % 8 of matrix l / 8,
// and holds of each matrix elements 2(l % 4), 2(l % 4) + 1 of row l / 4.

__device__ __forceinline__ void load_matrix4(uint32_t (&to)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void load_matrix4_transposed(uint32_t (&to)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
}

// Products of one warp, d += a·b. With g = lane / 4, t = lane % 4: d holds rows g, g + 8 (d[0..1], d[2..3]) and
// columns 2t, 2t + 1. Of 16-bit a (16×16) register i holds row g + 8(i % 2), elements 2t, 2t + 1 + 8(i / 2); of b
// (16×8) register i column g, rows 2t, 2t + 1 + 8i. Of tf32 a (16×8) register i holds row g + 8(i % 2), column
// t + 4(i / 2); of b (8×8) register i row t + 4i, column g.

template <class T>
__device__ __forceinline__ void mma16816(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
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
__device__ __forceinline__ void mma1688_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
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

// Descriptors of wgmma's operands in shared memory, for tiles that copies with the 128-byte swizzle left: rows of
// 128 bytes, 64 of them 8192 bytes, starting at a multiple of 1024. Bits 0–13 the address, 16–29 the leading and
// 32–45 the stride offset, all in 16 bytes; bit 62 the swizzle.

// Rows are those of M (or N), along K: to the next eight rows 1024 bytes. The next 32 bytes of K (16 elements of
// 16 bits, 8 of tf32) are 2 further.
__device__ __forceinline__ uint64_t k_major(const void* tile) {
  return uint64_t{(shared_address(tile) & 0x3ffffu) >> 4} | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}
// Rows are those of K, 64 elements of 16 bits of M (or N) each: to the next eight of K 1024 bytes, to the next 64 of
// M (or N) `block` bytes (8192 where the tile has 64 rows). The next 16 of K are 128 further.
__device__ __forceinline__ uint64_t mn_major(const void* tile, uint32_t block) {
  return uint64_t{(shared_address(tile) & 0x3ffffu) >> 4} | uint64_t{block >> 4} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

#if defined(ESPALIER_HOPPER)

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
// Keeps the compiler from moving reads of an accumulator before the wait.
template <int kCount>
__device__ __forceinline__ void settle(float (&d)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

// The registers of an accumulator of 32, 64, 128 floats, as text and as operands.
#define ESPALIER_WGMMA_32                                                  \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ESPALIER_WGMMA_64                                                            \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ESPALIER_WGMMA_128                                                                       \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ESPALIER_WGMMA_D16(d, i)                                                                              \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), \
      "+f"(d[i + 7]), "+f"(d[i + 8]), "+f"(d[i + 9]), "+f"(d[i + 10]), "+f"(d[i + 11]), "+f"(d[i + 12]),      \
      "+f"(d[i + 13]), "+f"(d[i + 14]), "+f"(d[i + 15])
#define ESPALIER_WGMMA_D32(d) ESPALIER_WGMMA_D16(d, 0), ESPALIER_WGMMA_D16(d, 16)
#define ESPALIER_WGMMA_D64(d) ESPALIER_WGMMA_D32(d), ESPALIER_WGMMA_D16(d, 32), ESPALIER_WGMMA_D16(d, 48)
#define ESPALIER_WGMMA_D128(d)                                                                            \
  ESPALIER_WGMMA_D64(d), ESPALIER_WGMMA_D16(d, 64), ESPALIER_WGMMA_D16(d, 80), ESPALIER_WGMMA_D16(d, 96), \
      ESPALIER_WGMMA_D16(d, 112)

// d = a·b (+ d where `add`), 64×N×16 of 16-bit types, both operands in shared memory; kMMajor, kNMajor: the
// descriptor is of mn_major. Row 16·(warp % 4) + lane / 4 + 8·h, column 8·j + 2·(lane % 4) + e of the result is
// d[4·j + 2·h + e].
#define ESPALIER_WGMMA(n, count, a_desc, b_desc, add_at, major_a, major_b)                                     \
  template <class T, bool kMMajor, bool kNMajor>                                                               \
  __device__ __forceinline__ void wgmma(float(&d)[count], uint64_t a, uint64_t b, int add) {                   \
    if constexpr (std::is_same_v<T, __nv_bfloat16>)                                                            \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" n      \
                   "k16.f32.bf16.bf16 {" ESPALIER_WGMMA_##count "}, " a_desc ", " b_desc ", p, 1, 1, " major_a \
                                                                ", " major_b ";\n}"                            \
                   : ESPALIER_WGMMA_D##count(d)                                                                \
                   : "l"(a), "l"(b), "r"(add), "n"(int{kMMajor}), "n"(int{kNMajor}));                          \
    else                                                                                                       \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" n      \
                   "k16.f32.f16.f16 {" ESPALIER_WGMMA_##count "}, " a_desc ", " b_desc ", p, 1, 1, " major_a   \
                                                              ", " major_b ";\n}"                              \
                   : ESPALIER_WGMMA_D##count(d)                                                                \
                   : "l"(a), "l"(b), "r"(add), "n"(int{kMMajor}), "n"(int{kNMajor}));                          \
  }
ESPALIER_WGMMA("64", 32, "%32", "%33", "%34", "%35", "%36")
ESPALIER_WGMMA("128", 64, "%64", "%65", "%66", "%67", "%68")
ESPALIER_WGMMA("256", 128, "%128", "%129", "%130", "%131", "%132")
#undef ESPALIER_WGMMA

// The same with N = 256 and a from registers, in the layout of mma16816's: row 16·(warp % 4) + … of the 64.
template <class T, bool kNMajor>
__device__ __forceinline__ void wgmma(float (&d)[128], const uint32_t (&a)[4], uint64_t b, int add) {
  if constexpr (std::is_same_v<T, __nv_bfloat16>)
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 "
        "{" ESPALIER_WGMMA_128 "}, {%128, %129, %130, %131}, %132, p, 1, 1, %134;\n}"
        : ESPALIER_WGMMA_D128(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kNMajor}));
  else
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %133, 0;\nwgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
        "{" ESPALIER_WGMMA_128 "}, {%128, %129, %130, %131}, %132, p, 1, 1, %134;\n}"
        : ESPALIER_WGMMA_D128(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add), "n"(int{kNMajor}));
}

// The same of 64×N×8 tf32 (float32 operands whose lower bits are cut off), both k_major.
#define ESPALIER_WGMMA_TF32(n, count, a_desc, b_desc, add_at)                                           \
  __device__ __forceinline__ void wgmma_tf32(float(&d)[count], uint64_t a, uint64_t b, int add) {       \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_at ", 0;\nwgmma.mma_async.sync.aligned.m64n" n \
                 "k8.f32.tf32.tf32 {" ESPALIER_WGMMA_##count "}, " a_desc ", " b_desc ", p, 1, 1;\n}"   \
                 : ESPALIER_WGMMA_D##count(d)                                                           \
                 : "l"(a), "l"(b), "r"(add));                                                           \
  }
ESPALIER_WGMMA_TF32("64", 32, "%32", "%33", "%34")
ESPALIER_WGMMA_TF32("128", 64, "%64", "%65", "%66")
ESPALIER_WGMMA_TF32("256", 128, "%128", "%129", "%130")
#undef ESPALIER_WGMMA_TF32

#endif  // ESPALIER_HOPPER

}  // namespace espalier::cuda::ptx
