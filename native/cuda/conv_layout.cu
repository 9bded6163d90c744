#include "cuda/conv_layout.cuh"

namespace espalier::cuda::conv {
namespace {

template <class To, class From>
__device__ To operand(From value) {
  if constexpr (std::is_same_v<To, Tf32>) return {__uint_as_float(ptx::to_tf32(static_cast<float>(value)))};
  else return static_cast<To>(value);
}

constexpr int kPositions = 64, kChannels = 32;

// A tile of 64 positions and 32 channels: read along the positions, written along the channels.
template <class From, class To>
__global__ __launch_bounds__(kBlock) void to_channels_last_kernel(const From* x, To* y, int64_t channels, int64_t plane,
                                                                  int64_t depth, int64_t all, int64_t across,
                                                                  int64_t down) {
  __shared__ To tile[kChannels][kPositions + 4 / sizeof(To)];
  const int64_t image = blockIdx.x / (across * down), rest = blockIdx.x % (across * down);
  const int64_t channel0 = rest % across * kChannels, position0 = rest / across * kPositions;
  const int64_t true_depth = channels / (all / depth);
  const int position = threadIdx.x % kPositions;
#pragma unroll
  for (int i = threadIdx.x / kPositions; i < kChannels; i += kBlock / kPositions) {
    const int64_t padded = channel0 + i, group = padded / depth, c = padded - group * depth;
    From value{};
    if (padded < all && c < true_depth && position0 + position < plane)
      value = x[(image * channels + group * true_depth + c) * plane + position0 + position];
    tile[i][position] = operand<To>(value);
  }
  __syncthreads();
  constexpr int kChunks = kChannels / kChunk<To>;
  for (int i = threadIdx.x; i < kPositions * kChunks; i += kBlock) {
    const int row = i / kChunks, c = i % kChunks * kChunk<To>;
    if (position0 + row >= plane || channel0 + c >= all) continue;
    Pack<To, kChunk<To>> pack;
#pragma unroll
    for (int e = 0; e < kChunk<To>; ++e) pack.at[e] = tile[c + e][row];
    *reinterpret_cast<Pack<To, kChunk<To>>*>(y + (image * plane + position0 + row) * all + channel0 + c) = pack;
  }
}

}  // namespace

template <class From, class To>
void to_channels_last(const From* x, To* y, int64_t images, int64_t channels, int64_t plane, int64_t groups,
                      int64_t depth) {
  const int64_t all = groups * depth, across = ceil_div(all, kChannels), down = ceil_div(plane, kPositions);
  // A grid has fewer than 2^31 blocks.
  const int64_t most = std::max<int64_t>(1, ((int64_t{1} << 31) - 1) / (across * down));
  for (int64_t first = 0; first < images; first += most) {
    const int64_t blocks = std::min(most, images - first) * across * down;
    to_channels_last_kernel<<<static_cast<unsigned>(blocks), kBlock, 0, stream()>>>(
        x + first * channels * plane, y + first * plane * all, channels, plane, depth, all, across, down);
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

template <class From, class To>
void pack_exchanged(const From* weight, To* packed, const espalier_conv2d& s, bool channels_last) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups, depth = padded<To>(out);
  const int64_t elements = s.kernel_height * s.kernel_width;
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
