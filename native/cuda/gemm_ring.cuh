// The kernel of Hopper's products, dense and 2:4. A producer warp has the copy engine fill a ring of stages in
// shared memory; two warpgroups of consumers multiply from it. Blocks stay and walk over the tiles of
// C, so that the ring fills for the next tile while the last one is stored. Two blocks of a cluster compute
// neighbouring tiles of one column of tiles: each fetches half of their common part of B for both.
//
// What is multiplied is the policy's affair (`Math`):
//   Element, Sum              types
//   kConsumers, kBlocks, kN   a tile has 64·kBlocks rows for each of kConsumers, and kN columns
//   kK                        steps of K in a stage
//   kTransposeA, kTransposeB  as in Product
//   kRowA                     bytes of a row of a box of A
//   Where                     what a thread knows of the places of a sparse A
//   kUnderWay                 whether a step may begin before the products of the one before are done; if not, they
//                             begin two by two, for which `where` advances
//   multiply<kPart>(sum, a, b, add, where)   all of a stage, for the rows of one consumer; the kPart-th of the two
#pragma once

#include "cuda/core/launch.cuh"
#include "cuda/core/ptx/barriers.cuh"
#include "cuda/core/ptx/compiler.cuh"
#include "cuda/core/ptx/copies.cuh"
#include "cuda/core/ptx/descriptors.cuh"
#include "cuda/core/ptx/matrices.cuh"
#include "cuda/core/ptx/warpgroups.cuh"
#include "cuda/core/tensor_map.h"
#include "cuda/two_four.h"

namespace espalier::cuda {

// How many clocks a wait may take.
[[maybe_unused]] constexpr int64_t kPatience = 6'000'000'000;

template <class Math>
struct Ring {
  static constexpr int kThreads = 128 * (Math::kConsumers + 1);
  static constexpr int kM = 64 * Math::kConsumers * Math::kBlocks;
  static constexpr int kBytesA = kM * Math::kRowA, kBytesB = Math::kN * 128, kStage = kBytesA + kBytesB;
  static constexpr int kStages = std::min(220 * 1024 / kStage, 8);
  // 1024 more: swizzled boxes start at multiples of that.
  static constexpr int kShared = kStages * kStage + 2 * kStages * 8 + 1024;
  // Of the registers that the block has at its start, a multiple of 8 for each thread of kThreads, the producer
  // keeps 24. To ask for more than are there is to wait for ever.
  static constexpr int kAtStart = 65536 / kThreads / 8 * 8;
  static constexpr int kRegisters = std::min((kAtStart * kThreads - 24 * 128) / (kThreads - 128) / 8 * 8, 240);
  static_assert(kStages >= 3);
  static_assert(!Math::kTransposeA || Math::kBlocks == 1);  // a box for each consumer
};

#if defined(ESPALIER_HOPPER)

// The 4×4 words of four neighbouring threads, transposed: thread t gets word t of each.
__device__ __forceinline__ void transpose_quad(uint32_t (&word)[4]) {
  const bool odd = threadIdx.x & 1, high = threadIdx.x & 2;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    const uint32_t other = __shfl_xor_sync(0xffffffffu, odd ? word[i] : word[i + 1], 1);
    if (odd) word[i] = other;
    else word[i + 1] = other;
  }
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const uint32_t other = __shfl_xor_sync(0xffffffffu, high ? word[i] : word[i + 2], 2);
    if (high) word[i] = other;
    else word[i + 2] = other;
  }
}

template <class C>
__device__ __forceinline__ uint32_t word_of(const C (&pair)[2]) {
  return *reinterpret_cast<const uint32_t*>(pair);
}

// Stores a warp's 16 rows from `first_i` on of the sums of a tile whose columns begin at first_j. Every element
// costs instructions of its own here, so that what can be is done for a row, a column or a pair.
template <int kCount, class Sum, class C, bool kTransposed, class Finish>
__device__ __forceinline__ void store_sums(const Sum (&sum)[kCount], const Target<C, kTransposed>& to,
                                           const Finish& finish, int64_t first_i, int64_t first_j) {
  const int lane = static_cast<int>(threadIdx.x) % 32, g = lane / 4, t = lane % 4;
  const int rows = static_cast<int>(min(to.m - first_i, int64_t{16}));
  const int columns = static_cast<int>(min(to.n - first_j, int64_t{kCount * 2}));
  const int64_t step_i = to.step_i(), step_j = to.step_j();
  Sum of_row[2];
#pragma unroll
  for (int half = 0; half < 2; ++half)
    of_row[half] = g + half * 8 < rows ? finish.of_row(first_i + g + half * 8) : Sum(0);
#pragma unroll
  for (int block = 0; block < kCount / 4; block += 4) {
    C* const corner = to.c + first_i * step_i + (first_j + block * 8) * step_j;
    const int left = columns - block * 8;
    C pair[2][4][2];  // of rows g and g + 8, blocks of 8 columns, columns 2t and 2t + 1
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int b = 0; b < 4; ++b) {
        const int i = g + half * 8, j = b * 8 + t * 2;
        Sum value[2];
#pragma unroll
        for (int e = 0; e < 2; ++e) value[e] = finish.scaled(sum[(block + b) * 4 + half * 2 + e]) + of_row[half];
        if (finish.looks() && i < rows) {
#pragma unroll
          for (int e = 0; e < 2; ++e)
            if (j + e < left)
              value[e] +=
                  finish.of_column(first_j + block * 8 + j + e) + finish.of_old(corner[i * step_i + (j + e) * step_j]);
        }
#pragma unroll
        for (int e = 0; e < 2; ++e) pair[half][b][e] = static_cast<C>(finish.last(value[e]));
      }
    if (sizeof(C) == 2 && to.wide) {
      // The exchange of words leaves a thread with 8 neighbours: of a row, one of four blocks; or, transposed
      // first within each block, of a column, one half of one of two blocks.
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        uint32_t word[4];
#pragma unroll
        for (int w = 0; w < 4; ++w)
          word[w] =
              kTransposed ? ptx::transpose_matrix(word_of(pair[w % 2][part * 2 + w / 2])) : word_of(pair[part][w]);
        transpose_quad(word);
        const int i = kTransposed ? t % 2 * 8 : g + part * 8, j = kTransposed ? part * 16 + t / 2 * 8 + g : t * 8;
        const int room = kTransposed ? (j < left ? rows - i : 0) : (i < rows ? left - j : 0);
        C* const at = corner + i * step_i + j * step_j;
        if (room >= 8) {
          ptx::store16(at, make_uint4(word[0], word[1], word[2], word[3]));
        } else {
#pragma unroll
          for (int e = 0; e < 8; ++e)
            if (e < room) at[e] = reinterpret_cast<const C*>(word)[e];
        }
      }
    } else {
#pragma unroll
      for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int b = 0; b < 4; ++b)
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            const int i = g + half * 8, j = b * 8 + t * 2 + e;
            if (i < rows && j < left) corner[i * step_i + j * step_j] = pair[half][b][e];
          }
    }
    // Keeps the loads of later blocks from being moved up here, where there are no registers for them.
    ptx::keep_order();
  }
}

#endif

// Tiles in an order that keeps what blocks read at one time in the L2 cache: kGroup rows of tiles at a time.
__device__ __forceinline__ void tile_at(int64_t at, int64_t tiles_m, int64_t tiles_n, int group, int64_t* i,
                                        int64_t* j) {
  const int64_t in_group = group * tiles_n, first = at / in_group * group;
  const int64_t rows = min(tiles_m - first, int64_t{group});
  *i = first + at % in_group % rows;
  *j = at % in_group / rows;
}

template <class Math, int kCluster, class C, bool kTransposed, class Finish>
__global__ void __launch_bounds__(Ring<Math>::kThreads, 1)
    ring_kernel(const __grid_constant__ CUtensorMap map_a, const __grid_constant__ CUtensorMap map_b,
                Target<C, kTransposed> to, int64_t k, int group, Splits splits, Finish finish, Places places) {
#if defined(ESPALIER_HOPPER)
  using R = Ring<Math>;
  constexpr int kStages = R::kStages, kElement = sizeof(typename Math::Element);
  extern __shared__ __align__(1024) unsigned char shared[];
  const uint32_t stages = (ptx::shared_address(shared) + 1023) & ~1023u;
  const uint32_t full = stages + kStages * R::kStage, empty = full + kStages * 8;
  const uint32_t rank = kCluster > 1 ? ptx::cluster_rank() : 0;

  const int64_t tiles_m = tiles_of(to.m, int64_t{R::kM} * kCluster), tiles_n = tiles_of(to.n, Math::kN);
  // Each tile as many times as K has parts, whose sums lie one C after the other.
  const int64_t tiles = tiles_m * tiles_n, pieces = tiles * splits.parts;
  const int steps = static_cast<int>(tiles_of(k, Math::kK)), each = static_cast<int>(splits.steps);
  const int warpgroup = static_cast<int>(threadIdx.x) / 128;

  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      ptx::barrier_init(full + stage * 8, 1);
      ptx::barrier_init(empty + stage * 8, Math::kConsumers * 4 * kCluster);  // a lane of each warp, of each block
    }
    ptx::barrier_init_done();
    ptx::fence_async();
  }
  __syncthreads();
  if constexpr (kCluster > 1) {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }

  if (warpgroup == 0) {
    ptx::lower_registers<24>();
    if (ptx::elect_thread(0)) {
      int stage = 0;
      uint32_t phase = 0;
      for (int64_t at = blockIdx.x / kCluster; at < pieces; at += gridDim.x / kCluster) {
        int64_t tile_i, tile_j;
        tile_at(at % tiles, tiles_m, tiles_n, group, &tile_i, &tile_j);
        const int begin = static_cast<int>(at / tiles) * each, end = min(begin + each, steps);
        const int row_a = static_cast<int>((tile_i * kCluster + rank) * R::kM);
        const int column_b = static_cast<int>(tile_j * Math::kN);
        for (int step = begin; step < end; ++step) {
          const uint32_t a = stages + stage * R::kStage, b = a + R::kBytesA, done = full + stage * 8;
          const int k0 = step * Math::kK;
          ptx::barrier_wait(empty + stage * 8, phase ^ 1, kPatience);
          ptx::barrier_arrive_expect(done, R::kStage);
          if constexpr (Math::kTransposeA) {
            for (int box = 0; box < Math::kConsumers; ++box)
              ptx::copy_box(a + box * 8192, &map_a, row_a + box * 64, k0, done);
          } else {
            ptx::copy_box(a, &map_a, k0 / (Math::kK * kElement / Math::kRowA), row_a, done);
          }
          if constexpr (Math::kTransposeB) {
            constexpr int kRows = Math::kN / kCluster;
            const int first = static_cast<int>(rank) * kRows;
            if constexpr (kCluster > 1)
              ptx::copy_box(b + first * 128, &map_b, k0, column_b + first, done, (1 << kCluster) - 1);
            else ptx::copy_box(b, &map_b, k0, column_b, done);
          } else {
            for (int box = static_cast<int>(rank); box < Math::kN / 64; box += kCluster)
              if constexpr (kCluster > 1)
                ptx::copy_box(b + box * 8192, &map_b, column_b + box * 64, k0, done, (1 << kCluster) - 1);
              else ptx::copy_box(b + box * 8192, &map_b, column_b + box * 64, k0, done);
          }
          if (++stage == kStages) stage = 0, phase ^= 1;
        }
      }
    }
    __syncwarp();
  } else {
    ptx::raise_registers<R::kRegisters>();
    const int consumer = warpgroup - 1, warp = static_cast<int>(threadIdx.x) / 32 % 4;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int stage = 0;
    uint32_t phase = 0;
    auto release = [&](int left) {
      if (lane < kCluster) ptx::barrier_arrive(empty + left * 8, static_cast<uint32_t>(lane));
    };
    for (int64_t at = blockIdx.x / kCluster; at < pieces; at += gridDim.x / kCluster) {
      int64_t tile_i, tile_j;
      tile_at(at % tiles, tiles_m, tiles_n, group, &tile_i, &tile_j);
      const int begin = static_cast<int>(at / tiles) * each, end = min(begin + each, steps);
      const int64_t first_i = (tile_i * kCluster + rank) * R::kM + consumer * (64 * Math::kBlocks) + warp * 16;
      typename Math::Sum sum[Math::kBlocks][Math::kN / 2];
      typename Math::Where where(places, first_i, lane, begin);
      // Begins the products of the next stage, and says which that is.
      const auto begin_products = [&]<int kPart>(bool add) {
        const int now = stage;
        const uint32_t a = stages + now * R::kStage;
        ptx::barrier_wait(full + now * 8, phase, kPatience);
        Math::template multiply<kPart>(sum, a + consumer * (64 * Math::kBlocks) * Math::kRowA, a + R::kBytesA, add,
                                       where);
        ptx::wgmma_commit();
        if (++stage == kStages) stage = 0, phase ^= 1;
        return now;
      };
      if constexpr (Math::kUnderWay) {
        // One step's products stay under way; the stage of those before is free.
        int last = 0;
        for (int step = begin; step < end; ++step) {
          const int now = begin_products.template operator()<0>(step > begin);
          ptx::wgmma_wait<1>();
          if (step > begin) release(last);
          last = now;
        }
        ptx::wgmma_wait<0>();
        release(last);
      } else {
        for (int step = begin; step < end; step += 2) {
          where.advance(step);
          const int first = begin_products.template operator()<0>(step > begin);
          if (step + 1 < end) {
            const int second = begin_products.template operator()<1>(true);
            ptx::wgmma_wait<1>();
            release(first);
            ptx::wgmma_wait<0>();
            release(second);
          } else {
            ptx::wgmma_wait<0>();
            release(first);
          }
        }
      }
      Target<C, kTransposed> part = to;
      part.c += at / tiles * to.m * to.n;
#pragma unroll
      for (int block = 0; block < Math::kBlocks; ++block)
        store_sums(sum[block], part, finish, first_i + block * 64, tile_j * Math::kN);
    }
  }
  // A block of a cluster stays until its neighbour no longer reaches into it.
  if constexpr (kCluster > 1) {
    ptx::cluster_arrive();
    ptx::cluster_wait();
  }
#endif
}

template <class Math, int kCluster, class C, bool kTransposed, class Finish>
void launch_ring(const CUtensorMap& a, const CUtensorMap& b, const Target<C, kTransposed>& to, int64_t k,
                 const Finish& finish, const Places& places, const char* name, const Splits* cut = nullptr) {
  using R = Ring<Math>;
  const auto kernel = ring_kernel<Math, kCluster, C, kTransposed, Finish>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, R::kShared));
  const int64_t tiles = tiles_of(to.m, int64_t{R::kM} * kCluster) * tiles_of(to.n, Math::kN);
  const Splits splits = cut != nullptr ? *cut : Splits{1, tiles_of(k, Math::kK)};
  const int64_t clusters = std::min<int64_t>(traits().multiprocessors / kCluster, tiles * splits.parts);
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(clusters * kCluster));
  config.blockDim = dim3(R::kThreads);
  config.dynamicSmemBytes = R::kShared;
  config.stream = stream();
  cudaLaunchAttribute cluster;
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = kCluster;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  config.attrs = &cluster;
  config.numAttrs = 1;
  // About as many rows of tiles at a time as make what the blocks share a square. At 8192³ 4, 8 and 16 took
  // 1.44 ms, 1.44 and 1.45.
  constexpr int kGroup = std::max(1, 2048 / (R::kM * kCluster));
  check(cudaLaunchKernelEx(&config, kernel, a, b, to, k, kGroup, splits, finish, places), name);
}

}  // namespace espalier::cuda
