// Kernels over arrays [outer, channels, inner] in which every channel has its own parameters, or its own sums:
// batch normalisation, quantisation.
#pragma once

#include "cuda/packs.cuh"

namespace espalier::cuda {

struct Channels {
  int64_t outer, channels, inner;
  __host__ __device__ int64_t size() const { return outer * channels * inner; }
};

// ---- Elementwise -----------------------------------------------------------------------------------

// Where an element lies: its channel, and its place along `inner`. Steps along the array without dividing.
struct Spot {
  int64_t channel, i;

  __device__ static Spot of(int64_t element, const Channels& shape) {
    const int64_t row = element / shape.inner;
    return {row % shape.channels, element - row * shape.inner};
  }
  // Forward by `step`, itself a spot, the element that many behind the first.
  __device__ void advance(const Spot& step, const Channels& shape) {
    i += step.i;
    channel += step.channel;
    if (i >= shape.inner) {
      i -= shape.inner;
      ++channel;
    }
    if (channel >= shape.channels) channel -= shape.channels;
  }
  __device__ bool next(const Channels& shape) {
    if (++i < shape.inner) return false;
    i = 0;
    if (++channel == shape.channels) channel = 0;
    return true;
  }
};

// Calls body(lane, parameters) for N elements that begin at `spot`, with the parameters of each one's channel.
template <int N, class Parameters, class Body>
__device__ __forceinline__ void by_channel(Spot spot, const Channels& shape, const Parameters* of_channel, Body body) {
  Parameters parameters = of_channel[spot.channel];
  if (spot.i + N <= shape.inner) {
#pragma unroll
    for (int lane = 0; lane < N; ++lane) body(lane, parameters);
    return;
  }
#pragma unroll
  for (int lane = 0; lane < N; ++lane) {
    body(lane, parameters);
    if (lane + 1 < N && spot.next(shape)) parameters = of_channel[spot.channel];
  }
}

template <int N, class Body>
__global__ void __launch_bounds__(kBlock) each_in_channels_kernel(Channels shape, Body body) {
  const int64_t thread = blockIdx.x * int64_t{kBlock} + threadIdx.x, threads = int64_t{gridDim.x} * kBlock;
  const int64_t n = shape.size(), packs = n / N;
  Spot spot = Spot::of(thread * N, shape);
  const Spot step = Spot::of(threads * N, shape);
  for (int64_t i = thread; i < packs; i += threads) {
    body.template at<N>(i * N, spot);
    spot.advance(step, shape);
  }
  if constexpr (N > 1)
    if (thread < n % N) body.template at<1>(packs * N + thread, Spot::of(packs * N + thread, shape));
}

// Calls body.at<count>(i, spot) for elements i … i + count, the first of them at `spot`.
template <int N, class Body>
void each_in_channels(const Channels& shape, bool packed, const char* name, const Body& body) {
  const int64_t n = shape.size();
  if (n <= 0) return;
  if (packed) each_in_channels_kernel<N><<<grid_for(ceil_div(n, N)), kBlock, 0, stream()>>>(shape, body);
  else each_in_channels_kernel<1><<<grid_for(n), kBlock, 0, stream()>>>(shape, body);
  launched(name);
}

// ---- Sums of each channel --------------------------------------------------------------------------
//
// What a pass gathers is a `Sums`: a plain struct that starts as all zeros, with merge(const Sums&). A block
// takes a share of one channel where its runs are long, of 32 neighbouring columns of [outer, channels·inner]
// where they are short; shares are merged in their order, so that the bits depend on the shape alone.
//
//   body.take<N, K>(sums, at, row, channel)   takes in K packs of N elements of the channel, that begin at
//                                             element at[k], in row[k] of outer

// Packs a thread reads at a time.
constexpr int kInFlight = 4;
// Runs shorter than this are taken by columns.
constexpr int64_t kShortRun = 32;

// Merges the sums of the block's threads, in shared memory, into those of thread 0 .. kKept − 1: thread t gets
// those of t, t + kKept, …
template <int kKept, class Sums>
__device__ void merge_block(Sums& sums) {
  __shared__ Sums of_thread[kBlock];
  of_thread[threadIdx.x] = sums;
  for (int half = kBlock / 2; half >= kKept; half /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < half) of_thread[threadIdx.x].merge(of_thread[threadIdx.x + half]);
  }
  sums = of_thread[threadIdx.x];
}

// Block split + splits · channel takes the packs of its share of a channel.
template <int N, class Sums, class Body>
__global__ void __launch_bounds__(kBlock) sum_runs_kernel(Channels shape, int64_t splits, Body body, Sums* parts) {
  const int64_t channel = blockIdx.x / splits, split = blockIdx.x % splits;
  const int64_t run = shape.inner / N, packs = shape.outer * run;
  const int64_t begin = packs * split / splits + threadIdx.x, end = packs * (split + 1) / splits;
  int64_t row = begin / run, i = begin - row * run;
  const int64_t row_step = kBlock / run, i_step = kBlock - row_step * run;
  int64_t at[kInFlight], rows[kInFlight];
  const auto next = [&](int k) {
    at[k] = (row * shape.channels + channel) * shape.inner + i * N;
    rows[k] = row;
    row += row_step;
    i += i_step;
    if (i >= run) {
      i -= run;
      ++row;
    }
  };
  Sums sums{};
  int64_t pack = begin;
  for (; pack + (kInFlight - 1) * kBlock < end; pack += kInFlight * kBlock) {
#pragma unroll
    for (int k = 0; k < kInFlight; ++k) next(k);
    body.template take<N, kInFlight>(sums, at, rows, channel);
  }
  for (; pack < end; pack += kBlock) {
    next(0);
    body.template take<N, 1>(sums, at, rows, channel);
  }
  merge_block<1>(sums);
  if (threadIdx.x == 0) parts[blockIdx.x] = sums;
}

// Block strip + strips · split takes a share of the rows of 32 columns.
template <class Sums, class Body>
__global__ void __launch_bounds__(kBlock)
    sum_columns_kernel(Channels shape, int64_t strips, int64_t splits, Body body, Sums* parts) {
  constexpr int kRows = kBlock / 32;
  const int64_t columns = shape.channels * shape.inner;
  const int64_t strip = blockIdx.x % strips, split = blockIdx.x / strips;
  const int64_t column = strip * 32 + threadIdx.x % 32;
  const int64_t end = shape.outer * (split + 1) / splits;
  Sums sums{};
  if (column < columns) {
    const int64_t channel = column / shape.inner;
    int64_t row = shape.outer * split / splits + threadIdx.x / 32;
    int64_t at[kInFlight], rows[kInFlight];
    for (; row + (kInFlight - 1) * kRows < end; row += kInFlight * kRows) {
#pragma unroll
      for (int k = 0; k < kInFlight; ++k) {
        rows[k] = row + k * kRows;
        at[k] = rows[k] * columns + column;
      }
      body.template take<1, kInFlight>(sums, at, rows, channel);
    }
    for (; row < end; row += kRows) {
      rows[0] = row;
      at[0] = row * columns + column;
      body.template take<1, 1>(sums, at, rows, channel);
    }
  }
  merge_block<32>(sums);
  if (threadIdx.x < 32 && column < columns) parts[split * columns + column] = sums;
}

// A warp a channel merges its parts, part j at channel·of_channel + j / inner · of_split + j % inner, and hands
// the whole to finish(channel, sums).
template <class Sums, class Finish>
__global__ void __launch_bounds__(32)
    finish_sums_kernel(int64_t channels, int64_t count, int64_t inner, int64_t of_channel, int64_t of_split,
                       const Sums* parts, Finish finish) {
  __shared__ Sums of_lane[32];
  for (int64_t channel = blockIdx.x; channel < channels; channel += gridDim.x) {
    Sums sums{};
    for (int64_t j = threadIdx.x; j < count; j += 32)
      sums.merge(parts[channel * of_channel + j / inner * of_split + j % inner]);
    of_lane[threadIdx.x] = sums;
    for (int half = 16; half > 0; half /= 2) {
      __syncwarp();
      if (static_cast<int>(threadIdx.x) < half) of_lane[threadIdx.x].merge(of_lane[threadIdx.x + half]);
    }
    __syncwarp();
    if (threadIdx.x == 0) finish(channel, of_lane[0]);
    __syncwarp();
  }
}

// Gathers the sums of every channel of a shape that is not empty and calls finish(channel, sums) on the device.
template <class Sums, int N, class Body, class Finish>
void sum_channels(const Channels& shape, bool packed, const char* name, const Body& body, const Finish& finish) {
  require_range("channels", shape.channels, int64_t{1}, (int64_t{1} << 31) - 1);  // a grid holds no more
  // Blocks enough to fill a large device several times, with enough for each to do.
  constexpr int64_t kBlocks = 4096, kWork = 4 * kInFlight;
  const auto finish_grid = static_cast<unsigned>(std::min<int64_t>(shape.channels, int64_t{1} << 20));
  if (shape.inner < kShortRun) {
    const int64_t columns = shape.channels * shape.inner, strips = ceil_div(columns, 32);
    const int64_t splits =
        std::clamp<int64_t>(ceil_div(shape.outer, kBlock / 32 * kWork), 1, std::max<int64_t>(1, kBlocks / strips));
    Temporary<Sums> parts(splits * columns);
    sum_columns_kernel<<<static_cast<unsigned>(strips * splits), kBlock, 0, stream()>>>(shape, strips, splits, body,
                                                                                        parts.get());
    launched(name);
    finish_sums_kernel<<<finish_grid, 32, 0, stream()>>>(shape.channels, splits * shape.inner, shape.inner, shape.inner,
                                                         columns, parts.get(), finish);
    return launched(name);
  }
  packed = packed && shape.inner % N == 0;
  const int64_t packs = shape.outer * shape.inner / (packed ? N : 1);
  const int64_t splits =
      std::clamp<int64_t>(ceil_div(packs, kBlock * kWork), 1, std::max<int64_t>(1, kBlocks / shape.channels));
  Temporary<Sums> parts(shape.channels * splits);
  const auto grid = static_cast<unsigned>(shape.channels * splits);
  if (packed) sum_runs_kernel<N><<<grid, kBlock, 0, stream()>>>(shape, splits, body, parts.get());
  else sum_runs_kernel<1><<<grid, kBlock, 0, stream()>>>(shape, splits, body, parts.get());
  launched(name);
  finish_sums_kernel<<<finish_grid, 32, 0, stream()>>>(shape.channels, splits, int64_t{1}, splits, int64_t{1},
                                                       parts.get(), finish);
  launched(name);
}

}  // namespace espalier::cuda
