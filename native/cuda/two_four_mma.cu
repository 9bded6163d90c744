// 2:4 products by mma.sp. In bytes all types are alike: a stage is 64 bytes of a row of W's values and 128 of a
// column of B, two instructions long.
#include "cuda/gemm_mma.cuh"

#include "cuda/two_four.h"

namespace espalier::cuda {
namespace {

constexpr int kThreads = 256, kStages = 3, kTile = 128;
using TileA = SharedTile<uint8_t, kTile, 64, true, kThreads>;
using TileB = SharedTile<uint8_t, kTile, 128, true, kThreads>;
constexpr int kStage = TileA::kElements + TileB::kElements;
constexpr int kBytes = kStages * kStage;

template <class T>
using sum_t = std::conditional_t<sizeof(T) == 1, int32_t, float>;

template <class T, class C, bool kTransposed, class F>
__global__ void __launch_bounds__(kThreads) two_four_kernel(TwoFourProduct<T, C, kTransposed, F> p) {
  constexpr int kRows = kTile / 2 / 16, kColumns = kTile / 4 / 8;
  constexpr int kWords = sizeof(T) == 1 ? 2 : 1;  // blocks of places in a stage
  extern __shared__ __align__(128) uint8_t stages[];
  const auto* const values = reinterpret_cast<const uint8_t*>(p.values);
  const auto* const right = reinterpret_cast<const uint8_t*>(p.b);
  const int64_t row_a = p.k / 2 * int64_t{sizeof(T)}, row_b = p.k * int64_t{sizeof(T)};

  const int64_t tiles_n = tiles_of(p.to.n, kTile);
  const int64_t first_m = blockIdx.x / tiles_n * kTile, first_n = blockIdx.x % tiles_n * kTile;
  const int steps = static_cast<int>(tiles_of(row_b, 128));
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int row = warp / 4 * (kTile / 2), column = warp % 4 * (kTile / 4);

  sum_t<T> sum[kRows][kColumns][4] = {};
  auto bring = [&](int step) {
    if (step < steps) {
      uint8_t* const stage = stages + step % kStages * kStage;
      TileA::bring(stage, values, row_a, p.to.m, row_a, first_m, step * int64_t{64}, true);
      TileB::bring(stage + TileA::kElements, right, row_b, p.to.n, row_b, first_n, step * int64_t{128}, true);
    }
    ptx::copy_commit();
  };
  // The places of one step, for the rows of this warp; beyond W any will do.
  uint32_t next[kRows][kWords], now[kRows][kWords];
  auto look = [&](int step) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int w = 0; w < kWords; ++w) {
        const int64_t block_m = min((first_m + row) / kPlaceRows + i, int64_t{p.places.blocks_m - 1});
        const int64_t block_k = min(step * kWords + w, p.places.blocks_k - 1);
        next[i][w] = p.places.words[(block_m * p.places.blocks_k + block_k) * 32 + lane];
      }
  };
  for (int ahead = 0; ahead < kStages - 1; ++ahead) bring(ahead);
  if (steps > 0) look(0);
  for (int step = 0; step < steps; ++step) {
#pragma unroll
    for (int i = 0; i < kRows; ++i)
#pragma unroll
      for (int w = 0; w < kWords; ++w) now[i][w] = next[i][w];
    if (step + 1 < steps) look(step + 1);
    ptx::copy_wait<kStages - 2>();
    __syncthreads();
    bring(step + kStages - 1);
    const uint32_t a = ptx::shared_address(stages + step % kStages * kStage), b = a + TileA::kElements;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      uint32_t left[kRows][4], columns[kColumns][4];
      // Matrices of 8 rows by 16 bytes: (rows, 0), (rows + 8, 0), (rows, 16), (rows + 8, 16).
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        ptx::load_matrix4(left[i], a + (row + i * 16 + lane % 16) * TileA::kStride + half * 32 + lane / 16 * 16);
        // (columns, 0), (columns, 16), (columns, 32), (columns, 48).
#pragma unroll
      for (int j = 0; j < kColumns; ++j)
        ptx::load_matrix4(columns[j], b + (column + j * 8 + lane % 8) * TileB::kStride + half * 64 + lane / 8 * 16);
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j)
          if constexpr (sizeof(T) == 1) ptx::mma_sparse<T, 0>(sum[i][j], left[i], columns[j], now[i][half]);
          else if (half == 0) ptx::mma_sparse<T, 0>(sum[i][j], left[i], columns[j], now[i][0]);
          else ptx::mma_sparse<T, 1>(sum[i][j], left[i], columns[j], now[i][0]);
    }
  }

#pragma unroll
  for (int i = 0; i < kRows; ++i)
#pragma unroll
    for (int j = 0; j < kColumns; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int64_t to_i = first_m + row + i * 16 + lane / 4 + e / 2 * 8;
        const int64_t to_j = first_n + column + j * 8 + lane % 4 * 2 + e % 2;
        if (to_i >= p.to.m || to_j >= p.to.n) continue;
        C* const to = p.to.c + to_i * p.to.step_i() + to_j * p.to.step_j();
        *to = static_cast<C>(p.finish.last(p.finish.scaled(sum[i][j][e]) + p.finish.of_row(to_i)));
      }
}

}  // namespace

template <class T, class C, bool kTransposed, class F>
void two_four_mma(const TwoFourProduct<T, C, kTransposed, F>& p) {
  const auto kernel = two_four_kernel<T, C, kTransposed, F>;
  const int64_t tiles = tiles_of(p.to.m, kTile) * tiles_of(p.to.n, kTile);
  require_range("the tiles of the product", tiles, int64_t{0}, int64_t{INT32_MAX});
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  kernel<<<static_cast<unsigned>(tiles), kThreads, kBytes, stream()>>>(p);
  launched("two_four_mma");
}
#define ESPALIER_INSTANCE(T, C, F)                                   \
  template void two_four_mma(const TwoFourProduct<T, C, false, F>&); \
  template void two_four_mma(const TwoFourProduct<T, C, true, F>&);
ESPALIER_INSTANCE(__half, __half, Finish<__half>)
ESPALIER_INSTANCE(__nv_bfloat16, __nv_bfloat16, Finish<__nv_bfloat16>)
ESPALIER_INSTANCE(int8_t, int32_t, WholeFinish)

}  // namespace espalier::cuda
