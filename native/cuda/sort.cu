// Radix sort, least significant digit first: each pass moves the items stably by eight bits of their key. A tile
// counts its digits, the counts are added up over digits and tiles, and each item goes to its digit's place.
#include "cuda/sort.h"

#include "cuda/core/launch.cuh"

namespace espalier::cuda {
namespace {

constexpr int kDigits = 256, kWarps = kBlock / 32;
constexpr int kEach = 8;                   // items of a thread
constexpr int64_t kTile = kBlock * kEach;  // of a block
constexpr int kScanTile = kBlock * kEach;

__device__ __forceinline__ unsigned digit_of(int32_t key, int shift) {
  return (static_cast<uint32_t>(key) >> shift) & (kDigits - 1);
}

__global__ void begin_kernel(const int32_t* keys, int32_t count, int32_t limit, int32_t* key, int32_t* item) {
  for (int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x; i < count; i += int64_t{gridDim.x} * kBlock) {
    const int32_t k = keys[i];
    key[i] = k < 0 || k > limit ? limit : k;
    item[i] = static_cast<int32_t>(i);
  }
}

// counts[digit · tiles + tile] = how many items of the tile have the digit.
__global__ void __launch_bounds__(kBlock)
    count_kernel(const int32_t* key, int64_t count, int shift, int64_t tiles, uint32_t* counts) {
  __shared__ uint32_t found[kDigits];
  found[threadIdx.x] = 0;
  __syncthreads();
  const int64_t first = blockIdx.x * kTile;
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = first + e * kBlock + threadIdx.x;
    if (i < count) atomicAdd(&found[digit_of(key[i], shift)], 1u);
  }
  __syncthreads();
  counts[threadIdx.x * tiles + blockIdx.x] = found[threadIdx.x];
}

// The sum of the values of the threads before this one, and of all in `total`.
__device__ uint32_t scan_block(uint32_t value, uint32_t& total) {
  __shared__ uint32_t of_warp[kWarps];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  uint32_t sum = value;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    const uint32_t below = __shfl_up_sync(0xffffffffu, sum, offset);
    if (lane >= offset) sum += below;
  }
  if (lane == 31) of_warp[warp] = sum;
  __syncthreads();
  uint32_t before = 0;
  total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) before += of_warp[w];
    total += of_warp[w];
  }
  __syncthreads();
  return before + sum - value;
}

// Turns each tile of `values` into its sums of what stands before; totals[tile] receives the whole, if wanted.
__global__ void __launch_bounds__(kBlock) scan_kernel(uint32_t* values, int64_t n, uint32_t* totals) {
  const int64_t first = blockIdx.x * int64_t{kScanTile} + threadIdx.x * kEach;
  uint32_t own[kEach], sum = 0;
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    own[e] = sum;
    if (first + e < n) sum += values[first + e];
  }
  uint32_t total;
  const uint32_t before = scan_block(sum, total);
#pragma unroll
  for (int e = 0; e < kEach; ++e)
    if (first + e < n) values[first + e] = before + own[e];
  if (totals != nullptr && threadIdx.x == 0) totals[blockIdx.x] = total;
}

__global__ void add_kernel(uint32_t* values, int64_t n, const uint32_t* before) {
  const int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x;
  if (i < n) values[i] += before[i / kScanTile];
}

void scan(uint32_t* values, int64_t n) {
  const int64_t tiles = ceil_div(n, kScanTile);
  const Temporary<uint32_t> totals(tiles);
  scan_kernel<<<static_cast<unsigned>(tiles), kBlock, 0, stream()>>>(values, n, totals.get());
  launched("scan");
  if (tiles == 1) return;
  scan(totals, tiles);
  add_kernel<<<static_cast<unsigned>(ceil_div(n, kBlock)), kBlock, 0, stream()>>>(values, n, totals.get());
  launched("scan");
}

// A warp takes consecutive items, 32 at a time, so that the rank of an item among those of its digit is what
// the warp counted so far and the lanes below that hold the digit too.
__global__ void __launch_bounds__(kBlock)
    move_kernel(const int32_t* key, const int32_t* item, int64_t count, int shift, int64_t tiles,
                const uint32_t* starts, int32_t* to_key, int32_t* to_item) {
  __shared__ uint32_t seen[kWarps][kDigits];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int d = lane; d < kDigits; d += 32) seen[warp][d] = 0;
  __syncwarp();
  const int64_t first = blockIdx.x * kTile + warp * (32 * kEach) + lane;
  int32_t k[kEach];
  uint32_t rank[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = first + e * 32;
    k[e] = i < count ? key[i] : 0;
    // Lanes past the end hold a digit of their own.
    const unsigned digit = i < count ? digit_of(k[e], shift) : kDigits;
    const unsigned peers = __match_any_sync(0xffffffffu, digit);
    const unsigned below = __popc(peers & ((1u << lane) - 1));
    const bool inside = digit < kDigits;
    rank[e] = inside ? seen[warp][digit] + below : 0;
    __syncwarp();
    if (inside && below == 0) seen[warp][digit] += __popc(peers);
    __syncwarp();
  }
  __syncthreads();
  // Thread d: where each warp's items of digit d begin.
  uint32_t at = starts[threadIdx.x * tiles + blockIdx.x];
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const uint32_t own = seen[w][threadIdx.x];
    seen[w][threadIdx.x] = at;
    at += own;
  }
  __syncthreads();
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const int64_t i = first + e * 32;
    if (i >= count) continue;
    const uint32_t to = seen[warp][digit_of(k[e], shift)] + rank[e];
    to_key[to] = k[e];
    to_item[to] = item[i];
  }
}

}  // namespace

void sort_by_key(const int32_t* keys, int64_t count, int64_t limit, int32_t* sorted, int32_t* order) {
  if (count == 0) return;
  const int64_t tiles = ceil_div(count, kTile);
  const Temporary<int32_t> spare(2 * count);
  const Temporary<uint32_t> counts(kDigits * tiles);
  int bits = 1;
  while (limit >> bits != 0) ++bits;
  const int passes = (bits + 7) / 8;
  // So many passes from one pair of arrays to the other that the last one ends in the result.
  int32_t *key = sorted, *item = order, *next_key = spare.get(), *next_item = spare.get() + count;
  if (passes % 2 == 1) std::swap(key, next_key), std::swap(item, next_item);
  begin_kernel<<<grid_for(count), kBlock, 0, stream()>>>(keys, static_cast<int32_t>(count), static_cast<int32_t>(limit),
                                                         key, item);
  launched("sort");
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = 8 * pass;
    count_kernel<<<static_cast<unsigned>(tiles), kBlock, 0, stream()>>>(key, count, shift, tiles, counts.get());
    launched("sort");
    scan(counts, kDigits * tiles);
    move_kernel<<<static_cast<unsigned>(tiles), kBlock, 0, stream()>>>(key, item, count, shift, tiles, counts.get(),
                                                                       next_key, next_item);
    launched("sort");
    std::swap(key, next_key);
    std::swap(item, next_item);
  }
}

}  // namespace espalier::cuda
