#include "cuda/conv_layout.cuh"

namespace espalier::cuda::conv {
namespace {

template <class To, class From>
__device__ To operand(From value) {
  if constexpr (std::is_same_v<To, Tf32>) return {__uint_as_float(ptx::to_tf32(static_cast<float>(value)))};
  else return static_cast<To>(value);
}

// A tile of 64 positions and 32 channels: read along the positions, kWide at once, written along the channels.
constexpr int kPositions = 64, kChannels = 32;

template <class From, class To, int kWide>
__global__ __launch_bounds__(kBlock) void to_channels_last_kernel(const From* x, To* y, int32_t channels, int32_t plane,
                                                                  int32_t depth, int32_t all, uint32_t across,
                                                                  uint32_t down) {
  // 16 bytes of a channel's positions stand at their number XOR that of the channel's chunk: then neither
  // direction meets a bank twice.
  __shared__ To tile[kChannels * kPositions];
  constexpr int kGroup = kChunk<To>;
  const auto place = [](int channel, int position) {
    return channel * kPositions + ((position / kGroup) ^ (channel / kGroup & 7)) * kGroup + position % kGroup;
  };
  const int64_t image = blockIdx.x / (across * down);
  const uint32_t rest = blockIdx.x % (across * down);
  const int32_t channel0 = static_cast<int32_t>(rest % across) * kChannels;
  const int32_t position0 = static_cast<int32_t>(rest / across) * kPositions;
  const int32_t true_depth = channels / (all / depth);
#pragma unroll
  for (int i = threadIdx.x; i < kChannels * kPositions / kWide; i += kBlock) {
    const int channel = i / (kPositions / kWide), position = i % (kPositions / kWide) * kWide;
    const int32_t padded = channel0 + channel, group = padded / depth, c = padded - group * depth;
    Pack<From, kWide> values{};
    if (padded < all && c < true_depth && position0 + position < plane)
      values = *reinterpret_cast<const Pack<From, kWide>*>(x + (image * channels + group * true_depth + c) * plane +
                                                           position0 + position);
#pragma unroll
    for (int e = 0; e < kWide; ++e) tile[place(channel, position + e)] = operand<To>(values.at[e]);
  }
  __syncthreads();
  constexpr int kChunks = kChannels / kChunk<To>;
#pragma unroll
  for (int i = threadIdx.x; i < kPositions * kChunks; i += kBlock) {
    const int row = i / kChunks, c = i % kChunks * kChunk<To>;
    if (position0 + row >= plane || channel0 + c >= all) continue;
    Pack<To, kChunk<To>> pack;
#pragma unroll
    for (int e = 0; e < kChunk<To>; ++e) pack.at[e] = tile[place(c + e, row)];
    *reinterpret_cast<Pack<To, kChunk<To>>*>(y + (image * plane + position0 + row) * all + channel0 + c) = pack;
  }
}

}  // namespace

template <class From, class To>
void to_channels_last(const From* x, To* y, int64_t images, int64_t channels, int64_t plane, int64_t groups,
                      int64_t depth) {
  const int64_t all = groups * depth, across = ceil_div(all, kChannels), down = ceil_div(plane, kPositions);
  constexpr int kWide = 16 / static_cast<int>(sizeof(From));
  const bool wide = plane % kWide == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
  const auto kernel = wide ? to_channels_last_kernel<From, To, kWide> : to_channels_last_kernel<From, To, 1>;
  // A grid has fewer than 2^31 blocks.
  const int64_t most = std::max<int64_t>(1, ((int64_t{1} << 31) - 1) / (across * down));
  for (int64_t first = 0; first < images; first += most) {
    const int64_t blocks = std::min(most, images - first) * across * down;
    kernel<<<static_cast<unsigned>(blocks), kBlock, 0, stream()>>>(
        x + first * channels * plane, y + first * plane * all, static_cast<int32_t>(channels),
        static_cast<int32_t>(plane), static_cast<int32_t>(depth), static_cast<int32_t>(all),
        static_cast<uint32_t>(across), static_cast<uint32_t>(down));
    launched("conv_to_channels_last");
  }
}

template <class From, class To>
void pad_channels(const From* x, To* y, int64_t positions, int64_t channels, int64_t groups, int64_t depth) {
  const int64_t all = groups * depth, true_depth = channels / groups;
  for_each(positions * all, "conv_pad_channels", [=] __device__(int64_t i) {
    const int64_t position = i / all, padded = i - position * all, group = padded / depth, c = padded - group * depth;
    y[i] = operand<To>(c < true_depth ? x[position * channels + group * true_depth + c] : From{});
  });
}

template <class From, class To>
void fold_columns(const From* x, To* y, int64_t images, int64_t channels, int64_t height, int64_t width,
                  bool channels_last, const Fold& fold) {
  const int64_t across = ceil_div(width, fold.factor), plane = height * width;
  for_each(images * height * across, "conv_fold_columns", [=] __device__(int64_t i) {
    const int64_t chunk = i % across, line = i / across, image = line / height;
    Pack<To, kChunk<To>> pack;
#pragma unroll
    for (int e = 0; e < kChunk<To>; ++e) {
      const int64_t c = e % fold.slot, column = chunk * fold.factor + e / fold.slot;
      From value{};
      if (c < channels && column < width)
        value = channels_last ? x[(line * width + column) * channels + c]
                              : x[(image * channels + c) * plane + (line - image * height) * width + column];
      pack.at[e] = operand<To>(value);
    }
    *reinterpret_cast<Pack<To, kChunk<To>>*>(y + i * kChunk<To>) = pack;
  });
}

template <class From, class To>
void pack_weight(const From* weight, To* packed, const espalier_conv2d& s, bool channels_last, const Fold& fold) {
  const int64_t in = s.in_channels / s.groups, elements = s.kernel_height * s.kernel_width;
  if (fold.factor > 1)
    ESPALIER_CUDA(cudaMemsetAsync(
        packed, 0,
        static_cast<size_t>(s.out_channels * s.kernel_height * folded(s, fold).kernel_width) * kChunk<To> * sizeof(To),
        stream()));
  const int64_t depth = fold.factor > 1 ? kChunk<To> : padded<To>(in), kernel_width = folded(s, fold).kernel_width;
  // Folded, each weight goes to its place; else each place takes a weight or zero.
  const int64_t wide = fold.factor > 1 ? in : depth;
  for_each(s.out_channels * elements * wide, "conv_pack_weight", [=] __device__(int64_t i) {
    const int64_t c = i % wide, element = i / wide % elements, o = i / wide / elements;
    const int64_t p = element / s.kernel_width, q = element % s.kernel_width;
    From value{};
    if (c < in) value = weight[channels_last ? (o * elements + element) * in + c : (o * in + c) * elements + element];
    const int64_t tap = p * kernel_width + fold.tap(q, s.padding_left);
    packed[(o * s.kernel_height * kernel_width + tap) * depth + fold.place(q, s.padding_left) * fold.slot + c] =
        operand<To>(value);
  });
}

// One kernel element of a weight with channels last: a tile of 32 × 32 channels, exchanged in shared memory.
template <class From, class To>
__global__ __launch_bounds__(kBlock) void exchange_kernel(const From* weight, To* packed, int32_t in, int32_t out,
                                                          int32_t elements, int32_t depth) {
  __shared__ To tile[32][33];
  const int across = threadIdx.x % 32, down = threadIdx.x / 32, c0 = blockIdx.x * 32, o0 = blockIdx.y * 32;
  for (int element = blockIdx.z; element < elements; element += gridDim.z) {
    for (int i = down; i < 32; i += kBlock / 32) {
      const int o = o0 + i, c = c0 + across;
      From value{};
      if (o < out && c < in) value = weight[(int64_t{o} * elements + element) * in + c];
      tile[i][across] = operand<To>(value);
    }
    __syncthreads();
    for (int i = down; i < 32; i += kBlock / 32) {
      const int c = c0 + i, o = o0 + across;
      if (c < in && o < depth) packed[(int64_t{c} * elements + element) * depth + o] = tile[across][i];
    }
    __syncthreads();
  }
}

template <class From, class To>
void pack_exchanged(const From* weight, To* packed, const espalier_conv2d& s, bool channels_last) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups, depth = padded<To>(out);
  const int64_t elements = s.kernel_height * s.kernel_width;
  if (channels_last && s.groups == 1 && ceil_div(depth, 32) < 65536) {
    const dim3 grid(static_cast<unsigned>(ceil_div(in, 32)), static_cast<unsigned>(ceil_div(depth, 32)),
                    static_cast<unsigned>(elements));
    exchange_kernel<<<grid, kBlock, 0, stream()>>>(weight, packed, static_cast<int32_t>(in), static_cast<int32_t>(out),
                                                   static_cast<int32_t>(elements), static_cast<int32_t>(depth));
    launched("conv_exchange");
    return;
  }
  for_each(s.in_channels * elements * depth, "conv_pack_exchanged", [=] __device__(int64_t i) {
    const int64_t k = i % depth, element = i / depth % elements, row = i / depth / elements;
    const int64_t o = row / in * out + k, c = row % in;
    From value{};
    if (k < out) value = weight[channels_last ? (o * elements + element) * in + c : (o * in + c) * elements + element];
    packed[i] = operand<To>(value);
  });
}

#define ESPALIER_LAYOUTS(From, To)                                                                     \
  template void to_channels_last(const From*, To*, int64_t, int64_t, int64_t, int64_t, int64_t);       \
  template void pad_channels(const From*, To*, int64_t, int64_t, int64_t, int64_t);                    \
  template void fold_columns(const From*, To*, int64_t, int64_t, int64_t, int64_t, bool, const Fold&); \
  template void pack_weight(const From*, To*, const espalier_conv2d&, bool, const Fold&);              \
  template void pack_exchanged(const From*, To*, const espalier_conv2d&, bool);
ESPALIER_LAYOUTS(__nv_bfloat16, __nv_bfloat16)
ESPALIER_LAYOUTS(__half, __half)
ESPALIER_LAYOUTS(float, float)
ESPALIER_LAYOUTS(float, Tf32)
ESPALIER_LAYOUTS(float, __nv_bfloat16)
#undef ESPALIER_LAYOUTS

}  // namespace espalier::cuda::conv
