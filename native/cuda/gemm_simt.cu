// float32 and float64 products on CUDA cores: exact in the sense of the element type. A block computes a
// tile of C from tiles of A and B in shared memory, each thread a small square of it in registers; the
// next tiles travel from memory into registers meanwhile.
#include "cuda/gemm.h"
#include "cuda/gemm_split.cuh"

namespace espalier::cuda {
namespace {

constexpr int kThreads = 256;

// Reads of one operand's tiles. An operand is Extent rows of C (or columns) by K; `k_first`: K runs along
// its stored rows. A thread takes `kTakes` groups of four consecutive elements of a tile.
template <class T, int kExtent, int kK>
struct Operand {
  static constexpr int kTakes = kExtent * kK / (kThreads * 4);
  static_assert(kTakes >= 1);

  const T* data;
  int64_t ld, extent, k, first;
  bool k_first, aligned;

  // Element (i, k) of take `take` of this thread, i and k within the tile.
  __device__ void place(int take, int* i, int* kk) const {
    const int at = take * kThreads + static_cast<int>(threadIdx.x);
    if (k_first) *i = at / (kK / 4), *kk = at % (kK / 4) * 4;
    else *kk = at / (kExtent / 4), *i = at % (kExtent / 4) * 4;
  }
  __device__ void fetch(const T* from, int64_t k0, Pack<T, 4> (&held)[kTakes]) const {
#pragma unroll
    for (int take = 0; take < kTakes; ++take) {
      int i, kk;
      place(take, &i, &kk);
      const int64_t row = first + i, column = k0 + kk;
      const T* const source = from + (k_first ? row * ld + column : column * ld + row);
      const bool row_in = row < extent, column_in = column < k;
      const int64_t left = k_first ? (row_in ? k - column : 0) : (column_in ? extent - row : 0);
      if (aligned && left >= 4) {
        // A double's pack is 32 bytes: two loads of 16.
        if constexpr (sizeof(T) == 4) {
          held[take] = *reinterpret_cast<const Pack<T, 4>*>(source);
        } else {
          reinterpret_cast<Pack<T, 2>*>(&held[take])[0] = reinterpret_cast<const Pack<T, 2>*>(source)[0];
          reinterpret_cast<Pack<T, 2>*>(&held[take])[1] = reinterpret_cast<const Pack<T, 2>*>(source)[1];
        }
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) held[take].at[e] = e < left ? source[e] : T(0);
      }
    }
  }
  // Into shared memory as [k][i].
  template <int kStride>
  __device__ void put(const Pack<T, 4> (&held)[kTakes], T (*tile)[kStride]) const {
#pragma unroll
    for (int take = 0; take < kTakes; ++take) {
      int i, kk;
      place(take, &i, &kk);
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (k_first) tile[kk + e][i] = held[take].at[e];
        else tile[kk][i + e] = held[take].at[e];
    }
  }
};

template <class T, int kM, int kN, int kK>
__global__ void __launch_bounds__(kThreads, 2)
    simt_kernel(Product<T, T> p, Splits splits, T* parts, bool aligned_a, bool aligned_b) {
  // A thread holds kM/16 × kN/16 of C as blocks of 4×4, 64 apart: its reads of a row of a tile are then
  // one access of four elements, and those of a warp lie side by side.
  constexpr int kRows = kM / 16, kColumns = kN / 16;
  constexpr int kPad = 4;
  __shared__ alignas(16) T tile_a[2][kK][kM + kPad];
  __shared__ alignas(16) T tile_b[2][kK][kN + kPad];

  const int64_t tiles_n = tiles_of(p.n, kN);
  const int64_t tiles = tiles_of(p.m, kM) * tiles_n, tile = blockIdx.x % tiles;
  const int64_t first_m = tile / tiles_n * kM, first_n = tile % tiles_n * kN;
  const int64_t product = blockIdx.x / tiles, part = blockIdx.y;
  const BatchAxis at = p.kept.at(product);
  const Operand<T, kM, kK> a{p.a, p.lda, p.m, p.k, first_m, !p.transpose_a, aligned_a};
  const Operand<T, kN, kK> b{p.b, p.ldb, p.n, p.k, first_n, p.transpose_b, aligned_b};

  const int64_t k_tiles = tiles_of(p.k, kK), steps = p.added.count * k_tiles;
  const int64_t begin = part * splits.steps, end = min(begin + splits.steps, steps);
  const int row = static_cast<int>(threadIdx.x) / 16 * 4, column = static_cast<int>(threadIdx.x) % 16 * 4;

  T sum[kRows][kColumns] = {};
  Pack<T, 4> held_a[Operand<T, kM, kK>::kTakes], held_b[Operand<T, kN, kK>::kTakes];
  auto fetch = [&](int64_t step) {
    const BatchAxis more = p.added.at(step / k_tiles);
    const int64_t k0 = step % k_tiles * kK;
    a.fetch(p.a + (at.a + more.a) * p.stride_a, k0, held_a);
    b.fetch(p.b + (at.b + more.b) * p.stride_b, k0, held_b);
  };
  if (begin < end) {
    fetch(begin);
    a.put(held_a, tile_a[0]);
    b.put(held_b, tile_b[0]);
  }
  __syncthreads();
  for (int64_t step = begin; step < end; ++step) {
    const int now = static_cast<int>(step - begin) & 1;
    if (step + 1 < end) fetch(step + 1);
#pragma unroll
    for (int kk = 0; kk < kK; ++kk) {
      T left[kRows], right[kColumns];
#pragma unroll
      for (int i = 0; i < kRows; ++i) left[i] = tile_a[now][kk][i / 4 * 64 + row + i % 4];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) right[j] = tile_b[now][kk][j / 4 * 64 + column + j % 4];
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int j = 0; j < kColumns; ++j) sum[i][j] = fma(left[i], right[j], sum[i][j]);
    }
    if (step + 1 < end) {
      a.put(held_a, tile_a[now ^ 1]);
      b.put(held_b, tile_b[now ^ 1]);
    }
    __syncthreads();
  }

#pragma unroll
  for (int i = 0; i < kRows; ++i)
#pragma unroll
    for (int j = 0; j < kColumns; ++j) {
      const int64_t to_i = first_m + i / 4 * 64 + row + i % 4, to_j = first_n + j / 4 * 64 + column + j % 4;
      if (to_i >= p.m || to_j >= p.n) continue;
      if (parts != nullptr) {
        parts[((part * p.kept.count + product) * p.m + to_i) * p.n + to_j] = sum[i][j];
      } else {
        T* const to = p.c + at.c * p.stride_c + to_i * p.ldc + to_j;
        *to = p.finish(sum[i][j], to_i, to_j, to);
      }
    }
}

// Whether every group of four elements of an operand starts at a multiple of 16 bytes.
template <class T>
bool aligned(const T* data, int64_t ld, int64_t stride) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && ld % 4 == 0 && stride % 4 == 0;
}

template <class T, int kM, int kN, int kK>
void run(const Product<T, T>& p) {
  const int64_t tiles = tiles_of(p.m, kM) * tiles_of(p.n, kN);
  const Splits splits = split_for(tiles * p.kept.count, p.added.count * tiles_of(p.k, kK));
  const Temporary<T> parts(splits.parts > 1 ? splits.parts * p.kept.count * p.m * p.n : 0);
  require_range("the tiles of the products", tiles * p.kept.count, int64_t{0}, int64_t{INT32_MAX});
  const dim3 grid(static_cast<unsigned>(tiles * p.kept.count), static_cast<unsigned>(splits.parts));
  simt_kernel<T, kM, kN, kK><<<grid, kThreads, 0, stream()>>>(p, splits, parts, aligned(p.a, p.lda, p.stride_a),
                                                              aligned(p.b, p.ldb, p.stride_b));
  launched("gemm_simt");
  if (splits.parts > 1) add_parts(p, splits.parts, parts.get());
}

}  // namespace

template <class T>
void gemm_simt(const Product<T, T>& p) {
  const int64_t large = tiles_of(p.m, 128) * tiles_of(p.n, 128) * p.kept.count;
  if constexpr (sizeof(T) == 4) {
    if (large >= traits().multiprocessors) return run<T, 128, 128, 16>(p);
  }
  run<T, 64, 64, 16>(p);
}
template void gemm_simt(const Product<float, float>&);
template void gemm_simt(const Product<double, double>&);

}  // namespace espalier::cuda
