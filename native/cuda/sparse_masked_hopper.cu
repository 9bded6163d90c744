// Masked products on Hopper's tensor cores: dense ones, blocks of 128×256, a warp that loads and two warpgroups that
// multiply. W goes from shared memory to registers, where its bits are cleared, and from there into wgmma; while one
// warpgroup does that the other's products keep the tensor cores busy. The weight gradient takes both operands from
// shared memory and is masked as it is written.
#include <algorithm>

#include "cuda/core/tensor_map.h"
#include "cuda/sparse_masked.cuh"
#include "cuda/sparse_wgmma.cuh"

namespace espalier::cuda {
namespace {

using namespace sparse;

constexpr int kRows = 128, kColumns = 256;
constexpr int kStageBytes = (kRows + kColumns) / kSide * kBlockBytes;
constexpr int kStages = 4;
constexpr int kShared = 1024 + kStages * (kStageBytes + 16);

struct Dense {
  int64_t rows, columns, depth;  // of the result and the contraction
  void* out;
  int64_t ld;
  const void* bias;
  const uint32_t* bits;  // rows × depth; of the weight gradient: rows × columns
};

template <class T, bool kMMajor, bool kNMajor, bool kTransposed, bool kMaskOut>
__global__ void __launch_bounds__(kThreads, 1)
    masked_kernel([[maybe_unused]] const __grid_constant__ CUtensorMap map_a,
                  [[maybe_unused]] const __grid_constant__ CUtensorMap map_b, [[maybe_unused]] const Dense job) {
#if defined(ESPALIER_HOPPER)
  extern __shared__ unsigned char raw[];
  unsigned char* const shared = raw + (-ptx::shared_address(raw) & 1023u);
  uint64_t* const full = reinterpret_cast<uint64_t*>(shared + kStages * kStageBytes);
  uint64_t* const empty = full + kStages;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      ptx::barrier_init(&full[i], 1);
      ptx::barrier_init(&empty[i], kConsumerWarps);
    }
    ptx::barrier_init_done();
  }
  __syncthreads();

  const int64_t down = (job.rows + kRows - 1) / kRows, across = (job.columns + kColumns - 1) / kColumns;
  const int64_t items = down * across, slices = (job.depth + kSide - 1) / kSide;
  int stage = 0;
  uint32_t parity = 0;
  const auto advance = [&] {
    if (++stage == kStages) stage = 0, parity ^= 1;
  };

  if (threadIdx.x < 128) {
    ptx::lower_registers<40>();
    if (ptx::elect_thread(0)) {
      for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
        const Corner corner = corner_of(item, down, across, kRows, kColumns);
        const int row = static_cast<int>(corner.row), column = static_cast<int>(corner.column);
        for (int64_t slice = 0; slice < slices; ++slice) {
          ptx::barrier_wait(&empty[stage], parity ^ 1);
          ptx::barrier_arrive_expect(&full[stage], kStageBytes);
          unsigned char* to = shared + stage * kStageBytes;
          const int k = static_cast<int>(slice * kSide);
          for (int i = 0; i < kRows; i += kSide, to += kBlockBytes)
            ptx::copy_box(to, &map_a, kMMajor ? row + i : k, kMMajor ? k : row + i, &full[stage]);
          for (int i = 0; i < kColumns; i += kSide, to += kBlockBytes)
            ptx::copy_box(to, &map_b, kNMajor ? column + i : k, kNMajor ? k : column + i, &full[stage]);
          advance();
        }
      }
    }
  } else {
    ptx::raise_registers<232>();
    const int group = threadIdx.x / 128 - 1, warp = threadIdx.x / 32 % 4, lane = threadIdx.x & 31;
    const int g = lane / 4, t = lane % 4;
    T* const out = static_cast<T*>(job.out);
    // Where this lane's row of a fragment begins, of the first 16 of K.
    const uint32_t fragment = kMMajor ? (lane % 8 + lane / 16 * 8) * 128 + (16 * warp + lane / 8 % 2 * 8) * 2
                                      : (16 * warp + lane % 8 + lane / 8 % 2 * 8) * 128 + lane / 16 * 16;
    for (int64_t item = blockIdx.x; item < items; item += gridDim.x) {
      const Corner corner = corner_of(item, down, across, kRows, kColumns);
      const int64_t row = corner.row + group * kSide + warp * 16;
      float d[128];
      // The bits of this thread's two rows, 64 of K.
      const uint2* bits[2];
      if constexpr (!kMaskOut) {
#pragma unroll
        for (int h = 0; h < 2; ++h)
          bits[h] = reinterpret_cast<const uint2*>(job.bits + min(row + g + 8 * h, job.rows - 1) * (job.depth / 32));
      }
      int reading = -1;
      for (int64_t slice = 0; slice < slices; ++slice) {
        uint2 kept[2];
        if constexpr (!kMaskOut) kept[0] = bits[0][slice], kept[1] = bits[1][slice];
        ptx::barrier_wait(&full[stage], parity);
        const unsigned char* const a_at = shared + stage * kStageBytes + group * kBlockBytes;
        const unsigned char* const b_at = shared + stage * kStageBytes + kRows / kSide * kBlockBytes;
        const uint64_t b = kNMajor ? ptx::mn_major(b_at, kBlockBytes) : ptx::k_major(b_at);
        if constexpr (kMaskOut) {
          const uint64_t a = kMMajor ? ptx::mn_major(a_at, kBlockBytes) : ptx::k_major(a_at);
          ptx::wgmma_fence();
#pragma unroll
          for (int i = 0; i < 4; ++i)
            ptx::wgmma<T, kMMajor, kNMajor>(d, a + i * (kMMajor ? 128 : 2), b + i * (kNMajor ? 128 : 2),
                                            i > 0 || slice > 0);
          ptx::wgmma_commit();
          ptx::wgmma_wait<1>();
          if (reading >= 0 && ptx::elect_lane()) ptx::barrier_arrive(&empty[reading]);
          reading = stage;
        } else {
          uint32_t a[4][4];
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const uint32_t at = ptx::shared_address(a_at) + ptx::swizzled128(fragment + i * (kMMajor ? 16 * 128 : 32));
            if constexpr (kMMajor) ptx::load_matrix4_transposed(a[i], at);
            else ptx::load_matrix4(a[i], at);
#pragma unroll
            for (int e = 0; e < 4; ++e) {
              const uint32_t word = i < 2 ? kept[e % 2].x : kept[e % 2].y;
              a[i][e] &= spread(word >> (16 * (i % 2) + 8 * (e / 2) + 2 * t));
            }
          }
          ptx::wgmma_fence();
#pragma unroll
          for (int i = 0; i < 4; ++i) ptx::wgmma<T, kNMajor>(d, a[i], b + i * (kNMajor ? 128 : 2), i > 0 || slice > 0);
          ptx::wgmma_commit();
          ptx::wgmma_wait<0>();  // a's registers are written again next
          if (ptx::elect_lane()) ptx::barrier_arrive(&empty[stage]);
        }
        advance();
      }
      if constexpr (kMaskOut) {
        ptx::wgmma_wait<0>();
        if (ptx::elect_lane()) ptx::barrier_arrive(&empty[reading]);
      }
      ptx::settle(d);

      float bias[2] = {0, 0};
      if (job.bias != nullptr) {
#pragma unroll
        for (int h = 0; h < 2; ++h)
          if (row + g + 8 * h < job.rows) bias[h] = widen(static_cast<const T*>(job.bias)[row + g + 8 * h]);
      }
#pragma unroll
      for (int part = 0; part < 8; ++part) {
        const int64_t column = corner.column + part * 32;
        if constexpr (kMaskOut) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const int64_t r = row + g + 8 * h;
            const uint32_t word =
                (r < job.rows && column < job.columns ? job.bits[(r * job.columns + column) / 32] : 0) >> (2 * t);
#pragma unroll
            for (int q = 0; q < 4; ++q)
#pragma unroll
              for (int e = 0; e < 2; ++e)
                if ((word >> (8 * q + e) & 1) == 0) d[4 * (4 * part + q) + 2 * h + e] = 0;
          }
        }
        store_part<T, kTransposed>(d, part, out, job.ld, row, job.rows, column, job.columns, bias);
      }
    }
  }
#endif
}

template <class T, bool kMMajor, bool kNMajor, bool kTransposed, bool kMaskOut>
void launch(const CUtensorMap& a, const CUtensorMap& b, const Dense& job) {
  const auto kernel = masked_kernel<T, kMMajor, kNMajor, kTransposed, kMaskOut>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kShared));
  const int64_t items = ceil_div(job.rows, kRows) * ceil_div(job.columns, kColumns);
  kernel<<<static_cast<unsigned>(std::min<int64_t>(items, traits().multiprocessors)), kThreads, kShared, stream()>>>(
      a, b, job);
  launched("masked product");
}

// The bits of m×k, turned round; both are multiples of 32. A warp turns 32×32 of them.
__global__ void transpose_bits_kernel(const uint32_t* from, int64_t rows, int64_t columns, uint32_t* to) {
  const int lane = threadIdx.x & 31;
  const int64_t across = columns / 32, squares = rows / 32 * across, warps = int64_t{gridDim.x} * blockDim.x / 32;
  for (int64_t square = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / 32; square < squares; square += warps) {
    const int64_t row = square / across * 32, column = square % across * 32;
    const uint32_t word = from[(row + lane) * across + column / 32];
    uint32_t turned = 0;
#pragma unroll
    for (int i = 0; i < 32; ++i) {
      const uint32_t of_column = __ballot_sync(0xffffffffu, word >> i & 1);
      if (lane == i) turned = of_column;
    }
    to[(column + lane) * (rows / 32) + row / 32] = turned;
  }
}

template <class T>
bool run(const MaskedTask& task, espalier_dtype dtype) {
  const auto& [m, k, n, batch_major] = task.shape;
  struct Matrix {
    int64_t rows, columns;
  };
  const Matrix weight{m, k}, x = batch_major ? Matrix{n, k} : Matrix{k, n},
                             y = batch_major ? Matrix{n, m} : Matrix{m, n};
  const bool gradient = task.product == MaskedProduct::kWeightGrad, forward = task.product == MaskedProduct::kForward;
  const Matrix a = gradient ? y : weight, b = task.product == MaskedProduct::kDataGrad ? y : x;
  const int64_t ld = gradient ? k : batch_major ? (forward ? m : k) : n;
  // Bits are read by the 32 or 64.
  if (k % 64 != 0 || m % 64 != 0 || ld % 8 != 0 || reinterpret_cast<uintptr_t>(task.out) % 16 != 0 ||
      reinterpret_cast<uintptr_t>(task.bits) % 8 != 0 ||
      !tensor_mappable(task.a, dtype, a.rows, a.columns, a.columns) ||
      !tensor_mappable(task.b, dtype, b.rows, b.columns, b.columns))
    return false;
  const CUtensorMap map_a = tensor_map(task.a, dtype, a.rows, a.columns, a.columns, kSide, kSide);
  const CUtensorMap map_b = tensor_map(task.b, dtype, b.rows, b.columns, b.columns, kSide, kSide);
  Dense job{forward || gradient ? m : k,
            gradient ? k : n,
            gradient ? n : forward ? k : m,
            task.out,
            ld,
            task.bias,
            task.bits};
  if (gradient) {
    if (batch_major) launch<T, true, true, false, true>(map_a, map_b, job);
    else launch<T, false, false, false, true>(map_a, map_b, job);
  } else if (forward) {
    if (batch_major) launch<T, false, false, true, false>(map_a, map_b, job);
    else launch<T, false, true, false, false>(map_a, map_b, job);
  } else {
    Temporary<uint32_t> turned(m * k / 32);
    transpose_bits_kernel<<<grid_for(m * k / 32), kBlock, 0, stream()>>>(task.bits, m, k, turned);
    launched("masked product");
    job.bits = turned;
    if (batch_major) launch<T, true, false, true, false>(map_a, map_b, job);
    else launch<T, true, true, false, false>(map_a, map_b, job);
  }
  return true;
}

}  // namespace

bool run_masked_hopper(const MaskedTask& task, espalier_dtype dtype) {
  if (traits().capability != 90 || std::max({task.shape.m, task.shape.k, task.shape.n}) > int64_t{1} << 30)
    return false;
  switch (dtype) {
    case ESPALIER_FLOAT16: return run<__half>(task, dtype);
    case ESPALIER_BFLOAT16: return run<__nv_bfloat16>(task, dtype);
    default: return false;
  }
}

}  // namespace espalier::cuda
