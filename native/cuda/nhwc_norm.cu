// Batch norm with channels last, fused with what stands around it in a network: the residual before the
// activation, and ReLU. A thread keeps to eight channels, whose parameters stay in its registers.
#include "cuda/nhwc_statistics.cuh"

using namespace espalier;
using namespace espalier::cuda;
using namespace espalier::cuda::nhwc;

namespace {

// Eight channels a thread: how threads of a block, and blocks, divide rows and channels.
struct Layout {
  int64_t rows;
  int chunks;         // eights of channels
  int across;         // threads along the channels, a power of two up to 32; the others take rows
  int64_t rows_each;  // rows a block
  dim3 grid;          // blocks along the rows, and along the channels

  __device__ int chunk() const { return blockIdx.y * across + threadIdx.x % across; }
  __device__ int lane() const { return threadIdx.x / across; }
  __device__ int lanes() const { return kBlock / across; }
  __device__ int64_t first() const { return blockIdx.x * rows_each; }
  __device__ int64_t last() const { return min(rows, (blockIdx.x + int64_t{1}) * rows_each); }
};

Layout layout_of(const espalier_nhwc& shape, int64_t blocks_each) {
  Layout layout;
  layout.rows = shape.rows;
  layout.chunks = static_cast<int>(shape.channels / kLanes);
  layout.across = 1;
  while (layout.across < 32 && layout.across < layout.chunks) layout.across *= 2;
  const int64_t down = ceil_div(layout.chunks, layout.across), lanes = kBlock / layout.across;
  const int64_t blocks = std::clamp<int64_t>(blocks_each * traits().multiprocessors / down, 1,
                                             ceil_div(std::max<int64_t>(shape.rows, 1), lanes * 4));
  layout.rows_each = ceil_div(ceil_div(std::max<int64_t>(shape.rows, 1), blocks), lanes) * lanes;
  layout.grid = dim3(static_cast<unsigned>(ceil_div(std::max<int64_t>(shape.rows, 1), layout.rows_each)),
                     static_cast<unsigned>(down));
  return layout;
}

template <class T, bool kSigns>
__global__ __launch_bounds__(kBlock) void apply_kernel(const T* x, const T* residual, const Affine* affine, bool relu,
                                                       T* y, uint8_t* signs, Layout layout) {
  const int chunk = layout.chunk();
  if (chunk >= layout.chunks) return;
  Affine of[kLanes];
#pragma unroll
  for (int e = 0; e < kLanes; ++e) of[e] = affine[chunk * kLanes + e];
#pragma unroll 4
  for (int64_t row = layout.first() + layout.lane(); row < layout.last(); row += layout.lanes()) {
    const int64_t at = row * layout.chunks + chunk;
    const Lanes<T> in = load_lanes(x, at);
    Lanes<T> out, plus;
    if (residual != nullptr) plus = load_lanes(residual, at);
    unsigned bits = 0;
#pragma unroll
    for (int e = 0; e < kLanes; ++e) {
      float z = fmaf(widen(in.at[e]), of[e].factor, of[e].shift);
      if (residual != nullptr) z += widen(plus.at[e]);
      bits |= unsigned{z > 0} << e;
      out.at[e] = narrow<T>(relu && z < 0 ? 0.0f : z);
    }
    store_lanes(y, at, out);
    if constexpr (kSigns) signs[at] = static_cast<uint8_t>(bits);
  }
}

// Sums of g and g·x of a block's rows, g = dy where the sign says so.
template <class T>
__global__ __launch_bounds__(kBlock) void gradient_sums_kernel(const T* dy, const T* x, const uint8_t* signs,
                                                               const float* mean, float2* sums, Layout layout) {
  __shared__ float2 of_lane[kBlock][kLanes + 1];
  const int chunk = layout.chunk();
  float2 sum[kLanes] = {};
  if (chunk < layout.chunks) {
    float middle[kLanes];
#pragma unroll
    for (int e = 0; e < kLanes; ++e) middle[e] = mean[chunk * kLanes + e];
#pragma unroll 4
    for (int64_t row = layout.first() + layout.lane(); row < layout.last(); row += layout.lanes()) {
      const int64_t at = row * layout.chunks + chunk;
      const Lanes<T> g = load_lanes(dy, at), in = load_lanes(x, at);
      const unsigned bits = signs != nullptr ? signs[at] : 255;
#pragma unroll
      for (int e = 0; e < kLanes; ++e) {
        const float value = (bits >> e & 1) != 0 ? widen(g.at[e]) : 0.0f;
        sum[e].x += value;
        sum[e].y = fmaf(value, widen(in.at[e]) - middle[e], sum[e].y);
      }
    }
  }
#pragma unroll
  for (int e = 0; e < kLanes; ++e) of_lane[threadIdx.x][e] = sum[e];
  __syncthreads();
  // A thread a channel adds the lanes in their order.
  for (int i = threadIdx.x; i < layout.across * kLanes; i += kBlock) {
    const int column = i / kLanes, e = i % kLanes;
    if (static_cast<int>(blockIdx.y) * layout.across + column >= layout.chunks) continue;
    float2 total = {};
    for (int lane = 0; lane < layout.lanes(); ++lane) {
      total.x += of_lane[lane * layout.across + column][e].x;
      total.y += of_lane[lane * layout.across + column][e].y;
    }
    sums[(int64_t{blockIdx.x} * layout.chunks + blockIdx.y * layout.across + column) * kLanes + e] = total;
  }
}

template <class T>
__global__ __launch_bounds__(kBlock) void gradient_apply_kernel(const T* dy, const T* x, const uint8_t* signs,
                                                                const Blend* blend, T* dx, T* dresidual,
                                                                Layout layout) {
  const int chunk = layout.chunk();
  if (chunk >= layout.chunks) return;
  Blend of[kLanes];
#pragma unroll
  for (int e = 0; e < kLanes; ++e) of[e] = blend[chunk * kLanes + e];
#pragma unroll 4
  for (int64_t row = layout.first() + layout.lane(); row < layout.last(); row += layout.lanes()) {
    const int64_t at = row * layout.chunks + chunk;
    Lanes<T> g = load_lanes(dy, at);
    const Lanes<T> in = load_lanes(x, at);
    const unsigned bits = signs != nullptr ? signs[at] : 255;
    Lanes<T> out;
#pragma unroll
    for (int e = 0; e < kLanes; ++e) {
      if ((bits >> e & 1) == 0) g.at[e] = narrow<T>(0.0f);
      out.at[e] = narrow<T>(fmaf(of[e].of_g, widen(g.at[e]), fmaf(of[e].of_x, widen(in.at[e]), of[e].shift)));
    }
    store_lanes(dx, at, out);
    if (dresidual != nullptr) store_lanes(dresidual, at, g);
  }
}

void require_shape(const espalier_nhwc& shape) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1;
  require_range("rows", shape.rows, int64_t{0}, int64_t{1} << 53);
  require_range("channels", shape.channels, int64_t{0}, kMost);
  require_channels(shape.channels);
}

template <class T>
void train(const espalier_nhwc& shape, const T* x, const Moments* moments, const T* residual, bool relu,
           const Statistics& statistics, T* y, uint8_t* signs) {
  const Temporary<Affine> affine(shape.channels);
  take_statistics(shape, x, moments, statistics, affine.get());
  const Layout layout = layout_of(shape, 8);
  if (signs != nullptr)
    apply_kernel<T, true><<<layout.grid, kBlock, 0, stream()>>>(x, residual, affine, relu, y, signs, layout);
  else apply_kernel<T, false><<<layout.grid, kBlock, 0, stream()>>>(x, residual, affine, relu, y, signs, layout);
  launched("nhwc_batch_norm");
}

}  // namespace

espalier_status espalier_cuda_moments_length(espalier_nhwc shape, int64_t* length) {
  return guarded(__func__, [&] {
    require_shape(shape);
    *length = moments_length(shape);
  });
}

espalier_status espalier_cuda_batch_norm_train_nhwc(espalier_in x, espalier_in moments, espalier_in weight,
                                                    espalier_in bias, espalier_in residual, int64_t relu,
                                                    double momentum, double eps, espalier_out running_mean,
                                                    espalier_out running_var, espalier_out mean, espalier_out scale,
                                                    espalier_out y, espalier_out signs, espalier_nhwc shape) {
  return guarded(__func__, [&] {
    require_shape(shape);
    require_range("relu", relu, int64_t{0}, int64_t{1});
    const int64_t length = checked_product("x", {shape.rows, shape.channels});
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const from = aligned_elements<T>("x", x, length);
      const float* const described = optional_elements<float>("moments", moments, moments_length(shape));
      const T* const plus = optional_aligned_elements<T>("residual", residual, length);
      const Statistics statistics =
          checked_statistics(weight, bias, running_mean, running_var, mean, scale, momentum, eps, shape.channels);
      T* const to = aligned_elements<T>("y", y, length);
      uint8_t* const positive = optional_elements<uint8_t>("signs", signs, length / kLanes);
      if (length == 0) return;
      train(shape, from, reinterpret_cast<const Moments*>(described), plus, relu == 1, statistics, to, positive);
    });
  });
}

espalier_status espalier_cuda_batch_norm_train_backward_nhwc(espalier_in dy, espalier_in x, espalier_in signs,
                                                             espalier_in weight, espalier_in mean, espalier_in scale,
                                                             espalier_out dx, espalier_out dresidual,
                                                             espalier_out dweight, espalier_out dbias,
                                                             espalier_nhwc shape) {
  return guarded(__func__, [&] {
    require_shape(shape);
    const int64_t length = checked_product("x", {shape.rows, shape.channels});
    for_activation("x", x.dtype, [&]<class T>(T) {
      const T* const g = aligned_elements<T>("dy", dy, length);
      const T* const from = aligned_elements<T>("x", x, length);
      const uint8_t* const positive = optional_elements<uint8_t>("signs", signs, length / kLanes);
      const float* const w = optional_elements<float>("weight", weight, shape.channels);
      const float* const middle = elements<float>("mean", mean, shape.channels);
      const float* const s = elements<float>("scale", scale, shape.channels);
      T* const to = aligned_elements<T>("dx", dx, length);
      T* const to_residual = optional_aligned_elements<T>("dresidual", dresidual, length);
      float* const dw = optional_elements<float>("dweight", dweight, shape.channels);
      float* const db = optional_elements<float>("dbias", dbias, shape.channels);
      if (shape.channels == 0) return;
      const Layout layout = layout_of(shape, 8);
      const Temporary<float2> sums(layout.grid.x * shape.channels);
      const Temporary<Blend> blend(shape.channels);
      gradient_sums_kernel<<<layout.grid, kBlock, 0, stream()>>>(g, from, positive, middle, sums.get(), layout);
      launched("nhwc_gradient_sums");
      finish_gradient(shape, sums, layout.grid.x, w, middle, s, dw, db, blend);
      if (length == 0) return;
      gradient_apply_kernel<<<layout.grid, kBlock, 0, stream()>>>(g, from, positive, blend.get(), to, to_residual,
                                                                  layout);
      launched("nhwc_gradient_apply");
    });
  });
}
