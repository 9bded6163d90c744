// How a tile of a gathering product gets from the threads' registers to y.
#pragma once

#include "cuda/conv_gather.cuh"

namespace espalier::cuda::conv {

template <class T, class Out>
__device__ int64_t place_in_y(const GatherProduct<T, Out>& product, int64_t image, int64_t position) {
  const int64_t plane = int64_t{product.rows.out} * product.columns.out;
  const int64_t channels = int64_t{product.groups} * product.width;
  return product.channels_last ? (image * plane + position) * channels : image * channels * plane + position;
}

// The mean and the squares of each column of a staged tile, by all threads.
template <int kColumns>
__device__ void tile_moments(const float* stage, int pitch, int rows, float* scratch, Moments* to, int columns) {
  constexpr int kParts = kThreads / kColumns;
  const int column = threadIdx.x % kColumns, part = threadIdx.x / kColumns;
  float sum = 0, squares = 0;
  for (int i = part; i < rows; i += kParts) sum += stage[i * pitch + column];
  scratch[threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
#pragma unroll
  for (int i = 0; i < kParts; ++i) sum += scratch[i * kColumns + column];
  const float mean = sum / static_cast<float>(rows);
  __syncthreads();
  for (int i = part; i < rows; i += kParts) {
    const float off = stage[i * pitch + column] - mean;
    squares = fmaf(off, off, squares);
  }
  scratch[threadIdx.x] = squares;
  __syncthreads();
  if (part != 0 || column >= columns) return;
  squares = 0;
#pragma unroll
  for (int i = 0; i < kParts; ++i) squares += scratch[i * kColumns + column];
  to[column] = {mean, squares};
}

// Bytes of shared memory that store_tile works in: the tile as float32, where its rows go, a value a thread.
template <int kRows, int kColumns>
constexpr int kStoreBytes = kRows*(kColumns + 4) * 4 + kRows * 8 + kThreads * 4;

// By all threads, once nothing in `shared` is needed any more (and a barrier has said so). Thread i brings where row i
// goes in y, −1 for a row past the last; the tile begins at row `first` of `count`, and at channel `first_channel`,
// of which it has `columns`.
template <int kRows, int kColumns, class T, class Out, class Engine>
__device__ void store_tile(const GatherProduct<T, Out>& product, const Engine& engine, unsigned char* shared,
                           int64_t row_of_thread, int32_t first, int32_t count, int first_channel, int columns) {
  // Through shared memory, so that neighbouring threads write neighbouring elements.
  float* const stage = reinterpret_cast<float*>(shared);
  int64_t* const y_from = reinterpret_cast<int64_t*>(shared + kRows * (kColumns + 4) * 4);
  float* const scratch = reinterpret_cast<float*>(y_from + kRows);
  const int pitch = product.channels_last ? kColumns + 4 : kColumns + 1;
  if (threadIdx.x < kRows) y_from[threadIdx.x] = row_of_thread;
  engine.each([&](int row, int column, auto... values) {
    int at = row * pitch + column;
    ((stage[at++] = values), ...);
  });
  __syncthreads();

  const int64_t channel_pitch = product.channels_last ? 1 : int64_t{product.rows.out} * product.columns.out;
  // Values of `kWide` neighbouring channels; y is what is stored, and what moments are taken of.
  const auto finish = [&](float* value, const Out* add, int column, Out* y, int wide) {
#pragma unroll
    for (int e = 0; e < wide; ++e) {
      float sum = value[e];
      if (product.bias != nullptr) sum += static_cast<float>(product.bias[first_channel + column + e]);
      if (product.add != nullptr) sum += static_cast<float>(add[e]);
      if (product.relu) sum = sum < 0 ? 0.0f : sum;
      y[e] = static_cast<Out>(sum);
      if (product.moments != nullptr) value[e] = static_cast<float>(y[e]);
    }
  };
  constexpr int kWide = 16 / static_cast<int>(sizeof(Out));
  if (product.channels_last && product.groups * product.width % kWide == 0 && first_channel % kWide == 0 &&
      columns % kWide == 0) {
    for (int i = threadIdx.x; i < kRows * (kColumns / kWide); i += kThreads) {
      const int row = i / (kColumns / kWide), column = i % (kColumns / kWide) * kWide;
      if (y_from[row] < 0 || column >= columns) continue;
      const int64_t at = y_from[row] + first_channel + column;
      Pack<Out, kWide> add, y;
      if (product.add != nullptr) add = *reinterpret_cast<const Pack<Out, kWide>*>(product.add + at);
      finish(stage + row * pitch + column, add.at, column, y.at, kWide);
      *reinterpret_cast<Pack<Out, kWide>*>(product.y + at) = y;
    }
  } else {
    for (int i = threadIdx.x; i < kRows * kColumns; i += kThreads) {
      const int row = product.channels_last ? i / kColumns : i % kRows;
      const int column = product.channels_last ? i % kColumns : i / kRows;
      if (y_from[row] < 0 || column >= columns) continue;
      const int64_t at = y_from[row] + (first_channel + column) * channel_pitch;
      Out y;
      finish(stage + row * pitch + column, product.add + at, column, &y, 1);
      product.y[at] = y;
    }
  }
  if (product.moments == nullptr) return;
  __syncthreads();
  // A line of moments for every kGatherRows rows.
  for (int row = 0; row < kRows && first + row < count; row += kGatherRows) {
    Moments* const to = product.moments + (int64_t{first + row} / kGatherRows) * product.groups * product.width;
    tile_moments<kColumns>(stage + row * pitch, pitch, min(kGatherRows, count - first - row), scratch,
                           to + first_channel, columns);
    __syncthreads();
  }
}

}  // namespace espalier::cuda::conv
