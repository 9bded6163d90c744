#include "cuda/lines.h"

#include "cuda/divider.h"
#include "cuda/map.cuh"
#include "cuda/sort.h"

namespace espalier::cuda {
namespace {

// ---- Reading --------------------------------------------------------------------------------------

// E is as much of a line as one access moves; `line` counts these.
template <class E>
__global__ void __launch_bounds__(kBlock) take_kernel(int64_t total, int64_t n, Divider line, Divider count, const E* x,
                                                      const int32_t* indices, E* y, Fault* faults, int32_t function) {
  constexpr int kDepth = 4;
  const int64_t step = int64_t{gridDim.x} * (kBlock * kDepth);
  for (int64_t tile = int64_t{blockIdx.x} * (kBlock * kDepth) + threadIdx.x; tile < total; tile += step) {
    E moved[kDepth];
    bool inside[kDepth];
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const int64_t i = tile + d * kBlock;
      inside[d] = i < total;
      if (!inside[d]) break;
      int64_t at, which;
      const int64_t o = count.split(line.split(i, at), which);
      const int32_t from = indices[which];
      if (from < 0 || from >= n) {
        raise_fault(faults, FaultKind::kIndexOutOfRange, function, from);
        inside[d] = false;
      } else {
        moved[d] = x[(o * n + from) * line.divisor() + at];
      }
    }
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      if (tile + d * kBlock >= total) break;
      if (inside[d]) y[tile + d * kBlock] = moved[d];
    }
  }
}

template <class E>
void take_as(const char* function, int64_t outer, int64_t n, int64_t line_bytes, const void* x, const int32_t* indices,
             int64_t count, void* y) {
  const int64_t line = line_bytes / int64_t{sizeof(E)}, total = outer * count * line;
  const int64_t blocks = std::min<int64_t>(ceil_div(total, 4 * kBlock), INT32_MAX);
  take_kernel<<<static_cast<unsigned>(blocks), kBlock, 0, stream()>>>(
      total, n, Divider(line), Divider(count), static_cast<const E*>(x), indices, static_cast<E*>(y), faults(),
      fault_source(function));
  launched("take");
}

// ---- Adding ---------------------------------------------------------------------------------------

// The first of `count` sorted keys that is not below `key`.
__device__ int64_t lower_bound(const int32_t* sorted, int64_t count, int64_t key) {
  int64_t low = 0;
  while (low < count) {
    const int64_t middle = (low + count) / 2;
    if (sorted[middle] < key) low = middle + 1;
    else count = middle;
  }
  return low;
}

// begins[r] = where the items of line r begin among the sorted ones, for r up to n. What lies behind n's are
// the indices out of range.
__global__ void segments_kernel(const int32_t* indices, const int32_t* sorted, const int32_t* order, int64_t count,
                                int64_t n, int32_t* begins, Fault* faults, int32_t function) {
  for (int64_t r = blockIdx.x * int64_t{kBlock} + threadIdx.x; r <= n; r += int64_t{gridDim.x} * kBlock) {
    const int64_t begin = lower_bound(sorted, count, r);
    begins[r] = static_cast<int32_t>(begin);
    if (r == n && begin < count) raise_fault(faults, FaultKind::kIndexOutOfRange, function, indices[order[begin]]);
  }
}

// Short lines: a thread an element.
template <class T>
__global__ void __launch_bounds__(kBlock)
    add_short_kernel(int64_t total, Divider inner, Divider n, const T* x, const int32_t* order, const int32_t* begins,
                     int64_t count, int64_t skipped, T* y) {
  for (int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x; i < total; i += int64_t{gridDim.x} * kBlock) {
    int64_t j, r;
    const int64_t o = n.split(inner.split(i, j), r);
    const T* const from = x + o * count * inner.divisor() + j;
    wide_t<T> sum = 0;
    if (r != skipped)
      for (int32_t k = begins[r]; k < begins[r + 1]; ++k) sum += widen(from[order[k] * inner.divisor()]);
    y[i] = narrow<T>(sum);
  }
}

// Long lines: a warp a line, N columns a lane. A line that many items meet in is shared by the block's warps:
// each adds a run of the items, and the runs are added in their order.
constexpr int kWarps = kBlock / 32;
constexpr int kMany = 64;

template <int N, class T>
__device__ __forceinline__ void add_run(const T* x, const int32_t* order, int32_t begin, int32_t end, int64_t inner,
                                        wide_t<T> (&sums)[N]) {
#pragma unroll
  for (int k = 0; k < N; ++k) sums[k] = 0;
#pragma unroll 4
  for (int32_t i = begin; i < end; ++i) {
    const Pack<T, N> read = load_pack<T, N>(x + order[i] * inner);
#pragma unroll
    for (int k = 0; k < N; ++k) sums[k] += widen(read.at[k]);
  }
}

template <int N, class T>
__device__ __forceinline__ void write_sums(T* y, const wide_t<T> (&sums)[N]) {
  Pack<T, N> result;
#pragma unroll
  for (int k = 0; k < N; ++k) result.at[k] = narrow<T>(sums[k]);
  store_pack<T, N>(y, result);
}

template <int N, class T>
__global__ void __launch_bounds__(kBlock)
    add_long_kernel(int64_t lines, Divider n, int64_t inner, const T* x, const int32_t* order, const int32_t* begins,
                    int64_t count, int64_t skipped, T* y) {
  __shared__ wide_t<T> parts[kWarps][32 * N];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  wide_t<T> sums[N];
  for (int64_t first = int64_t{blockIdx.x} * kWarps; first < lines; first += int64_t{gridDim.x} * kWarps) {
    for (int w = 0; w < kWarps && first + w < lines; ++w) {
      int64_t r;
      const int64_t o = n.split(first + w, r);
      const int32_t begin = begins[r], end = r == skipped ? begin : begins[r + 1];
      const T* const from = x + o * count * inner;
      T* const to = y + (first + w) * inner;
      if (end - begin <= kMany) {
        if (w != warp) continue;
        for (int64_t j = lane * N; j < inner; j += 32 * N) {
          add_run<N>(from + j, order, begin, end, inner, sums);
          write_sums<N>(to + j, sums);
        }
        continue;
      }
      const int32_t share = (end - begin + kWarps - 1) / kWarps;
      const int32_t mine = min(begin + warp * share, end), stop = min(mine + share, end);
      for (int64_t j = lane * N; j - lane * N < inner; j += 32 * N) {
        if (j < inner) add_run<N>(from + j, order, mine, stop, inner, sums);
#pragma unroll
        for (int k = 0; k < N; ++k) parts[warp][lane * N + k] = sums[k];
        __syncthreads();
        if (warp == 0 && j < inner) {
#pragma unroll
          for (int k = 0; k < N; ++k) {
            sums[k] = parts[0][lane * N + k];
            for (int p = 1; p < kWarps; ++p) sums[k] += parts[p][lane * N + k];
          }
          write_sums<N>(to + j, sums);
        }
        __syncthreads();
      }
    }
  }
}

template <int N, class T>
void add_long(int64_t outer, int64_t n, int64_t inner, const T* x, const int32_t* order, const int32_t* begins,
              int64_t count, int64_t skipped, T* y) {
  const int64_t blocks = std::min<int64_t>(ceil_div(outer * n, kWarps), INT32_MAX);
  add_long_kernel<N><<<static_cast<unsigned>(blocks), kBlock, 0, stream()>>>(outer * n, Divider(n), inner, x, order,
                                                                             begins, count, skipped, y);
  launched("adding lines");
}

}  // namespace

void take_lines(const char* function, int64_t outer, int64_t n, int64_t line_bytes, const void* x,
                const int32_t* indices, int64_t count, void* y) {
  if (outer * count * line_bytes == 0) return;
  const uint64_t meet =
      static_cast<uint64_t>(line_bytes) | reinterpret_cast<uintptr_t>(x) | reinterpret_cast<uintptr_t>(y);
  const auto take = meet % 16 == 0  ? take_as<int4>
                    : meet % 8 == 0 ? take_as<int2>
                    : meet % 4 == 0 ? take_as<int32_t>
                    : meet % 2 == 0 ? take_as<int16_t>
                                    : take_as<int8_t>;
  take(function, outer, n, line_bytes, x, indices, count, y);
}

template <class T>
void add_lines(const char* function, int64_t outer, int64_t n, int64_t inner, const T* x, const int32_t* indices,
               int64_t count, int64_t skipped, T* y) {
  require_range("number of indices", count, int64_t{0}, int64_t{INT32_MAX});
  require_range("number of lines", n, int64_t{0}, int64_t{INT32_MAX - 1});
  const int64_t total = outer * n * inner;
  if (total == 0) return;
  const Temporary<int32_t> sorted(count), order(count), begins(n + 1);
  sort_by_key(indices, count, n, sorted, order);
  segments_kernel<<<grid_for(n + 1), kBlock, 0, stream()>>>(indices, sorted.get(), order.get(), count, n, begins.get(),
                                                            faults(), fault_source(function));
  launched("adding lines");
  constexpr int N = kPack<T>;
  if (inner < 32) {
    add_short_kernel<<<grid_for(total), kBlock, 0, stream()>>>(total, Divider(inner), Divider(n), x, order.get(),
                                                               begins.get(), count, skipped, y);
    launched("adding lines");
  } else if (inner % N == 0 && aligned_for(x, N) && aligned_for(y, N)) {
    add_long<N>(outer, n, inner, x, order, begins, count, skipped, y);
  } else {
    add_long<1>(outer, n, inner, x, order, begins, count, skipped, y);
  }
}

#define ESPALIER_ADD_LINES(T) \
  template void add_lines(const char*, int64_t, int64_t, int64_t, const T*, const int32_t*, int64_t, int64_t, T*);
ESPALIER_ADD_LINES(float)
ESPALIER_ADD_LINES(double)
ESPALIER_ADD_LINES(__half)
ESPALIER_ADD_LINES(__nv_bfloat16)
#undef ESPALIER_ADD_LINES

}  // namespace espalier::cuda
