#include "cuda/conv_depthwise.cuh"

namespace espalier::cuda::conv {
namespace {

constexpr int kSharedBytes = 48 << 10;
constexpr int kTileRows = 32, kTileColumns = 64, kAtOnce = 4;

// Forward and the gradient for the data, both as a gathering along two axes (conv_plan.cuh).
template <class T>
struct Task {
  const T* x;
  const T* weight;
  const T* bias;
  T* y;
  bool relu;
  int64_t planes;
  int32_t channels, kernel_height, kernel_width;
  Axis rows, columns;
  int32_t together;                 // planes a block
  int32_t tile_rows, tile_columns;  // of a lattice of y
  int32_t in_rows, in_columns;      // what such a tile reads at most
  int32_t tiles_down, tiles_across;
};

template <class T>
__global__ __launch_bounds__(kBlock) void depthwise_kernel(const __grid_constant__ Task<T> task) {
  extern __shared__ unsigned char shared[];
  T* const tile = reinterpret_cast<T*>(shared);
  const int a = blockIdx.z / task.columns.phases, b = blockIdx.z % task.columns.phases;
  const Axis::Phase &down = task.rows.phase[a], &across = task.columns.phase[b];
  const int in_plane = task.in_rows * task.in_columns, out_plane = task.tile_rows * task.tile_columns;
  const int64_t first_plane = int64_t{blockIdx.x} * task.together;
  const int planes = static_cast<int>(min(int64_t{task.together}, task.planes - first_plane));
  const int row0 = static_cast<int>(blockIdx.y) / task.tiles_across * task.tile_rows;
  const int column0 = static_cast<int>(blockIdx.y) % task.tiles_across * task.tile_columns;
  // The first row and column that any tap reads.
  const int low_row = row0 * task.rows.step + down.offset + min(0, (down.taps - 1) * task.rows.hop);
  const int low_column = column0 * task.columns.step + across.offset + min(0, (across.taps - 1) * task.columns.hop);

  for (int i = threadIdx.x; i < planes * in_plane; i += kBlock) {
    const int plane = i / in_plane, row = i % in_plane / task.in_columns, column = i % task.in_columns;
    const int h = low_row + row, w = low_column + column;
    T value{};
    if (h >= 0 && h < task.rows.in && w >= 0 && w < task.columns.in)
      value = task.x[((first_plane + plane) * task.rows.in + h) * task.columns.in + w];
    tile[i] = value;
  }
  __syncthreads();

  const int lattice_rows = task.rows.lattice(a), lattice_columns = task.columns.lattice(b);
  for (int i0 = threadIdx.x; i0 < planes * out_plane; i0 += kBlock * kAtOnce) {
    wide_t<T> sum[kAtOnce];
    const T* from[kAtOnce];
    const T* by[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int i = min(i0 + k * kBlock, planes * out_plane - 1);
      const int plane = i / out_plane, row = i % out_plane / task.tile_columns, column = i % task.tile_columns;
      const int channel = static_cast<int>((first_plane + plane) % task.channels);
      sum[k] = task.bias != nullptr ? widen(task.bias[channel]) : wide_t<T>{0};
      from[k] = tile + plane * in_plane + ((row0 + row) * task.rows.step + down.offset - low_row) * task.in_columns +
                (column0 + column) * task.columns.step + across.offset - low_column;
      by[k] = task.weight + channel * task.kernel_height * task.kernel_width;
    }
    for (int p = 0; p < down.taps; ++p)
      for (int q = 0; q < across.taps; ++q) {
        const int tap = p * task.rows.hop * task.in_columns + q * task.columns.hop;
        const int element = (down.element + p * task.rows.element_hop) * task.kernel_width + across.element +
                            q * task.columns.element_hop;
#pragma unroll
        for (int k = 0; k < kAtOnce; ++k) sum[k] += widen(from[k][tap]) * widen(by[k][element]);
      }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const int i = i0 + k * kBlock;
      const int plane = i / out_plane, row = row0 + i % out_plane / task.tile_columns;
      const int column = column0 + i % task.tile_columns;
      if (i >= planes * out_plane || row >= lattice_rows || column >= lattice_columns) continue;
      task.y[((first_plane + plane) * task.rows.out + row * task.rows.phases + a) * task.columns.out +
             column * task.columns.phases + b] = narrow<T>(task.relu && sum[k] < 0 ? wide_t<T>{0} : sum[k]);
    }
  }
}

// How many positions a tile of so many outputs reads along an axis, at most.
int32_t reach(const Axis& axis, int32_t outputs) {
  int32_t taps = 0;
  for (int a = 0; a < axis.phases; ++a) taps = std::max(taps, axis.phase[a].taps);
  return (outputs - 1) * axis.step + std::max(taps - 1, 0) * std::abs(axis.hop) + 1;
}

template <class T>
bool gather(Task<T> task) {
  task.tile_rows = std::min(kTileRows, task.rows.lattice(0));
  task.tile_columns = std::min(kTileColumns, task.columns.lattice(0));
  task.in_rows = reach(task.rows, task.tile_rows), task.in_columns = reach(task.columns, task.tile_columns);
  const int64_t bytes = int64_t{task.in_rows} * task.in_columns * int64_t{sizeof(T)};
  if (bytes > kSharedBytes) return false;
  const int64_t fill = ceil_div(kBlock * kAtOnce, task.tile_rows * task.tile_columns);
  task.together = static_cast<int32_t>(std::min({fill, kSharedBytes / bytes, task.planes}));
  task.tiles_down = static_cast<int32_t>(ceil_div(task.rows.lattice(0), task.tile_rows));
  task.tiles_across = static_cast<int32_t>(ceil_div(task.columns.lattice(0), task.tile_columns));
  const int64_t blocks = ceil_div(task.planes, task.together), tiles = int64_t{task.tiles_down} * task.tiles_across;
  if (blocks >= int64_t{1} << 31 || tiles > 65535) return false;
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(tiles),
                  static_cast<unsigned>(task.rows.phases * task.columns.phases));
  depthwise_kernel<<<grid, kBlock, static_cast<size_t>(bytes * task.together), stream()>>>(task);
  launched("conv_depthwise");
  return true;
}

template <class T>
Task<T> task_of(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  Task<T> task{};
  task.x = x, task.weight = weight, task.bias = bias, task.y = y, task.relu = relu;
  task.planes = s.n * s.in_channels, task.channels = static_cast<int32_t>(s.in_channels);
  task.kernel_height = static_cast<int32_t>(s.kernel_height), task.kernel_width = static_cast<int32_t>(s.kernel_width);
  return task;
}

// A channel, and every gridDim.y-th image, a block: its sums go to partial [gridDim.y, channels, kKernel²].
template <class T, int kKernel>
__global__ __launch_bounds__(kBlock) void depthwise_weight_kernel(espalier_conv2d s, const T* x, const T* dy,
                                                                  float* partial) {
  extern __shared__ unsigned char shared[];
  T* const plane = reinterpret_cast<T*>(shared);
  const int in_height = static_cast<int>(s.in_height), in_width = static_cast<int>(s.in_width);
  const int in = in_height * in_width, width = static_cast<int>(s.out_width),
            out = static_cast<int>(s.out_height) * width;
  const int channel = blockIdx.x;
  float sum[kKernel * kKernel] = {};
  for (int64_t image = blockIdx.y; image < s.n; image += gridDim.y) {
    const T* const from = x + (image * s.in_channels + channel) * in;
    for (int i = threadIdx.x; i < in; i += kBlock) plane[i] = from[i];
    __syncthreads();
    const T* const of = dy + (image * s.in_channels + channel) * out;
    for (int i = threadIdx.x; i < out; i += kBlock) {
      const float g = widen(of[i]);
      const int h = i / width * static_cast<int>(s.stride_height) - static_cast<int>(s.padding_top);
      const int w = i % width * static_cast<int>(s.stride_width) - static_cast<int>(s.padding_left);
#pragma unroll
      for (int p = 0; p < kKernel; ++p) {
        const int row = h + p * static_cast<int>(s.dilation_height);
#pragma unroll
        for (int q = 0; q < kKernel; ++q) {
          const int column = w + q * static_cast<int>(s.dilation_width);
          if (row >= 0 && row < in_height && column >= 0 && column < in_width)
            sum[p * kKernel + q] = fmaf(g, widen(plane[row * in_width + column]), sum[p * kKernel + q]);
        }
      }
    }
    __syncthreads();
  }
  __shared__ float of_warp[kBlock / 32][kKernel * kKernel];
#pragma unroll
  for (int i = 0; i < kKernel * kKernel; ++i) {
    const float all = warp_reduce(sum[i], [](float a, float b) { return a + b; });
    if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32][i] = all;
  }
  __syncthreads();
  if (threadIdx.x >= kKernel * kKernel) return;
  float all = 0;
  for (int w = 0; w < kBlock / 32; ++w) all += of_warp[w][threadIdx.x];
  partial[(int64_t{blockIdx.y} * gridDim.x + channel) * kKernel * kKernel + threadIdx.x] = all;
}

template <int kKernel, class T, class Out>
bool weight_grad(const espalier_conv2d& s, const T* x, const T* dy, Out* dweight) {
  const int64_t bytes = s.in_height * s.in_width * int64_t{sizeof(T)};
  if (bytes > kSharedBytes - 8 * kKernel * kKernel * 4) return false;
  const int64_t count = s.in_channels * kKernel * kKernel;
  const int64_t shares =
      std::clamp<int64_t>(ceil_div(8 * traits().multiprocessors, s.in_channels), 1, std::min<int64_t>(s.n, 65535));
  const Temporary<float> partial(shares * count);
  const dim3 grid(static_cast<unsigned>(s.in_channels), static_cast<unsigned>(shares));
  depthwise_weight_kernel<T, kKernel><<<grid, kBlock, static_cast<size_t>(bytes), stream()>>>(s, x, dy, partial.get());
  launched("conv_depthwise_weight");
  add_depthwise_shares(partial.get(), shares, count, dweight);
  return true;
}

}  // namespace

template <class T>
bool depthwise_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  Task<T> task = task_of(s, x, weight, bias, relu, y);
  task.rows =
      forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  task.columns =
      forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  return gather(task);
}

template <class T>
bool depthwise_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* bias, T* dx) {
  Task<T> task = task_of(s, dy, weight, bias, false, dx);
  task.rows =
      data_grad_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  task.columns =
      data_grad_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  return gather(task);
}

template <class T, class Out>
bool depthwise_weight_grad(const espalier_conv2d& s, const T* x, const T* dy, Out* dweight) {
  if (s.kernel_height != s.kernel_width) return false;
  switch (s.kernel_height) {
    case 3: return weight_grad<3>(s, x, dy, dweight);
    case 5: return weight_grad<5>(s, x, dy, dweight);
    case 7: return weight_grad<7>(s, x, dy, dweight);
    default: return false;
  }
}

#define ESPALIER_DEPTHWISE(T)                                                                      \
  template bool depthwise_forward(const espalier_conv2d&, const T*, const T*, const T*, bool, T*); \
  template bool depthwise_data_grad(const espalier_conv2d&, const T*, const T*, const T*, T*);     \
  template bool depthwise_weight_grad(const espalier_conv2d&, const T*, const T*, T*);
ESPALIER_DEPTHWISE(float)
ESPALIER_DEPTHWISE(__half)
ESPALIER_DEPTHWISE(__nv_bfloat16)
#undef ESPALIER_DEPTHWISE
template bool depthwise_weight_grad(const espalier_conv2d&, const __half*, const __half*, float*);
template bool depthwise_weight_grad(const espalier_conv2d&, const __nv_bfloat16*, const __nv_bfloat16*, float*);

}  // namespace espalier::cuda::conv
