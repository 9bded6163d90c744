// The engine of Hopper: two warpgroups whose products read both tiles from shared memory. A step of 64
// summed elements keeps the tensor cores busy for as long as its tiles' copies take to be issued; what
// waiting for each step costs, a second block on the multiprocessor fills.
#pragma once

#include "cuda/conv_engine.h"
#include "cuda/conv_tile.cuh"

namespace espalier::cuda::conv {

inline bool warpgroups_serve() { return warpgroups_allowed() && traits().capability == 90; }

// 128 rows: 64 a warpgroup; 64 rows: half of the columns each.
template <class T, int kRowsOf, int kColumnsOf, int kStagesOf>
struct Warpgroups {
  static constexpr int kRows = kRowsOf, kColumns = kColumnsOf, kStages = kStagesOf, kAhead = kStages - 1, kBlocks = 2;
  static constexpr bool kAsync = true;
  static constexpr int kWide = kRows == 64 ? kColumns / 2 : kColumns;
  static_assert(kRows == 64 || kRows == 128);

  float sum[kWide / 2] = {};
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 128), 0);
  const int row0 = kRows == 64 ? 0 : warpgroup * 64, column0 = kRows == 64 ? warpgroup * kWide : 0;

  __device__ void before_barrier() { ptx::fence_async_shared(); }

  __device__ void add_along([[maybe_unused]] const unsigned char* a, [[maybe_unused]] const unsigned char* b) {
#if defined(ESPALIER_HOPPER)
    const uint64_t left = ptx::k_major(a + row0 * kRowBytes), right = ptx::k_major(b + column0 * kRowBytes);
    ptx::settle(sum);
    ptx::wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if constexpr (sizeof(T) == 2) ptx::wgmma<T, false, false>(sum, left + 2 * k, right + 2 * k, 1);
      else ptx::wgmma_tf32(sum, left + 2 * k, right + 2 * k, 1);
    }
    ptx::wgmma_commit();
#endif
  }

  // Of 16-bit types: panels of 64 summed rows and 64 rows or columns of the product.
  __device__ void add_across([[maybe_unused]] const unsigned char* a, [[maybe_unused]] const unsigned char* b) {
#if defined(ESPALIER_HOPPER)
    constexpr int kPanel = 64 * kRowBytes;
    const uint64_t left = ptx::mn_major(a + row0 / 64 * kPanel, kPanel);
    const uint64_t right = ptx::mn_major(b + column0 / 64 * kPanel, kPanel);
    ptx::settle(sum);
    ptx::wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k) ptx::wgmma<T, true, true>(sum, left + 128 * k, right + 128 * k, 1);
    ptx::wgmma_commit();
#endif
  }

  __device__ void after_step() {
#if defined(ESPALIER_HOPPER)
    ptx::wgmma_wait<0>();
    ptx::settle(sum);
#endif
  }

  template <class F>
  __device__ void each(F f) const {
    const int lane = threadIdx.x & 31, row = row0 + static_cast<int>(threadIdx.x / 32 % 4) * 16 + (lane >> 2);
#pragma unroll
    for (int j = 0; j < kWide / 8; ++j) {
      const int column = column0 + 8 * j + 2 * (lane & 3);
      f(row, column, sum[4 * j], sum[4 * j + 1]);
      f(row + 8, column, sum[4 * j + 2], sum[4 * j + 3]);
    }
  }
};

}  // namespace espalier::cuda::conv
