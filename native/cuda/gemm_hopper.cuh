// Hopper's instructions, as PTX names them: barriers in shared memory, the copy engine, and the products
// of a warpgroup (128 threads) from operands in shared memory.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "cuda/gemm_mma.cuh"

namespace espalier::cuda {

// The driver's description of a matrix for the copy engine: `rows` stored rows of `columns` elements, `ld`
// apart, which it brings in boxes of box_rows × box_columns; a row of the box is 64 or 128 bytes, and lies
// in shared memory swizzled by as much. What is outside the matrix arrives as zeros.
CUtensorMap tensor_map(espalier_dtype dtype, const void* data, int64_t rows, int64_t columns, int64_t ld, int box_rows,
                       int box_columns);

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)

// Barriers. A wait names the phase it waits for the end of: phases alternate between 0 and 1. What they order
// here is the copy engine's writes and the tensor cores' reads; the wider scope `cluster` would have every
// arrival wait for all of a thread's memory accesses, and every wait drop the L1 cache.

__device__ __forceinline__ void barrier_init(uint32_t barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// One arrival, and `bytes` that the copy engine is going to deliver.
__device__ __forceinline__ void barrier_expect(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}
// One arrival at the barrier of block `rank` of the cluster that lies where `barrier` does here.
__device__ __forceinline__ void barrier_arrive(uint32_t barrier, uint32_t rank) {
  asm volatile(
      "{\n"
      ".reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n"
      "}" ::"r"(barrier),
      "r"(rank)
      : "memory");
}
__device__ __forceinline__ bool barrier_try(uint32_t barrier, uint32_t phase) {
  uint32_t done;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.u32 %0, 1, 0, p;\n"
      "}"
      : "=r"(done)
      : "r"(barrier), "r"(phase)
      : "memory");
  return done != 0;
}
// A wait of more than a few seconds is a fault of the kernel: it ends in an error, not in a hang.
__device__ __forceinline__ void barrier_wait(uint32_t barrier, uint32_t phase) {
  if (barrier_try(barrier, phase)) return;
  const long long began = clock64();
  while (!barrier_try(barrier, phase))
    if (clock64() - began > 6'000'000'000ll) __trap();
}

__device__ __forceinline__ void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ __forceinline__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// The copy engine brings the box at (column, row) to shared memory and tells the barrier; with a mask of
// several blocks of the cluster, to the same place in each, and each one's barrier.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap* map, int column, int row, uint32_t barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(to),
      "l"(map), "r"(barrier), "r"(column), "r"(row)
      : "memory");
}
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap* map, int column, int row, uint32_t barrier,
                                         uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
      "l"(map), "r"(barrier), "r"(column), "r"(row), "h"(blocks)
      : "memory");
}

template <int kRegisters>
__device__ __forceinline__ void registers_more() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void registers_fewer() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// Products. The sums of a warpgroup are registers of its threads: warp w holds rows 16w to 16w + 15 of 64,
// within them as mma.sync's, 8 columns after 8.

__device__ __forceinline__ void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

// Where an operand lies. `swizzle` is the bytes of a row of its boxes, 64 or 128. With K along the rows,
// groups of 8 rows follow each other, 8·swizzle bytes apart (`stride`). With K down the columns, a box is 64
// elements of the operand's rows wide: `stride` is from 8 steps of K to the next 8, `leading` from box to box.
__device__ __forceinline__ uint64_t operand(uint32_t at, int swizzle, uint32_t leading, uint32_t stride) {
  return uint64_t{(at & 0x3ffff) >> 4} | uint64_t{leading >> 4} << 16 | uint64_t{stride >> 4} << 32 |
         (swizzle == 128 ? uint64_t{1} : uint64_t{2}) << 62;
}

// clang-format off
#define ESPALIER_NAMES_96 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31" \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63" \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define ESPALIER_SUMS_96(c) \
  c(d[0]), c(d[1]), c(d[2]), c(d[3]), c(d[4]), c(d[5]), c(d[6]), c(d[7]), c(d[8]), c(d[9]), c(d[10]), c(d[11]), c(d[12]), c(d[13]), c(d[14]), c(d[15]), \
  c(d[16]), c(d[17]), c(d[18]), c(d[19]), c(d[20]), c(d[21]), c(d[22]), c(d[23]), c(d[24]), c(d[25]), c(d[26]), c(d[27]), c(d[28]), c(d[29]), c(d[30]), c(d[31]), \
  c(d[32]), c(d[33]), c(d[34]), c(d[35]), c(d[36]), c(d[37]), c(d[38]), c(d[39]), c(d[40]), c(d[41]), c(d[42]), c(d[43]), c(d[44]), c(d[45]), c(d[46]), c(d[47]), \
  c(d[48]), c(d[49]), c(d[50]), c(d[51]), c(d[52]), c(d[53]), c(d[54]), c(d[55]), c(d[56]), c(d[57]), c(d[58]), c(d[59]), c(d[60]), c(d[61]), c(d[62]), c(d[63]), \
  c(d[64]), c(d[65]), c(d[66]), c(d[67]), c(d[68]), c(d[69]), c(d[70]), c(d[71]), c(d[72]), c(d[73]), c(d[74]), c(d[75]), c(d[76]), c(d[77]), c(d[78]), c(d[79]), \
  c(d[80]), c(d[81]), c(d[82]), c(d[83]), c(d[84]), c(d[85]), c(d[86]), c(d[87]), c(d[88]), c(d[89]), c(d[90]), c(d[91]), c(d[92]), c(d[93]), c(d[94]), c(d[95])
#define ESPALIER_NAMES ESPALIER_NAMES_96 \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define ESPALIER_SUMS(c) ESPALIER_SUMS_96(c), \
  c(d[96]), c(d[97]), c(d[98]), c(d[99]), c(d[100]), c(d[101]), c(d[102]), c(d[103]), c(d[104]), c(d[105]), c(d[106]), c(d[107]), c(d[108]), c(d[109]), c(d[110]), c(d[111]), \
  c(d[112]), c(d[113]), c(d[114]), c(d[115]), c(d[116]), c(d[117]), c(d[118]), c(d[119]), c(d[120]), c(d[121]), c(d[122]), c(d[123]), c(d[124]), c(d[125]), c(d[126]), c(d[127])
#define ESPALIER_FLOAT(x) "+f"(x)
#define ESPALIER_INTEGER(x) "+r"(x)

#define ESPALIER_DENSE(type) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n" \
               "wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type \
               " {" ESPALIER_NAMES "}, %128, %129, p, 1, 1, %131, %132;\n}" \
               : ESPALIER_SUMS(ESPALIER_FLOAT) \
               : "l"(left), "l"(right), "r"(add), "n"(int{kTransposeA}), "n"(int{kTransposeB}))
#define ESPALIER_SPARSE(type) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n" \
               "wgmma.mma_async.sp.sync.aligned.m64n256k32.f32." type "." type \
               " {" ESPALIER_NAMES "}, %128, %129, %131, %132, p, 1, 1, 0, 0;\n}" \
               : ESPALIER_SUMS(ESPALIER_FLOAT) \
               : "l"(left), "l"(right), "r"(add), "r"(places), "n"(kSelector))
#define ESPALIER_SPARSE_96(type) \
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\n" \
               "wgmma.mma_async.sp.sync.aligned.m64n192k32.f32." type "." type \
               " {" ESPALIER_NAMES_96 "}, %96, %97, %99, %100, p, 1, 1, 0, 0;\n}" \
               : ESPALIER_SUMS_96(ESPALIER_FLOAT) \
               : "l"(left), "l"(right), "r"(add), "r"(places), "n"(kSelector))

// d = A·B + (add ? d : 0): 64 rows of A, 256 columns of B, 32 bytes of K. float is taken as tf32: its
// lower 13 bits do not count.
template <class T, bool kTransposeA, bool kTransposeB>
__device__ __forceinline__ void wgmma(float (&d)[128], uint64_t left, uint64_t right, int add) {
  if constexpr (std::is_same_v<T, __half>) ESPALIER_DENSE("f16");
  else if constexpr (std::is_same_v<T, __nv_bfloat16>) ESPALIER_DENSE("bf16");
  else {
    static_assert(!kTransposeA && !kTransposeB);
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
                 "wgmma.mma_async.sync.aligned.m64n256k8.f32.tf32.tf32 {" ESPALIER_NAMES "}, %128, %129, p, 1, 1;\n}"
                 : ESPALIER_SUMS(ESPALIER_FLOAT)
                 : "l"(left), "l"(right), "r"(add));
  }
}

// The same with two of every four elements of A left out, 64 bytes of K in B; `places` says which are there: see
// two_four.h.
template <class T, int kSelector>
__device__ __forceinline__ void wgmma_sparse(float (&d)[128], uint64_t left, uint64_t right, uint32_t places, int add) {
  if constexpr (std::is_same_v<T, __half>) ESPALIER_SPARSE("f16");
  else ESPALIER_SPARSE("bf16");
}
__device__ __forceinline__ void wgmma_sparse(int32_t (&d)[128], uint64_t left, uint64_t right, uint32_t places, int add) {
  asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
               "wgmma.mma_async.sp.sync.aligned.m64n256k64.s32.s8.s8 {" ESPALIER_NAMES "}, %128, %129, %131, 0, p;\n}"
               : ESPALIER_SUMS(ESPALIER_INTEGER)
               : "l"(left), "l"(right), "r"(add), "r"(places));
}
// The same with 192 columns of B.
template <class T, int kSelector>
__device__ __forceinline__ void wgmma_sparse(float (&d)[96], uint64_t left, uint64_t right, uint32_t places, int add) {
  if constexpr (std::is_same_v<T, __half>) ESPALIER_SPARSE_96("f16");
  else ESPALIER_SPARSE_96("bf16");
}
// clang-format on

#undef ESPALIER_NAMES
#undef ESPALIER_SUMS
#undef ESPALIER_FLOAT
#undef ESPALIER_INTEGER
#undef ESPALIER_DENSE
#undef ESPALIER_SPARSE
#undef ESPALIER_SPARSE_96
#undef ESPALIER_NAMES_96
#undef ESPALIER_SUMS_96

#endif  // sm_90a

}  // namespace espalier::cuda
