// Scores of weights that no elementwise formula gives.
#include "cuda/core/launch.cuh"
#include "cuda/pruning.h"
#include "cuda/select_keys.cuh"
#include "cuda/sort.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- Layer-adaptive magnitudes ---------------------------------------------------------------------

// Digits of a key as numbers that sort_by_key takes.
template <class T>
constexpr int kPartBits = sizeof(T) == 4 ? 31 : 21;
template <class T>
constexpr int kParts = sizeof(T) == 4 ? 1 : 3;

// order = the entries by |x|, of equal ones the lower index first: stable sorts by parts of the key, the lowest
// part first.
template <class T>
void sort_by_magnitude(const T* x, int64_t n, int32_t* order, int32_t source) {
  constexpr int64_t kMostOfPart = (int64_t{1} << kPartBits<T>)-1;
  Temporary<int32_t> keys(n), sorted(n), moves(n), before(n);
  Fault* const fault = faults();
  for (int part = 0; part < kParts<T>; ++part) {
    for_each(n, "lamp_keys", [=, keys = keys.get(), before = before.get()] __device__(int64_t i) {
      const T value = x[part == 0 ? i : before[i]];
      if (value != value) raise_fault(fault, FaultKind::kNotANumber, source, i);
      keys[i] = static_cast<int32_t>((key_of(value, true) >> (part * kPartBits<T>)) & kMostOfPart);
    });
    sort_by_key(keys, n, kMostOfPart, sorted, moves);
    for_each(n, "lamp_order", [=, moves = moves.get(), before = before.get()] __device__(int64_t i) {
      order[i] = part == 0 ? moves[i] : before[moves[i]];
    });
    if (part + 1 < kParts<T>)
      ESPALIER_CUDA(
          cudaMemcpyAsync(before, order, static_cast<size_t>(n) * sizeof(int32_t), cudaMemcpyDeviceToDevice, stream()));
  }
}

// Entries whose squares a block adds up, a thread kEach neighbours.
constexpr int kEach = 8, kTile = kEach * kBlock;

template <class T>
__device__ __forceinline__ double square_of(const T* x, const int32_t* order, int64_t i) {
  const double value = static_cast<double>(x[order[i]]);
  return value * value;
}

// Replaces each thread's value by the sum of those of the threads behind it; returns the whole.
__device__ double sum_behind(double* value) {
  __shared__ double sums[kBlock];
  const double own = *value;
  sums[threadIdx.x] = own;
  __syncthreads();
  for (int offset = 1; offset < kBlock; offset *= 2) {
    const double add = threadIdx.x + offset < kBlock ? sums[threadIdx.x + offset] : 0;
    __syncthreads();
    sums[threadIdx.x] += add;
    __syncthreads();
  }
  *value = threadIdx.x + 1 < kBlock ? sums[threadIdx.x + 1] : 0;
  const double whole = sums[0];
  __syncthreads();
  return whole;
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    tile_squares_kernel(const T* x, const int32_t* order, int64_t n, double* tiles) {
  const int64_t first = blockIdx.x * int64_t{kTile} + threadIdx.x * kEach;
  double sum = 0;
  for (int k = kEach - 1; k >= 0; --k)
    if (first + k < n) sum += square_of(x, order, first + k);
  const double whole = sum_behind(&sum);
  if (threadIdx.x == 0) tiles[blockIdx.x] = whole;
}

// Replaces each tile's sum by that of the tiles behind it; one block, from the last tiles to the first.
__global__ void __launch_bounds__(kBlock) sum_tiles_behind_kernel(double* tiles, int64_t count) {
  double carried = 0;
  for (int64_t last = (count - 1) / kBlock * kBlock; last >= 0; last -= kBlock) {
    const int64_t i = last + threadIdx.x;
    double value = i < count ? tiles[i] : 0;
    const double whole = sum_behind(&value);
    if (i < count) tiles[i] = carried + value;
    carried += whole;
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    lamp_kernel(const T* x, const int32_t* order, int64_t n, const double* behind_tile, T* y) {
  const int64_t first = blockIdx.x * int64_t{kTile} + threadIdx.x * kEach;
  double behind = 0;
  for (int k = kEach - 1; k >= 0; --k)
    if (first + k < n) behind += square_of(x, order, first + k);
  sum_behind(&behind);
  double sum = behind_tile[blockIdx.x] + behind;
  for (int k = kEach - 1; k >= 0; --k) {
    if (first + k >= n) continue;
    const double square = square_of(x, order, first + k);
    sum += square;
    y[order[first + k]] = square == 0 ? T{0} : isinf(square) ? T{1} : static_cast<T>(square / sum);
  }
}

template <class T>
void lamp_score(const T* x, int64_t n, T* y, int32_t source) {
  if (n == 0) return;
  const int64_t tiles = ceil_div(n, kTile);
  Temporary<int32_t> order(n);
  sort_by_magnitude(x, n, order.get(), source);
  Temporary<double> sums(tiles);
  const auto grid = static_cast<unsigned>(tiles);
  tile_squares_kernel<<<grid, kBlock, 0, stream()>>>(x, order.get(), n, sums.get());
  launched("tile_squares");
  sum_tiles_behind_kernel<<<1, kBlock, 0, stream()>>>(sums.get(), tiles);
  launched("sum_tiles_behind");
  lamp_kernel<<<grid, kBlock, 0, stream()>>>(x, order.get(), n, sums.get(), y);
  launched("lamp");
}

// ---- Distances -------------------------------------------------------------------------------------

// A block a row; a warp takes every eighth of the others, in their order.
template <class T>
__global__ void __launch_bounds__(kBlock) distance_sums_kernel(const T* x, int64_t rows, int64_t columns, T* y) {
  constexpr int kWarps = kBlock / 32;
  __shared__ double of_warp[kWarps];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* const own = x + row * columns;
    double sum = 0;
    for (int64_t other = warp; other < rows; other += kWarps) {
      const T* const theirs = x + other * columns;
      T squares = 0;
      for (int64_t i = lane; i < columns; i += 32) {
        const T d = own[i] - theirs[i];
        squares = fma(d, d, squares);
      }
      sum += static_cast<double>(sqrt(warp_reduce(squares, [](T a, T b) { return a + b; })));
    }
    if (lane == 0) of_warp[warp] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
      double all = 0;
      for (const double part : of_warp) all += part;
      y[row] = static_cast<T>(all);
    }
    __syncthreads();
  }
}

}  // namespace

espalier_status espalier_cuda_lamp_score(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 31) - 1);
    const int32_t source = fault_source("espalier_cuda_lamp_score");
    for_float("x", x.dtype, [&]<class T>(T) {
      lamp_score(elements<T>("x", x, x.length), x.length, elements<T>("y", y, x.length), source);
    });
  });
}

espalier_status espalier_cuda_distance_sums(espalier_in x, int64_t rows, int64_t columns, espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t n = checked_product("rows and columns", {rows, columns});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, n);
      T* const to = elements<T>("y", y, rows);
      if (rows == 0) return;
      distance_sums_kernel<<<static_cast<unsigned>(std::min<int64_t>(rows, int64_t{1} << 20)), kBlock, 0, stream()>>>(
          from, rows, columns, to);
      launched("distance_sums");
    });
  });
}
