// Tiles of the implicit-GEMM convolutions in shared memory, and the arithmetic on them.
//
// A tile is rows of 128 bytes (64 elements of 16 bits, 32 of 32): 8 chunks of 16 bytes, stored at chunk
// number XOR the row's last three bits, so that 8 rows read at one chunk touch all 32 banks. Where the
// summed dimension runs along the rows, a tile has one row for each row (or column) of the product; where
// it runs across them, the tile is panels of `depth` rows, each as many rows of the product wide as 128 bytes hold.
//
// An engine computes the product of kRows × kColumns of a block of 256 threads, each of which holds a part. It
// takes kStages pairs of tiles in turn, kAhead of them on their way:
//   before_barrier()                    once a thread's own copies of a pair have arrived
//   add_along(a, b), add_across(a, b)   adds the product of a pair; where kAsync, begins to
//   after_step()                        the pair that was added kStages − kAhead steps ago may be overwritten
//                                       after the next barrier, counting this one as 1
//   finish()                            all are added
//   each(f)                             f(row, column, values…), the values of neighbouring columns
#pragma once

#include "cuda/core/launch.cuh"
#include "cuda/core/ptx/copies.cuh"
#include "cuda/core/ptx/matrices.cuh"

namespace espalier::cuda::conv {

constexpr int kThreads = 256, kRowBytes = 128;

// A float32 that tensor cores multiply as tf32.
struct Tf32 {
  float value;
};

// Runs body(U{}) for the type whose products stand in for those of T.
template <class T, class Body>
void with_operand(Body body) {
  if constexpr (std::is_same_v<T, float>) {
    switch (precision()) {
      case Precision::kTf32: return body(Tf32{});
      case Precision::kBfloat16: return body(__nv_bfloat16{});
      default: return body(float{});
    }
  } else if constexpr (!std::is_same_v<T, double>) {
    body(T{});
  }
}

template <class T>
constexpr int kRowElements = kRowBytes / static_cast<int>(sizeof(T));

// Where a chunk of a row is, in bytes from the tile's begin.
__device__ __forceinline__ uint32_t chunk_at(int row, int chunk) {
  return static_cast<uint32_t>(row * kRowBytes + ((chunk ^ (row & 7)) << 4));
}

// mma.sync: 8 warps, each of them 32 columns of the product wide.
template <class T, int kRowsOf, int kColumnsOf>
struct TensorCores {
  static constexpr int kRows = kRowsOf, kColumns = kColumnsOf;
  // 96 KB with tiles of 128 × 128: what a block may have on compute capability 8.6.
  static constexpr int kStages = 3, kAhead = kStages - 1, kBlocks = 2;
  static constexpr bool kAsync = false;
  static constexpr int kWarpsAcross = kColumns / 32, kWarpsDown = 8 / kWarpsAcross;
  static constexpr int kWarpRows = kRows / kWarpsDown, kDown = kWarpRows / 16, kAcross = 4;
  static_assert(kDown >= 1 && kWarpRows % 16 == 0);

  float sum[kDown][kAcross][4] = {};
  const int lane = threadIdx.x & 31;
  const int row0 = static_cast<int>(threadIdx.x >> 5) / kWarpsAcross * kWarpRows;
  const int column0 = static_cast<int>(threadIdx.x >> 5) % kWarpsAcross * 32;

  // Two chunks of every row are one step of mma: 16 elements of 16 bits, or 8 of tf32.
  __device__ void before_barrier() {}
  __device__ void after_step() {}
  __device__ void finish() {}

  __device__ void add_along(const unsigned char* left_tile, const unsigned char* right_tile) {
    const uint32_t a = ptx::shared_address(left_tile), b = ptx::shared_address(right_tile);
#pragma unroll
    for (int k = 0; k < 8; k += 2) {
      uint32_t left[kDown][4], right[kAcross / 2][4];
#pragma unroll
      for (int i = 0; i < kDown; ++i)
        ptx::load_matrix4(left[i], a + chunk_at(row0 + 16 * i + (lane & 15), k + (lane >> 4)));
#pragma unroll
      for (int j = 0; j < kAcross / 2; ++j)
        ptx::load_matrix4(right[j],
                          b + chunk_at(column0 + 16 * j + ((lane >> 4) << 3) + (lane & 7), k + ((lane >> 3) & 1)));
      multiply(left, right);
    }
  }

  __device__ void add_across(const unsigned char* left_tile, const unsigned char* right_tile) {
    const uint32_t a = ptx::shared_address(left_tile), b = ptx::shared_address(right_tile);
    if constexpr (sizeof(T) == 2) {
      constexpr int kDepth = 64, kPanel = kDepth * kRowBytes;
#pragma unroll
      for (int k = 0; k < kDepth; k += 16) {
        uint32_t left[kDown][4], right[kAcross / 2][4];
#pragma unroll
        for (int i = 0; i < kDown; ++i) {
          const int chunk = (row0 + 16 * i) / 8 + ((lane >> 3) & 1);
          ptx::load_matrix4_transposed(
              left[i], a + (chunk >> 3) * kPanel + chunk_at(k + (lane & 7) + ((lane >> 4) << 3), chunk & 7));
        }
#pragma unroll
        for (int j = 0; j < kAcross / 2; ++j) {
          const int chunk = (column0 + 16 * j) / 8 + (lane >> 4);
          ptx::load_matrix4_transposed(right[j],
                                       b + (chunk >> 3) * kPanel + chunk_at(k + (lane & 7) + (lane & 8), chunk & 7));
        }
        multiply(left, right);
      }
    } else {
      // No transposed ldmatrix of 32 bits: word by word. (The rows of a load are 4 neighbours and its
      // columns 8: with the tile's XOR of row bits two rows share banks. A word a lane, twice the time.)
      constexpr int kDepth = 32, kPanel = kDepth * kRowBytes;
      const auto word = [](uint32_t tile, int k, int m) {
        return ptx::read_word(tile + (m >> 5) * kPanel + chunk_at(k, (m & 31) >> 2) + ((m & 3) << 2));
      };
      const int g = lane >> 2, t = lane & 3;
#pragma unroll
      for (int k = 0; k < kDepth; k += 8) {
        uint32_t left[kDown][4], right[kAcross / 2][4];
#pragma unroll
        for (int i = 0; i < kDown; ++i)
#pragma unroll
          for (int e = 0; e < 4; ++e) left[i][e] = word(a, k + t + 4 * (e / 2), row0 + 16 * i + g + 8 * (e % 2));
#pragma unroll
        for (int j = 0; j < kAcross / 2; ++j)
#pragma unroll
          for (int e = 0; e < 4; ++e) right[j][e] = word(b, k + t + 4 * (e % 2), column0 + 16 * j + g + 8 * (e / 2));
        multiply(left, right);
      }
    }
  }

  __device__ void multiply(const uint32_t (&left)[kDown][4], const uint32_t (&right)[kAcross / 2][4]) {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const uint32_t b0 = right[j / 2][j % 2 * 2], b1 = right[j / 2][j % 2 * 2 + 1];
        if constexpr (sizeof(T) == 2) ptx::mma<T>(sum[i][j], left[i], b0, b1);
        else ptx::mma_tf32(sum[i][j], left[i], b0, b1);
      }
  }

  template <class F>
  __device__ void each(F f) const {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const int row = row0 + 16 * i + (lane >> 2), column = column0 + 8 * j + 2 * (lane & 3);
        f(row, column, sum[i][j][0], sum[i][j][1]);
        f(row + 8, column, sum[i][j][2], sum[i][j][3]);
      }
  }
};

// float32 on the CUDA cores, exactly: warps 4 down and 2 across, their lanes 4 down and 8 across; a lane's
// rows and columns are spread so that a warp's reads are free of bank conflicts.
template <int kRowsOf, int kColumnsOf>
struct CudaCores {
  static constexpr int kRows = kRowsOf, kColumns = kColumnsOf;
  static constexpr int kStages = 3, kAhead = kStages - 1, kBlocks = 2;
  static constexpr bool kAsync = false;
  static constexpr int kDown = kRows / 16, kAcross = kColumns / 16;

  float sum[kDown][kAcross] = {};
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const int down = lane >> 3, across = lane & 7;
  const int row0 = warp / 2 * (kRows / 4), column0 = warp % 2 * (kColumns / 2);

  // Along: rows down + 4·i and columns across + 8·j of the warp. Across: in groups of four neighbours.
  bool grouped = false;
  __device__ int row(int i) const { return row0 + (grouped ? (down + i / 4 * 4) * 4 + i % 4 : down + 4 * i); }
  __device__ int column(int j) const { return column0 + (grouped ? (across + j / 4 * 8) * 4 + j % 4 : across + 8 * j); }

  __device__ void before_barrier() {}
  __device__ void after_step() {}
  __device__ void finish() {}

  __device__ void add_along(const unsigned char* left_tile, const unsigned char* right_tile) {
    const uint32_t a = ptx::shared_address(left_tile), b = ptx::shared_address(right_tile);
#pragma unroll 2
    for (int k = 0; k < 8; ++k) {
      float4 left[kDown];
#pragma unroll
      for (int i = 0; i < kDown; ++i) left[i] = ptx::read_float4(a + chunk_at(row0 + down + 4 * i, k));
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const float4 right = ptx::read_float4(b + chunk_at(column0 + across + 8 * j, k));
#pragma unroll
        for (int i = 0; i < kDown; ++i) {
          sum[i][j] = fmaf(left[i].x, right.x, sum[i][j]);
          sum[i][j] = fmaf(left[i].y, right.y, sum[i][j]);
          sum[i][j] = fmaf(left[i].z, right.z, sum[i][j]);
          sum[i][j] = fmaf(left[i].w, right.w, sum[i][j]);
        }
      }
    }
  }

  __device__ void add_across(const unsigned char* left_tile, const unsigned char* right_tile) {
    const uint32_t a = ptx::shared_address(left_tile), b = ptx::shared_address(right_tile);
    constexpr int kDepth = 32, kPanel = kDepth * kRowBytes;
    grouped = true;
#pragma unroll 4
    for (int k = 0; k < kDepth; ++k) {
      float4 left[kDown / 4], right[kAcross / 4];
#pragma unroll
      for (int i = 0; i < kDown / 4; ++i) {
        const int chunk = row0 / 4 + down + 4 * i;
        left[i] = ptx::read_float4(a + (chunk >> 3) * kPanel + chunk_at(k, chunk & 7));
      }
#pragma unroll
      for (int j = 0; j < kAcross / 4; ++j) {
        const int chunk = column0 / 4 + across + 8 * j;
        right[j] = ptx::read_float4(b + (chunk >> 3) * kPanel + chunk_at(k, chunk & 7));
      }
#pragma unroll
      for (int i = 0; i < kDown; ++i)
#pragma unroll
        for (int j = 0; j < kAcross; ++j)
          sum[i][j] = fmaf(part(left[i / 4], i % 4), part(right[j / 4], j % 4), sum[i][j]);
    }
  }

  static __device__ float part(const float4& of, int i) { return i == 0 ? of.x : i == 1 ? of.y : i == 2 ? of.z : of.w; }

  template <class F>
  __device__ void each(F f) const {
#pragma unroll
    for (int i = 0; i < kDown; ++i)
#pragma unroll
      for (int j = 0; j < kAcross; ++j) f(row(i), column(j), sum[i][j]);
  }
};

// The engine that every device has, for operands of type T.
template <class T, int kRows, int kColumns>
using PlainEngine =
    std::conditional_t<std::is_same_v<T, float>, CudaCores<kRows, kColumns>, TensorCores<T, kRows, kColumns>>;

}  // namespace espalier::cuda::conv
