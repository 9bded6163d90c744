// Where y has a position for each of x and taps look at neighbours, the rows that a tile gathers for its taps
// are the same few, shifted: rows first + low to first + 255 + high of x, if images stand one behind the other.
// They are brought to shared memory once for all taps (a gathering brings them once a tap, and the way from
// the cache to the multiprocessors is what it waits for), and each tap's rows read from there into registers
// by ldmatrix, whose lanes name a row each: one that lies outside of the image names a row of zeros.
#include "cuda/conv_near.cuh"

#include "cuda/conv_store.cuh"
#include "cuda/conv_warpgroups.cuh"

namespace espalier::cuda::conv {
namespace {

constexpr int kRows = 256, kColumns = 64, kRing = 4;  // rows and columns of a tile; pairs of weights
[[maybe_unused]] constexpr int kAhead = 2;
constexpr int kTileBytes = kColumns * kRowBytes;
[[maybe_unused]] constexpr int kEach = kThreads / 8;  // rows that are copied at once

// The taps as offsets in rows of x.
struct Reach {
  int32_t low, high;  // of all taps
  int32_t halo;       // rows held for a tile, the last of them zero
  int32_t chunks;     // of 64 channels
};

// What a thread holds of the product: two warpgroups, each with two halves of 64 rows.
struct Sums {
  float sum[2][kColumns / 2] = {};
  const int row0 = static_cast<int>(threadIdx.x / 128) * 128 + static_cast<int>(threadIdx.x / 32 % 4) * 16;

  template <class F>
  __device__ void each(F f) const {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < kColumns / 8; ++j) {
        const int row = row0 + 64 * i + (lane >> 2), column = 8 * j + 2 * (lane & 3);
        f(row, column, sum[i][4 * j], sum[i][4 * j + 1]);
        f(row + 8, column, sum[i][4 * j + 2], sum[i][4 * j + 3]);
      }
  }
};

template <class T, class Out>
__global__ __launch_bounds__(kThreads,
                             2) void near_kernel([[maybe_unused]] const __grid_constant__ GatherProduct<T, Out> product,
                                                 [[maybe_unused]] const Reach reach) {
#if defined(ESPALIER_HOPPER)
  extern __shared__ __align__(1024) unsigned char shared[];
  const Axis::Phase &down = product.rows.phase[0], &across = product.columns.phase[0];
  const int32_t height = product.rows.in, width = product.columns.in, count = product.images * height * width;
  const int32_t first = static_cast<int32_t>(blockIdx.x) * kRows;
  const int taps = down.taps * across.taps, steps = reach.chunks * taps;
  const auto rows_at = [&](int chunk) { return shared + kRing * kTileBytes + (chunk & 1) * reach.halo * kRowBytes; };

  // Rows begin to end of the halo of a chunk of channels.
  const auto load_rows = [&](int chunk, int begin, int end) {
    const int lane = threadIdx.x & 7;
    for (int row = begin + static_cast<int>(threadIdx.x >> 3); row < end; row += kEach) {
      const int32_t position = first + reach.low + row;
      const bool valid = position >= 0 && position < count && row < reach.halo - 1;
      ptx::copy16(rows_at(chunk) + chunk_at(row, lane),
                  product.x + (valid ? int64_t{position} * product.depth + chunk * 64 + lane * 8 : 0), valid ? 16 : 0);
    }
  };
  // The weights of the next step; by their own counters.
  int next_chunk = 0, next_row_tap = 0, next_column_tap = 0, next_slot = 0;
  const auto load_weights = [&] {
    const int lane = threadIdx.x & 7, row = static_cast<int>(threadIdx.x >> 3);
    const int element = (down.element + next_row_tap * product.rows.element_hop) * product.kernel_width +
                        across.element + next_column_tap * product.columns.element_hop;
#pragma unroll
    for (int i = 0; i < kColumns / kEach; ++i) {
      const int column = row + i * kEach;
      const bool valid = column < product.width;
      ptx::copy16(shared + next_slot * kTileBytes + chunk_at(row + i * kEach, lane),
                  product.weight + (valid ? (int64_t{column} * product.kernel_elements + element) * product.depth +
                                                next_chunk * 64 + lane * 8
                                          : 0),
                  valid ? 16 : 0);
    }
    next_slot = (next_slot + 1) % kRing;
    if (++next_column_tap < across.taps) return;
    next_column_tap = 0;
    if (++next_row_tap < down.taps) return;
    next_row_tap = 0, ++next_chunk;
  };

  // The two rows of the tile that this lane names, 64 apart, and which taps of them lie in the image.
  Sums sums;
  uint32_t in_image[2] = {};
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const int32_t position = first + sums.row0 + 64 * i + (lane & 15);
    if (position >= count) continue;
    const int32_t line = position / width, h = line % height + down.offset;
    const int32_t w = position - line * width + across.offset;
    for (int j = 0; j < down.taps; ++j)
      in_image[i] |= uint32_t{static_cast<uint32_t>(h + j * product.rows.hop) < static_cast<uint32_t>(height)} << j;
    for (int j = 0; j < across.taps; ++j)
      in_image[i] |= uint32_t{static_cast<uint32_t>(w + j * product.columns.hop) < static_cast<uint32_t>(width)}
                     << (16 + j);
  }

  load_rows(0, 0, reach.halo);
#pragma unroll
  for (int s = 0; s < kAhead; ++s) {
    if (s < steps) load_weights();
    ptx::copy_commit();
  }

  uint32_t left[2][4][4];
  // Half i of the warpgroup's rows, times the weights in a slot of the ring.
  const auto multiply = [&](int i, int slot, const unsigned char* rows, int row_tap, int column_tap) {
    const int32_t offset = (down.offset + row_tap * product.rows.hop) * width + across.offset +
                           column_tap * product.columns.hop - reach.low;
    const bool valid = (in_image[i] >> row_tap & in_image[i] >> (16 + column_tap) & 1) != 0;
    const int row = valid ? sums.row0 + 64 * i + (lane & 15) + offset : reach.halo - 1;
    const uint32_t from = ptx::shared_address(rows);
#pragma unroll
    for (int k = 0; k < 4; ++k) ptx::load_matrix4(left[i][k], from + chunk_at(row, 2 * k + (lane >> 4)));
    const uint64_t right = ptx::k_major(shared + slot * kTileBytes);
    ptx::settle(sums.sum[i]);
    ptx::wgmma_fence();
#pragma unroll
    for (int k = 0; k < 4; ++k) ptx::wgmma<T, false>(sums.sum[i], left[i][k], right + 2 * k, 1);
    ptx::wgmma_commit();
  };

  // The next chunk's rows come in parts with the first taps' weights.
  const int part = (reach.halo + taps - 3) / (taps - 2);
  int chunk = 0, tap = 0, row_tap = 0, column_tap = 0;
  for (int step = 0; step < steps; ++step) {
    ptx::copy_wait<kAhead - 1>();
    ptx::fence_async_shared();
    __syncthreads();
    multiply(0, step % kRing, rows_at(chunk), row_tap, column_tap);
    ptx::wgmma_wait<1>();  // this half, of the step before
    ptx::keep(left[1]);
    multiply(1, step % kRing, rows_at(chunk), row_tap, column_tap);
    if (step + kAhead < steps) load_weights();
    if (chunk + 1 < reach.chunks && tap < taps - 2) load_rows(chunk + 1, tap * part, min((tap + 1) * part, reach.halo));
    ptx::copy_commit();
    ptx::wgmma_wait<1>();
    ptx::keep(left[0]);
    ptx::settle(sums.sum[0]);
    ++tap;
    if (++column_tap == across.taps) column_tap = 0, ++row_tap;
    if (tap == taps) tap = row_tap = 0, ++chunk;
  }
  ptx::wgmma_wait<0>();
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    ptx::keep(left[i]);
    ptx::settle(sums.sum[i]);
  }
  ptx::copy_wait<0>();
  __syncthreads();

  const int32_t position = first + static_cast<int32_t>(threadIdx.x), plane = height * width;
  const int64_t y_from = position < count ? place_in_y(product, position / plane, position % plane) : int64_t{-1};
  store_tile<kRows, kColumns>(product, sums, shared, y_from, first, count, 0, product.width);
#endif
}

}  // namespace

template <class T, class Out>
bool near_product(const GatherProduct<T, Out>& product) {
  const Axis &rows = product.rows, &columns = product.columns;
  if (!warpgroups_serve() || product.width > kColumns || product.groups != 1 || product.depth % 64 != 0 ||
      rows.phases != 1 || columns.phases != 1 || rows.step != 1 || columns.step != 1 || rows.in != rows.out ||
      columns.in != columns.out || rows.phase[0].taps * columns.phase[0].taps < 4)
    return false;
  const auto span = [](const Axis& axis, int64_t pitch) {
    const int64_t begin = axis.phase[0].offset * pitch,
                  end = begin + int64_t{axis.phase[0].taps - 1} * axis.hop * pitch;
    return std::pair{std::min(begin, end), std::max(begin, end)};
  };
  const auto [top, bottom] = span(rows, columns.in);
  const auto [left, right] = span(columns, 1);
  const int64_t halo = kRows + bottom + right - top - left + 1;
  const int chunks = product.depth / 64;
  const int64_t bytes =
      std::max<int64_t>(kRing * kTileBytes + (chunks > 1 ? 2 : 1) * halo * kRowBytes, kStoreBytes<kRows, kColumns>);
  // Two blocks a multiprocessor, each with 1 KB that is not its own.
  if (bytes > (228 << 10) / 2 - 1024) return false;
  const int64_t blocks = ceil_div(int64_t{product.images} * rows.in * columns.in, kRows);
  const auto kernel = near_kernel<T, Out>;
  ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
  kernel<<<static_cast<unsigned>(blocks), kThreads, static_cast<size_t>(bytes), stream()>>>(
      product, Reach{static_cast<int32_t>(top + left), static_cast<int32_t>(bottom + right), static_cast<int32_t>(halo),
                     chunks});
  launched("conv_near");
  return true;
}

template bool near_product(const GatherProduct<__nv_bfloat16, __nv_bfloat16>&);
template bool near_product(const GatherProduct<__nv_bfloat16, float>&);
template bool near_product(const GatherProduct<__half, __half>&);

}  // namespace espalier::cuda::conv
