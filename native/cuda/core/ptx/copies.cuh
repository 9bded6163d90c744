// Copies that run beside the threads, and stores that are wide for certain.
#pragma once

#include <cuda.h>

#include "cuda/core/ptx/shared.cuh"

namespace espalier::cuda::ptx {

// cp.async: 16 bytes a thread from global to shared memory, the first `bytes` of them read, the rest zero.
__device__ __forceinline__ void copy16(Shared auto to, const void* from, int bytes = 16) {
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
__device__ __forceinline__ void copy_arrive(Shared auto barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier)) : "memory");
}

// The copy engine, from 9.0 on; one thread asks. It brings the box of a matrix whose corner is at (column, row) to
// shared memory, zeros for what lies outside the matrix, and tells the barrier. A map is a `const __grid_constant__
// CUtensorMap` parameter.
__device__ __forceinline__ void copy_box([[maybe_unused]] Shared auto to, [[maybe_unused]] const CUtensorMap* map,
                                         [[maybe_unused]] int column, [[maybe_unused]] int row,
                                         [[maybe_unused]] Shared auto barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
#endif
}
// The same to several blocks of the cluster, those of a mask: to the same place in each, and each one's barrier.
__device__ __forceinline__ void copy_box([[maybe_unused]] Shared auto to, [[maybe_unused]] const CUtensorMap* map,
                                         [[maybe_unused]] int column, [[maybe_unused]] int row,
                                         [[maybe_unused]] Shared auto barrier, [[maybe_unused]] uint16_t blocks) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster "
      "[%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(to)),
      "l"(map), "r"(column), "r"(row), "r"(shared_address(barrier)), "h"(blocks)
      : "memory");
#endif
}

// 16 bytes to global memory by one instruction: of assignments to a uint4 the compiler makes four now and then.
__device__ __forceinline__ void store16(void* to, uint4 value) {
  asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(value.x),
               "r"(value.y), "r"(value.z), "r"(value.w)
               : "memory");
}

}  // namespace espalier::cuda::ptx
