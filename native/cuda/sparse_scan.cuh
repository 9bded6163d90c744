// Running sums by one block, for the short arrays of plans and patterns.
#pragma once

#include <cstdint>

namespace espalier::cuda {

// start[i] = value(0) + … + value(i − 1) for 0 ≤ i ≤ count, by a block of kThreads. value(i) may be start[i + 1].
template <int kThreads, class Value>
__device__ void running_sums(int64_t count, int32_t* start, Value value) {
  __shared__ int32_t of_warp[kThreads / 32];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  int32_t before = 0;
  for (int64_t base = 0; base < count; base += kThreads) {
    const int64_t i = base + threadIdx.x;
    int32_t sum = i < count ? value(i) : 0;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      const int32_t other = __shfl_up_sync(0xffffffffu, sum, offset);
      if (lane >= offset) sum += other;
    }
    if (lane == 31) of_warp[warp] = sum;
    __syncthreads();
    int32_t total = 0;
    for (int w = 0; w < kThreads / 32; ++w) {
      if (w == warp) sum += total;
      total += of_warp[w];
    }
    if (i < count) start[i + 1] = before + sum;
    before += total;
    __syncthreads();
  }
  if (threadIdx.x == 0) start[0] = 0;
  __syncthreads();
}

}  // namespace espalier::cuda
