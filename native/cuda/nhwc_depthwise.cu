#include "cuda/nhwc_depthwise.cuh"

namespace espalier::cuda::nhwc {
namespace {

using conv::Axis;

// Threads of a block: `across` eights of channels, and as many positions as that leaves.
struct Threads {
  int chunks, across;
  __device__ int chunk() const { return static_cast<int>(blockIdx.y) * across + column(); }
  __device__ int column() const { return threadIdx.x % across; }
  __device__ int lane() const { return threadIdx.x / across; }
  __device__ int lanes() const { return kBlock / across; }
};

Threads threads_of(int64_t channels, int most) {
  Threads threads{static_cast<int>(channels / kLanes), 1};
  while (threads.across < most && threads.across < threads.chunks) threads.across *= 2;
  return threads;
}

template <class T>
struct Task {
  const T* x;
  const T* weight;
  const T* bias;
  const T* add;
  T* y;
  bool relu;
  int64_t images;
  int32_t kernel_width, elements;
  Axis rows, columns;
  Threads threads;
};

template <class T>
__global__ __launch_bounds__(kBlock) void depthwise_kernel(const __grid_constant__ Task<T> task) {
  extern __shared__ float4 shared[];  // the weights [element][channel of the block], in float32
  float* const weights = reinterpret_cast<float*>(shared);
  const Threads& threads = task.threads;
  const int wide = threads.across * kLanes, channels = threads.chunks * kLanes;
  const int first_channel = static_cast<int>(blockIdx.y) * wide;
  for (int i = threadIdx.x; i < task.elements * wide; i += kBlock) {
    const int channel = first_channel + i % wide;
    weights[i] = channel < channels ? widen(task.weight[channel * task.elements + i / wide]) : 0.0f;
  }
  __syncthreads();
  if (threads.chunk() >= threads.chunks) return;

  const int a = blockIdx.z / task.columns.phases, b = blockIdx.z % task.columns.phases;
  const Axis::Phase &down = task.rows.phase[a], &across = task.columns.phase[b];
  const int64_t lattice_rows = task.rows.lattice(a), lattice_columns = task.columns.lattice(b);
  const int64_t lines = task.images * lattice_rows;
  const float* const of = weights + threads.column() * kLanes;
  // A block takes lines of the lattice, its lanes share them out.
  for (int64_t line = blockIdx.x; line < lines; line += gridDim.x) {
    const int64_t image = line / lattice_rows;
    const int32_t row = static_cast<int32_t>(line - image * lattice_rows);
    const int32_t h0 = row * task.rows.step + down.offset;
    const T* const from = task.x + image * task.rows.in * task.columns.in * channels;
    for (int32_t column = threads.lane(); column < lattice_columns; column += threads.lanes()) {
      const int32_t w0 = column * task.columns.step + across.offset;
      float sum[kLanes] = {};
      for (int p = 0; p < down.taps; ++p) {
        const int32_t h = h0 + p * task.rows.hop;
        if (h < 0 || h >= task.rows.in) continue;
        const int element = (down.element + p * task.rows.element_hop) * task.kernel_width + across.element;
        for (int q = 0; q < across.taps; ++q) {
          const int32_t w = w0 + q * task.columns.hop;
          if (w < 0 || w >= task.columns.in) continue;
          const Lanes<T> in = load_lanes(from, (int64_t{h} * task.columns.in + w) * threads.chunks + threads.chunk());
          const float* const by = of + (element + q * task.columns.element_hop) * wide;
#pragma unroll
          for (int e = 0; e < kLanes; ++e) sum[e] = fmaf(widen(in.at[e]), by[e], sum[e]);
        }
      }
      const int64_t at =
          ((image * task.rows.out + row * task.rows.phases + a) * task.columns.out + column * task.columns.phases + b) *
              threads.chunks +
          threads.chunk();
      Lanes<T> plus, out;
      if (task.add != nullptr) plus = load_lanes(task.add, at);
#pragma unroll
      for (int e = 0; e < kLanes; ++e) {
        if (task.bias != nullptr) sum[e] += widen(task.bias[threads.chunk() * kLanes + e]);
        if (task.add != nullptr) sum[e] += widen(plus.at[e]);
        out.at[e] = narrow<T>(task.relu && sum[e] < 0 ? 0.0f : sum[e]);
      }
      store_lanes(task.y, at, out);
    }
  }
}

template <class T>
void gather(Task<T> task, const espalier_conv2d& s) {
  task.images = s.n;
  task.kernel_width = static_cast<int32_t>(s.kernel_width);
  task.elements = static_cast<int32_t>(s.kernel_height * s.kernel_width);
  task.threads = threads_of(s.in_channels, 16);  // 49 taps of 128 channels are 25 KB
  const int64_t lines = s.n * task.rows.lattice(0);
  const int64_t down = ceil_div(task.threads.chunks, task.threads.across);
  const dim3 grid(static_cast<unsigned>(std::clamp<int64_t>(lines, 1, 32 * traits().multiprocessors)),
                  static_cast<unsigned>(down), static_cast<unsigned>(task.rows.phases * task.columns.phases));
  const size_t bytes = sizeof(float) * static_cast<size_t>(task.elements * task.threads.across * kLanes);
  depthwise_kernel<<<grid, kBlock, bytes, stream()>>>(task);
  launched("nhwc_depthwise");
}

// The sums of one kernel row (blockIdx.z) over a share of the lines of y (blockIdx.x).
template <class T, int kWidth>
__global__ __launch_bounds__(kBlock) void depthwise_weight_kernel(espalier_conv2d s, const T* x, const T* dy,
                                                                  float* partial, Threads threads) {
  __shared__ float of_thread[kBlock][kLanes + 1];
  float sum[kWidth][kLanes] = {};
  const int64_t lines = s.n * s.out_height;
  const int chunk = threads.chunk(), row_of = blockIdx.z;
  if (chunk < threads.chunks)
    for (int64_t line = blockIdx.x; line < lines; line += gridDim.x) {
      const int64_t image = line / s.out_height;
      const int64_t h = (line - image * s.out_height) * s.stride_height + row_of * s.dilation_height - s.padding_top;
      if (h < 0 || h >= s.in_height) continue;
      for (int32_t column = threads.lane(); column < s.out_width; column += threads.lanes()) {
        const Lanes<T> g = load_lanes(dy, (line * s.out_width + column) * threads.chunks + chunk);
#pragma unroll
        for (int q = 0; q < kWidth; ++q) {
          const int64_t w = column * s.stride_width + q * s.dilation_width - s.padding_left;
          if (w < 0 || w >= s.in_width) continue;
          const Lanes<T> in = load_lanes(x, ((image * s.in_height + h) * s.in_width + w) * threads.chunks + chunk);
#pragma unroll
          for (int e = 0; e < kLanes; ++e) sum[q][e] = fmaf(widen(g.at[e]), widen(in.at[e]), sum[q][e]);
        }
      }
    }
  // Lanes in their order.
  const int64_t elements = s.kernel_height * kWidth;
#pragma unroll
  for (int q = 0; q < kWidth; ++q) {
#pragma unroll
    for (int e = 0; e < kLanes; ++e) of_thread[threadIdx.x][e] = sum[q][e];
    __syncthreads();
    for (int i = threadIdx.x; i < threads.across * kLanes; i += kBlock) {
      const int channel = static_cast<int>(blockIdx.y) * threads.across * kLanes + i;
      if (channel >= threads.chunks * kLanes) continue;
      float all = 0;
      for (int lane = 0; lane < threads.lanes(); ++lane)
        all += of_thread[lane * threads.across + i / kLanes][i % kLanes];
      partial[(int64_t{blockIdx.x} * s.in_channels + channel) * elements + row_of * kWidth + q] = all;
    }
    __syncthreads();
  }
}

template <int kWidth, class T, class Out>
void weight_grad(const espalier_conv2d& s, const T* x, const T* dy, Out* dweight) {
  const Threads threads = threads_of(s.in_channels, 32);
  const int64_t down = ceil_div(threads.chunks, threads.across), count = s.in_channels * s.kernel_height * kWidth;
  const int64_t shares =
      std::clamp<int64_t>(ceil_div(16 * traits().multiprocessors, down * s.kernel_height), 1, s.n * s.out_height);
  const Temporary<float> partial(shares * count);
  const dim3 grid(static_cast<unsigned>(shares), static_cast<unsigned>(down), static_cast<unsigned>(s.kernel_height));
  depthwise_weight_kernel<T, kWidth><<<grid, kBlock, 0, stream()>>>(s, x, dy, partial.get(), threads);
  launched("nhwc_depthwise_weight");
  conv::add_depthwise_shares(partial.get(), shares, count, dweight);
}

}  // namespace

template <class T>
void lanes_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  Task<T> task{};
  task.x = x, task.weight = weight, task.bias = bias, task.y = y, task.relu = relu;
  task.rows =
      conv::forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  task.columns =
      conv::forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  gather(task, s);
}

template <class T>
void lanes_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* add, T* dx) {
  Task<T> task{};
  task.x = dy, task.weight = weight, task.add = add, task.y = dx;
  task.rows = conv::data_grad_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top,
                                   s.dilation_height);
  task.columns =
      conv::data_grad_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  gather(task, s);
}

template <class T, class Out>
void lanes_weight_grad(const espalier_conv2d& s, const T* x, const T* dy, Out* dweight) {
  switch (s.kernel_width) {
    case 1: return weight_grad<1>(s, x, dy, dweight);
    case 2: return weight_grad<2>(s, x, dy, dweight);
    case 3: return weight_grad<3>(s, x, dy, dweight);
    case 4: return weight_grad<4>(s, x, dy, dweight);
    case 5: return weight_grad<5>(s, x, dy, dweight);
    case 6: return weight_grad<6>(s, x, dy, dweight);
    default: return weight_grad<7>(s, x, dy, dweight);
  }
}

#define ESPALIER_DEPTHWISE(T)                                                                  \
  template void lanes_forward(const espalier_conv2d&, const T*, const T*, const T*, bool, T*); \
  template void lanes_data_grad(const espalier_conv2d&, const T*, const T*, const T*, T*);     \
  template void lanes_weight_grad(const espalier_conv2d&, const T*, const T*, T*);
ESPALIER_DEPTHWISE(float)
ESPALIER_DEPTHWISE(__half)
ESPALIER_DEPTHWISE(__nv_bfloat16)
#undef ESPALIER_DEPTHWISE
template void lanes_weight_grad(const espalier_conv2d&, const __half*, const __half*, float*);
template void lanes_weight_grad(const espalier_conv2d&, const __nv_bfloat16*, const __nv_bfloat16*, float*);

}  // namespace espalier::cuda::nhwc
