#include "cuda/nhwc_statistics.cuh"

namespace espalier::cuda::nhwc {
namespace {

// Moments of each 128 rows, where no convolution left them: a thread a channel and tile.
template <class T>
__global__ __launch_bounds__(kBlock) void moments_kernel(const T* x, Moments* moments, espalier_nhwc shape) {
  const int64_t tiles = (shape.rows + kMomentRows - 1) / kMomentRows;
  for (int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x; i < tiles * shape.channels;
       i += int64_t{gridDim.x} * kBlock) {
    const int64_t tile = i / shape.channels, channel = i % shape.channels;
    const int rows = static_cast<int>(min(int64_t{kMomentRows}, shape.rows - tile * kMomentRows));
    const T* const from = x + tile * kMomentRows * shape.channels + channel;
    float sum = 0, squares = 0;
    for (int r = 0; r < rows; ++r) sum += widen(from[r * shape.channels]);
    const float mean = sum / static_cast<float>(rows);
    for (int r = 0; r < rows; ++r) {
      const float off = widen(from[r * shape.channels]) - mean;
      squares = fmaf(off, off, squares);
    }
    moments[i] = {mean, squares};
  }
}

// Sums of a channel over tiles: rows · mean, and squares + rows · mean². In double, where their difference is safe.
constexpr int kMomentShares = 64;
struct Sums {
  double first, second;
};
__global__ __launch_bounds__(kBlock) void moment_sums_kernel(const Moments* moments, Sums* sums, espalier_nhwc shape) {
  __shared__ Sums of_lane[kBlock / 32][32];
  const int64_t tiles = (shape.rows + kMomentRows - 1) / kMomentRows;
  const int64_t channel = blockIdx.x * 32 + threadIdx.x % 32;
  const int lane = threadIdx.x / 32;
  Sums sum{0, 0};
  if (channel < shape.channels)
    for (int64_t t = blockIdx.y * (kBlock / 32) + lane; t < tiles; t += gridDim.y * (kBlock / 32)) {
      const Moments m = moments[t * shape.channels + channel];
      const double rows = static_cast<double>(min(int64_t{kMomentRows}, shape.rows - t * kMomentRows));
      sum.first += rows * m.mean;
      sum.second += m.squares + rows * m.mean * m.mean;
    }
  of_lane[lane][threadIdx.x % 32] = sum;
  __syncthreads();
  if (lane != 0 || channel >= shape.channels) return;
  for (int i = 1; i < kBlock / 32; ++i) {
    sum.first += of_lane[i][threadIdx.x].first;
    sum.second += of_lane[i][threadIdx.x].second;
  }
  sums[blockIdx.y * shape.channels + channel] = sum;
}

// A warp a channel adds the shares, and does what is said of take_statistics.
__global__ __launch_bounds__(kBlock) void statistics_kernel(const Sums* sums, int shares, Statistics s, Affine* affine,
                                                            espalier_nhwc shape) {
  const int64_t channel = blockIdx.x * int64_t{kBlock / 32} + threadIdx.x / 32;
  if (channel >= shape.channels) return;
  double first = 0, second = 0;
  for (int i = threadIdx.x % 32; i < shares; i += 32) {
    first += sums[i * shape.channels + channel].first;
    second += sums[i * shape.channels + channel].second;
  }
  const auto plus = [](double a, double b) { return a + b; };
  first = warp_reduce(first, plus), second = warp_reduce(second, plus);
  if (threadIdx.x % 32 != 0) return;
  const double n = static_cast<double>(shape.rows), mean = first / n, var = max(second / n - mean * mean, 0.0);
  const float scale = static_cast<float>(1 / sqrt(var + s.eps));
  const float w = s.weight != nullptr ? s.weight[channel] : 1, b = s.bias != nullptr ? s.bias[channel] : 0;
  s.mean[channel] = static_cast<float>(mean);
  s.scale[channel] = scale;
  affine[channel] = {w * scale, static_cast<float>(b - mean * (double{w} * scale))};
  const auto follow = [&](float* running, double value) {
    if (running != nullptr)
      running[channel] = static_cast<float>((1 - s.momentum) * running[channel] + s.momentum * value);
  };
  follow(s.running_mean, mean);
  follow(s.running_var, var * n / (n - 1));
}

// A warp a channel: the gradients of its parameters, and how dx is made of g and x.
__global__ __launch_bounds__(kBlock) void finish_gradient_kernel(const float2* sums, int64_t blocks,
                                                                 const float* weight, const float* mean,
                                                                 const float* scale, float* dweight, float* dbias,
                                                                 Blend* blend, espalier_nhwc shape) {
  const int64_t channel = blockIdx.x * int64_t{kBlock / 32} + threadIdx.x / 32;
  if (channel >= shape.channels) return;
  double first = 0, second = 0;
  for (int64_t i = threadIdx.x % 32; i < blocks; i += 32) {
    first += sums[i * shape.channels + channel].x;
    second += sums[i * shape.channels + channel].y;
  }
  const auto plus = [](double a, double b) { return a + b; };
  first = warp_reduce(first, plus), second = warp_reduce(second, plus);
  if (threadIdx.x % 32 != 0) return;
  const double n = static_cast<double>(shape.rows), s = scale[channel], w = weight != nullptr ? weight[channel] : 1.0f;
  const double of_x = -w * s * s * s * second / n;
  if (dweight != nullptr) dweight[channel] = static_cast<float>(second * s);
  if (dbias != nullptr) dbias[channel] = static_cast<float>(first);
  blend[channel] = {static_cast<float>(w * s), static_cast<float>(of_x),
                    static_cast<float>(-w * s * first / n - of_x * mean[channel])};
}

unsigned warps_for(int64_t channels) { return static_cast<unsigned>(ceil_div(channels, kBlock / 32)); }

}  // namespace

template <class T>
void describe(const T* x, Moments* moments, const espalier_nhwc& shape) {
  moments_kernel<<<grid_for(moments_length(shape) / 2), kBlock, 0, stream()>>>(x, moments, shape);
  launched("nhwc_moments");
}

template <class T>
void take_statistics(const espalier_nhwc& shape, const T* x, const Moments* moments, const Statistics& statistics,
                     Affine* affine) {
  const Temporary<Moments> own(moments == nullptr ? moments_length(shape) / 2 : 0);
  if (moments == nullptr) {
    describe(x, own.get(), shape);
    moments = own;
  }
  const int shares =
      static_cast<int>(std::clamp<int64_t>(ceil_div(ceil_div(shape.rows, kMomentRows), 64), 1, kMomentShares));
  const Temporary<Sums> sums(shares * shape.channels);
  const dim3 grid(static_cast<unsigned>(ceil_div(shape.channels, 32)), static_cast<unsigned>(shares));
  moment_sums_kernel<<<grid, kBlock, 0, stream()>>>(moments, sums, shape);
  launched("nhwc_moment_sums");
  statistics_kernel<<<warps_for(shape.channels), kBlock, 0, stream()>>>(sums, shares, statistics, affine, shape);
  launched("nhwc_statistics");
}

void finish_gradient(const espalier_nhwc& shape, const float2* sums, int64_t blocks, const float* weight,
                     const float* mean, const float* scale, float* dweight, float* dbias, Blend* blend) {
  finish_gradient_kernel<<<warps_for(shape.channels), kBlock, 0, stream()>>>(sums, blocks, weight, mean, scale, dweight,
                                                                             dbias, blend, shape);
  launched("nhwc_finish_gradient");
}

#define ESPALIER_STATISTICS(T)                                      \
  template void describe(const T*, Moments*, const espalier_nhwc&); \
  template void take_statistics(const espalier_nhwc&, const T*, const Moments*, const Statistics&, Affine*);
ESPALIER_STATISTICS(float)
ESPALIER_STATISTICS(__half)
ESPALIER_STATISTICS(__nv_bfloat16)
#undef ESPALIER_STATISTICS

}  // namespace espalier::cuda::nhwc
