// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include "cuda/core/ptx/shared.cuh"
#include "instructions.h"

namespace espalier::cuda::ptx {

inline bool elect_lane() { return simulated::lane() == 0; }
// Any lane may be the one: here it is the last.
inline bool elect_thread(int warp) { return static_cast<int>(threadIdx.x / 32) == warp && simulated::lane() == 31; }

inline void barrier_init(Shared auto barrier, uint32_t arrivals) {
  simulated::barrier_init(shared_address(barrier), arrivals);
}
inline void barrier_init_done() {}
inline void barrier_arrive(Shared auto barrier) { simulated::barrier_arrive(shared_address(barrier), 0); }
inline void barrier_arrive(Shared auto barrier, uint32_t rank) {
  simulated::barrier_arrive(simulated::in_block(shared_address(barrier), rank), 0);
}
inline void barrier_arrive_expect(Shared auto barrier, uint32_t bytes) {
  simulated::barrier_arrive(shared_address(barrier), bytes);
}
inline void barrier_wait(Shared auto barrier, uint32_t parity, int64_t = 0) {
  simulated::barrier_wait(shared_address(barrier), parity);
}
inline void test_wait(Shared auto barrier, uint32_t parity) { barrier_wait(barrier, parity); }

inline void fence_async_shared() {}
inline void fence_async() {}
inline void meet(int id, int count) { simulated::meet(id, count); }

inline void cluster_arrive() { simulated::cluster_arrive(); }
inline void cluster_wait() { simulated::cluster_wait(); }
inline uint32_t cluster_rank() { return static_cast<uint32_t>(simulated::cluster_rank()); }

}  // namespace espalier::cuda::ptx
