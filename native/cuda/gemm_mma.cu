// Products by mma.sync: half and bfloat16, and float rounded to tf32. A block brings tiles of A and B into
// shared memory a few steps ahead of eight warps that each compute a part of a tile of C.
#include "cuda/gemm_mma.cuh"

#include "cuda/gemm.h"
#include "cuda/gemm_split.cuh"

namespace espalier::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kStages = 4;

// kM×kN of C per block, by 2×4 warps; steps of K of 64 bytes.
template <class T, int kM, int kN, bool kTransposeA, bool kTransposeB>
struct Tiles {
  static constexpr int kK = 64 / int{sizeof(T)};
  static constexpr int kStep = 32 / int{sizeof(T)};  // of K in one instruction
  using A = SharedTile<T, kM, kK, !kTransposeA, kThreads>;
  using B = SharedTile<T, kN, kK, kTransposeB, kThreads>;
  static constexpr int kStage = A::kElements + B::kElements;
  static constexpr int kBytes = kStages * kStage * int{sizeof(T)};
};

template <class T, class C, int kM, int kN, bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(kThreads)
    mma_kernel(Product<T, C> p, Splits splits, float* parts, bool aligned_a, bool aligned_b) {
  using Tile = Tiles<T, kM, kN, kTransposeA, kTransposeB>;
  constexpr int kK = Tile::kK, kRows = kM / 2 / 16, kColumns = kN / 4 / 8;
  static_assert(kColumns % 2 == 0);
  extern __shared__ __align__(128) unsigned char shared[];
  T* const stages = reinterpret_cast<T*>(shared);

  const int64_t tiles_n = tiles_of(p.n, kN), tiles = tiles_of(p.m, kM) * tiles_n, tile = blockIdx.x % tiles;
  const int64_t first_m = tile / tiles_n * kM, first_n = tile % tiles_n * kN;
  const int64_t product = blockIdx.x / tiles, part = blockIdx.y;
  const BatchAxis at = p.kept.at(product);
  const int64_t k_tiles = tiles_of(p.k, kK), steps = p.added.count * k_tiles;
  const int64_t begin = part * splits.steps, end = min(begin + splits.steps, steps);

  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int row = warp / 4 * (kM / 2), column = warp % 4 * (kN / 4);

  float sum[kRows][kColumns][4] = {};
  Along<T, C> along(p, at, k_tiles, begin);
  auto bring = [&](int64_t step) {
    if (step < end) {
      const int64_t k0 = int64_t{along.k_tile} * kK;
      T* const stage = stages + (step - begin) % kStages * Tile::kStage;
      const T *const a = along.a, *const b = along.b;
      if constexpr (kTransposeA) Tile::A::bring(stage, a, p.lda, p.k, p.m, k0, first_m, aligned_a);
      else Tile::A::bring(stage, a, p.lda, p.m, p.k, first_m, k0, aligned_a);
      if constexpr (kTransposeB) Tile::B::bring(stage + Tile::A::kElements, b, p.ldb, p.n, p.k, first_n, k0, aligned_b);
      else Tile::B::bring(stage + Tile::A::kElements, b, p.ldb, p.k, p.n, k0, first_n, aligned_b);
      along.advance();
    }
    ptx::copy_commit();  // an empty group too: waits count groups
  };
  for (int ahead = 0; ahead < kStages - 1; ++ahead) bring(begin + ahead);
  for (int64_t step = begin; step < end; ++step) {
    ptx::copy_wait<kStages - 2>();
    __syncthreads();
    bring(step + kStages - 1);  // into the stage that every warp has left before the barrier
    const T* const stage = stages + (step - begin) % kStages * Tile::kStage;
#pragma unroll
    for (int k = 0; k < kK; k += Tile::kStep) {
      uint32_t left[kRows][4], right[kColumns / 2][4];
#pragma unroll
      for (int i = 0; i < kRows; ++i) Tile::A::left(left[i], stage, row + i * 16, k);
#pragma unroll
      for (int j = 0; j < kColumns / 2; ++j) Tile::B::right(right[j], stage + Tile::A::kElements, column + j * 16, k);
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          const uint32_t b0 = right[j / 2][j % 2 * 2], b1 = right[j / 2][j % 2 * 2 + 1];
          if constexpr (sizeof(T) == 2) ptx::mma<T>(sum[i][j], left[i], b0, b1);
          else ptx::mma_tf32(sum[i][j], left[i], b0, b1);
        }
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
        if (to_i >= p.m || to_j >= p.n) continue;
        if (parts != nullptr) {
          parts[((part * p.kept.count + product) * p.m + to_i) * p.n + to_j] = sum[i][j][e];
        } else {
          C* const to = p.c + at.c * p.stride_c + to_i * p.ldc + to_j;
          *to = p.finish(sum[i][j][e], to_i, to_j, to);
        }
      }
}

// Whether every stored row of every matrix of an operand starts at a multiple of 16 bytes.
template <class T>
bool aligned(const T* data, int64_t ld, int64_t stride) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && ld * sizeof(T) % 16 == 0 && stride * sizeof(T) % 16 == 0;
}

template <class T, class C, int kM, int kN, bool kTransposeA, bool kTransposeB>
void run(const Product<T, C>& p) {
  using Tile = Tiles<T, kM, kN, kTransposeA, kTransposeB>;
  const auto kernel = mma_kernel<T, C, kM, kN, kTransposeA, kTransposeB>;
  const int64_t tiles = tiles_of(p.m, kM) * tiles_of(p.n, kN) * p.kept.count;
  require_range("the tiles of the products", tiles, int64_t{0}, int64_t{INT32_MAX});
  const Splits splits = split_for(tiles, p.added.count * tiles_of(p.k, Tile::kK));
  const Temporary<float> parts(splits.parts > 1 ? splits.parts * p.kept.count * p.m * p.n : 0);
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, Tile::kBytes));
  kernel<<<dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(splits.parts)), kThreads, Tile::kBytes, stream()>>>(
      p, splits, parts, aligned(p.a, p.lda, p.stride_a), aligned(p.b, p.ldb, p.stride_b));
  launched("gemm_mma");
  if (splits.parts > 1) add_parts(p, splits.parts, parts.get());
}

template <class T, class C, int kM, int kN>
void by_transposes(const Product<T, C>& p) {
  if (p.transpose_a) return p.transpose_b ? run<T, C, kM, kN, true, true>(p) : run<T, C, kM, kN, true, false>(p);
  p.transpose_b ? run<T, C, kM, kN, false, true>(p) : run<T, C, kM, kN, false, false>(p);
}

}  // namespace

template <class T, class C>
void gemm_mma(const Product<T, C>& p) {
  const int64_t large = tiles_of(p.m, 128) * tiles_of(p.n, 128) * p.kept.count;
  large >= traits().multiprocessors ? by_transposes<T, C, 128, 128>(p) : by_transposes<T, C, 64, 64>(p);
}
template void gemm_mma(const Product<__half, __half>&);
template void gemm_mma(const Product<__half, float>&);
template void gemm_mma(const Product<__nv_bfloat16, __nv_bfloat16>&);
template void gemm_mma(const Product<__nv_bfloat16, float>&);
template void gemm_mma(const Product<float, float>&);

}  // namespace espalier::cuda
