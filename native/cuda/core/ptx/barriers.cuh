// Barriers, fences, and the one thread that acts for its warp.
#pragma once

#include "cuda/core/ptx/shared.cuh"

namespace espalier::cuda::ptx {

// One lane of the warp, always the same; to be called by whole warps.
__device__ __forceinline__ bool elect_lane() { return (threadIdx.x & 31) == 0; }

// elect_lane for one warp of the block, that of number `warp`, so that the compiler sees that a single thread goes on:
// else it guards each copy by a loop over the threads that might be there. From compute capability 9.0 on.
__device__ __forceinline__ bool elect_thread([[maybe_unused]] int warp) {
  uint32_t elected = 0;
#if __CUDA_ARCH__ >= 900
  if (__shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 32), 0) == warp)
    asm volatile("{\n.reg .pred one;\nelect.sync _|one, 0xffffffff;\nselp.u32 %0, 1, 0, one;\n}" : "=r"(elected));
#endif
  return elected != 0;
}

// mbarrier: counts arrivals of threads and bytes of copies; a phase ends when both are complete, and the parity of
// phases alternates from 0. What they order here is the copy engine's writes and the tensor cores' reads; the wider
// scope `cluster` would have every arrival wait for all of a thread's memory accesses, and every wait drop the L1
// cache. Expected bytes, arrivals in other blocks and barrier_wait are there from 9.0 on, the rest from 8.0.

__device__ __forceinline__ void barrier_init(Shared auto barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// After the last barrier_init, by the thread that made it, before the block's __syncthreads: makes the barriers
// known to the copy engine.
__device__ __forceinline__ void barrier_init_done() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void barrier_arrive(Shared auto barrier) {
  asm volatile("{\n.reg .b64 state;\nmbarrier.arrive.shared::cta.b64 state, [%0];\n}" ::"r"(shared_address(barrier))
               : "memory");
}
// Arrives at the barrier of block `rank` of the cluster that lies where `barrier` does here.
__device__ __forceinline__ void barrier_arrive([[maybe_unused]] Shared auto barrier, [[maybe_unused]] uint32_t rank) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{\n.reg .b32 remote;\nmapa.shared::cluster.u32 remote, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [remote];\n}" ::"r"(shared_address(barrier)),
      "r"(rank)
      : "memory");
#endif
}
// Arrives, and has the phase wait for `bytes` that copies will bring.
__device__ __forceinline__ void barrier_arrive_expect([[maybe_unused]] Shared auto barrier,
                                                      [[maybe_unused]] uint32_t bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#endif
}
// Whether the phase of this parity has ended; gives it a little time to.
__device__ __forceinline__ bool barrier_passed([[maybe_unused]] Shared auto barrier, [[maybe_unused]] uint32_t parity) {
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
// Waits for the end of the phase of this parity; a wait of some seconds, `patience` in clocks, is a fault of the
// kernel, which ends in an error and not in a hang.
__device__ __forceinline__ void barrier_wait(Shared auto barrier, uint32_t parity,
                                             int64_t patience = int64_t{1} << 32) {
  if (barrier_passed(barrier, parity)) return;
  const int64_t began = clock64();
  while (!barrier_passed(barrier, parity))
    if (clock64() - began > patience) __trap();
}
// barrier_wait for barriers that are used before 9.0 too.
__device__ __forceinline__ void test_wait(Shared auto barrier, uint32_t parity) {
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

// Ordinary writes to shared memory of this thread come before what the copy engine and wgmma read there after
// the next barrier.
__device__ __forceinline__ void fence_async_shared() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
// The same of all memory.
__device__ __forceinline__ void fence_async() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async;" ::: "memory");
#endif
}

// `count` threads (a multiple of 32) meet at the block's barrier number `id`, 1 to 15 (__syncthreads is 0).
__device__ __forceinline__ void meet(int id, int count) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(count) : "memory");
}

// The barrier of all threads of a cluster, and a block's number in it; from 9.0 on.
__device__ __forceinline__ void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank = 0;
#if __CUDA_ARCH__ >= 900
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
  return rank;
}

}  // namespace espalier::cuda::ptx
