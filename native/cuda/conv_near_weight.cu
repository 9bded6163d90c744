// A block sums the gradient of all nine taps between 64 channels of x and 64 of dy, a warpgroup three taps. The
// positions pass by once: a ring of shared memory holds those that some tap of the current 64 reads, and takes
// up 64 new ones a step. As in conv_near.cu each lane of ldmatrix names a row for its tap, or a row of zeros.
#include "cuda/conv_near.cuh"
#include "cuda/conv_warpgroups.cuh"
#include "cuda/divider.h"

namespace espalier::cuda::conv {
namespace {

constexpr int kBlockThreads = 384, kSide = 3;
constexpr int kRing = 4, kTileBytes = kNearWeightDepth * kRowBytes;  // of dy
constexpr int kHeld = 512;                                           // positions of x
[[maybe_unused]] constexpr int kAhead = 2;
constexpr int kBytes = kRing * kTileBytes + (kHeld + 1) * kRowBytes;

template <class T>
__global__ __launch_bounds__(kBlockThreads,
                             1) void near_weight_kernel([[maybe_unused]] const __grid_constant__ NearWeightTask<T> task,
                                                        [[maybe_unused]] const Divider by_width,
                                                        [[maybe_unused]] const Divider by_height) {
#if defined(ESPALIER_HOPPER)
  extern __shared__ __align__(1024) unsigned char shared[];
  unsigned char* const held = shared + kRing * kTileBytes;
  unsigned char* const zeros = held + kHeld * kRowBytes;
  const int tiles = task.depth / kNearWeightSide;
  const int x_channel = static_cast<int>(blockIdx.x) % tiles * kNearWeightSide;
  const int dy_channel = static_cast<int>(blockIdx.x) / tiles * kNearWeightSide;
  const int total = (task.count + kNearWeightDepth - 1) / kNearWeightDepth;
  const int begin = static_cast<int>(blockIdx.y) * task.steps, end = min(begin + task.steps, total);

  const int32_t rows_to = task.row_offset + (kSide - 1) * task.row_hop;
  const int32_t columns_to = task.column_offset + (kSide - 1) * task.column_hop;
  const int32_t low = task.row_offset * task.image_width + task.column_offset;
  const int32_t high = rows_to * task.image_width + columns_to;

  const auto load_x = [&](int32_t from, int rows) {
    for (int i = threadIdx.x; i < rows * 8; i += kBlockThreads) {
      const int32_t position = from + i / 8;
      const bool valid = position >= 0 && position < task.count;
      ptx::copy16(held + chunk_at(position & (kHeld - 1), i % 8),
                  task.x + (valid ? int64_t{position} * task.depth + x_channel + i % 8 * 8 : 0), valid ? 16 : 0);
    }
  };
  const auto load_dy = [&](int step) {
    for (int i = threadIdx.x; i < kNearWeightDepth * 8; i += kBlockThreads) {
      const int32_t position = step * kNearWeightDepth + i / 8;
      const int channel = dy_channel + i % 8 * 8;
      const bool valid = position < task.count && channel < task.width;
      ptx::copy16(shared + step % kRing * kTileBytes + chunk_at(i / 8, i % 8),
                  task.dy + (valid ? int64_t{position} * task.width + channel : 0), valid ? 16 : 0);
    }
  };

  if (threadIdx.x < kRowBytes / 4) reinterpret_cast<uint32_t*>(zeros)[threadIdx.x] = 0;
  for (int s = 0; s < kAhead; ++s) {
    const int32_t front = (begin + s) * kNearWeightDepth + high;
    if (begin + s < end) {
      if (s == 0) load_x(begin * kNearWeightDepth + low, high - low + kNearWeightDepth);
      else load_x(front, kNearWeightDepth);
      load_dy(begin + s);
    }
    ptx::copy_commit();
  }

  // This warpgroup's row of taps; of a product's 16 positions the one that this lane names, and its channels' chunk.
  const int lane = threadIdx.x & 31, warp = threadIdx.x / 32 % 4;
  const int tap_row = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x / 128), 0);
  const int32_t down = task.row_offset + tap_row * task.row_hop;
  const int place = (lane & 7) + (lane >> 4) * 8, chunk = 2 * warp + ((lane >> 3) & 1);
  const uint32_t held_at = ptx::shared_address(held), zeros_at = ptx::shared_address(zeros);

  float sum[kSide][32] = {};
  uint32_t left[2][4][4];
  for (int step = begin; step < end; ++step) {
    ptx::copy_wait<kAhead - 1>();
    ptx::fence_async_shared();
    __syncthreads();
    if (step + kAhead < end) {
      load_x((step + kAhead) * kNearWeightDepth + high, kNearWeightDepth);
      load_dy(step + kAhead);
    }
    ptx::copy_commit();

    // Bit 4·q + k: tap q of the lane's position among the k-th 16 lies in the image.
    uint32_t in_image = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int32_t position = step * kNearWeightDepth + 16 * k + place;
      int64_t column, row;
      by_height.split(by_width.split(position, column), row);
      const bool inside = position < task.count && static_cast<uint32_t>(static_cast<int32_t>(row) + down) <
                                                       static_cast<uint32_t>(task.image_height);
#pragma unroll
      for (int q = 0; q < kSide; ++q) {
        const int32_t at = static_cast<int32_t>(column) + task.column_offset + q * task.column_hop;
        in_image |= uint32_t{inside && static_cast<uint32_t>(at) < static_cast<uint32_t>(task.image_width)}
                    << (4 * q + k);
      }
    }
    const uint64_t right = ptx::mn_major(shared + step % kRing * kTileBytes, kTileBytes);
    const auto multiply = [&](int q, uint32_t(&by)[4][4]) {
      const int32_t offset = down * task.image_width + task.column_offset + q * task.column_hop;
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        const int row = (step * kNearWeightDepth + 16 * k + place + offset) & (kHeld - 1);
        ptx::load_matrix4_transposed(
            by[k], (in_image >> (4 * q + k) & 1) != 0 ? held_at + chunk_at(row, chunk) : zeros_at + chunk * 16);
      }
      ptx::settle(sum[q]);
      ptx::wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k) ptx::wgmma<T, true>(sum[q], by[k], right + 128 * k, 1);
      ptx::wgmma_commit();
    };
    ptx::wgmma_wait<0>();
    ptx::keep(left[0]);
    ptx::settle(sum[2]);
    multiply(0, left[0]);
    multiply(1, left[1]);
    ptx::wgmma_wait<1>();
    ptx::keep(left[0]);
    ptx::settle(sum[0]);
    multiply(2, left[0]);
    ptx::wgmma_wait<1>();
    ptx::keep(left[1]);
    ptx::settle(sum[1]);
  }
  ptx::wgmma_wait<0>();
  ptx::keep(left[0]);
  ptx::settle(sum[2]);
  ptx::copy_wait<0>();

  const int64_t elements = kSide * kSide;
  float* const to = task.partial + int64_t{blockIdx.y} * task.width * elements * task.depth;
#pragma unroll
  for (int q = 0; q < kSide; ++q)
#pragma unroll
    for (int j = 0; j < 8; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int o = dy_channel + 8 * j + 2 * (lane & 3) + i % 2;
        const int c = x_channel + 16 * warp + (lane >> 2) + 8 * (i / 2);
        if (o < task.width) to[(o * elements + tap_row * kSide + q) * task.depth + c] = sum[q][4 * j + i];
      }
#endif
}

}  // namespace

bool near_weight_serves(const espalier_conv2d& s) {
  const int64_t span = (kSide - 1) * (s.dilation_height * s.in_width + s.dilation_width);
  return warpgroups_serve() && s.groups == 1 && s.out_channels <= kNearWeightSide && s.kernel_height == kSide &&
         s.kernel_width == kSide && s.stride_height == 1 && s.stride_width == 1 && s.in_height == s.out_height &&
         s.in_width == s.out_width && s.in_channels % kNearWeightSide == 0 &&
         span + (kAhead + 1) * kNearWeightDepth <= kHeld;
}

template <class T>
void near_weight(const NearWeightTask<T>& task, int64_t shares) {
  const auto kernel = near_weight_kernel<T>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes));
  const dim3 grid(static_cast<unsigned>(task.depth / kNearWeightSide * ceil_div(task.width, kNearWeightSide)),
                  static_cast<unsigned>(shares));
  kernel<<<grid, kBlockThreads, kBytes, stream()>>>(task, Divider(task.image_width), Divider(task.image_height));
  launched("conv_near_weight");
}

template void near_weight(const NearWeightTask<__nv_bfloat16>&, int64_t);
template void near_weight(const NearWeightTask<__half>&, int64_t);

}  // namespace espalier::cuda::conv
