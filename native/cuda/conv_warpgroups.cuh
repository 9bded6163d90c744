// The engine of Hopper: two warpgroups whose products read both tiles from shared memory. A step of 64
// summed elements keeps the tensor cores busy for as long as its tiles' copies take to be issued; what
// waiting for each step costs, a second block on the multiprocessor fills.
#pragma once

#include "cuda/conv_engine.h"
#include "cuda/conv_tile.cuh"
#include "cuda/core/ptx/barriers.cuh"
#include "cuda/core/ptx/compiler.cuh"
#include "cuda/core/ptx/descriptors.cuh"
#include "cuda/core/ptx/warpgroups.cuh"

namespace espalier::cuda::conv {

inline bool warpgroups_serve() { return warpgroups_allowed() && traits().capability == 90; }

// 128 or 256 rows: half a warpgroup; 64 rows: half of the columns each. Either each step is waited for at its end,
// or while the next one runs: then one stage more is held.
template <class T, int kRowsOf, int kColumnsOf, int kStagesOf, int kBlocksOf = 2, bool kOverlap = false>
struct Warpgroups {
  static constexpr int kRows = kRowsOf, kColumns = kColumnsOf, kStages = kStagesOf, kBlocks = kBlocksOf;
  static constexpr int kAhead = kStages - (kOverlap ? 2 : 1);
  static constexpr bool kAsync = true;
  static constexpr int kTall = kRows == 256 ? 2 : 1, kWide = kRows == 64 ? kColumns / 2 : kColumns;
  static_assert(kRows == 64 || kRows == 128 || kRows == 256);

  float sum[kTall][kWide / 2] = {};
  const int warpgroup = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 128), 0);
  const int row0 = kRows == 64 ? 0 : warpgroup * kRows / 2, column0 = kRows == 64 ? warpgroup * kWide : 0;

  __device__ void before_barrier() { ptx::fence_async_shared(); }

  __device__ void add_along([[maybe_unused]] const unsigned char* a, [[maybe_unused]] const unsigned char* b) {
#if defined(ESPALIER_HOPPER)
    const uint64_t left = ptx::k_major(a + row0 * kRowBytes), right = ptx::k_major(b + column0 * kRowBytes);
    add([&](int i, int k) {
      const uint64_t from = left + i * (64 * kRowBytes >> 4) + 2 * k, to = right + 2 * k;
      if constexpr (sizeof(T) == 2) ptx::wgmma<T, false, false>(sum[i], from, to, 1);
      else ptx::wgmma_tf32(sum[i], from, to, 1);
    });
#endif
  }

  // Of 16-bit types: panels of 64 summed rows and 64 rows or columns of the product.
  __device__ void add_across([[maybe_unused]] const unsigned char* a, [[maybe_unused]] const unsigned char* b) {
#if defined(ESPALIER_HOPPER)
    constexpr int kPanel = 64 * kRowBytes;
    const uint64_t left = ptx::mn_major(a + row0 / 64 * kPanel, kPanel);
    const uint64_t right = ptx::mn_major(b + column0 / 64 * kPanel, kPanel);
    add([&](int i, int k) {
      ptx::wgmma<T, true, true>(sum[i], left + i * (kPanel >> 4) + 128 * k, right + 128 * k, 1);
    });
#endif
  }

  __device__ void after_step() { wait<kOverlap ? 1 : 0>(); }
  __device__ void finish() { wait<0>(); }

  template <class F>
  __device__ void each(F f) const {
    const int lane = threadIdx.x & 31, row = row0 + static_cast<int>(threadIdx.x / 32 % 4) * 16 + (lane >> 2);
#pragma unroll
    for (int i = 0; i < kTall; ++i)
#pragma unroll
      for (int j = 0; j < kWide / 8; ++j) {
        const int column = column0 + 8 * j + 2 * (lane & 3);
        f(row + 64 * i, column, sum[i][4 * j], sum[i][4 * j + 1]);
        f(row + 64 * i + 8, column, sum[i][4 * j + 2], sum[i][4 * j + 3]);
      }
  }

 private:
#if defined(ESPALIER_HOPPER)
  template <class Multiply>
  __device__ void add(Multiply multiply) {
#pragma unroll
    for (int i = 0; i < kTall; ++i) ptx::settle(sum[i]);
    ptx::wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k)
#pragma unroll
      for (int i = 0; i < kTall; ++i) multiply(i, k);
    ptx::wgmma_commit();
  }
#endif
  template <int kLeft>
  __device__ void wait() {
#if defined(ESPALIER_HOPPER)
    ptx::wgmma_wait<kLeft>();
#pragma unroll
    for (int i = 0; i < kTall; ++i) ptx::settle(sum[i]);
#endif
  }
};

}  // namespace espalier::cuda::conv
