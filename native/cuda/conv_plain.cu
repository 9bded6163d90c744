#include "cuda/conv_plain.cuh"

namespace espalier::cuda::conv {
namespace {

// One element of the gradient for the weight a block.
template <class T, class Out>
__global__ __launch_bounds__(kBlock) void plain_weight_kernel(espalier_conv2d s, const T* x, const T* dy, Out* dweight,
                                                              int64_t count) {
  const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
  const int64_t plane = s.out_height * s.out_width;
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    const int64_t q = i % s.kernel_width, p = i / s.kernel_width % s.kernel_height;
    const int64_t c = i / s.kernel_width / s.kernel_height % in, o = i / s.kernel_width / s.kernel_height / in;
    wide_t<T> sum = 0;
    for (int64_t at = threadIdx.x; at < s.n * plane; at += kBlock) {
      const int64_t image = at / plane, h = at % plane / s.out_width, w = at % s.out_width;
      const int64_t row = h * s.stride_height + p * s.dilation_height - s.padding_top;
      const int64_t column = w * s.stride_width + q * s.dilation_width - s.padding_left;
      if (row < 0 || row >= s.in_height || column < 0 || column >= s.in_width) continue;
      sum += widen(x[((image * s.in_channels + o / out * in + c) * s.in_height + row) * s.in_width + column]) *
             widen(dy[(image * s.out_channels + o) * plane + at % plane]);
    }
    sum = block_reduce(sum, wide_t<T>{0}, [](auto a, auto b) { return a + b; });
    if (threadIdx.x == 0) dweight[i] = static_cast<Out>(sum);
  }
}

}  // namespace

template <class T>
void plain_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  for_each(s.n * s.out_channels * s.out_height * s.out_width, "conv_plain_forward", [=] __device__(int64_t i) {
    const int64_t in = s.in_channels / s.groups;
    const int64_t w = i % s.out_width, h = i / s.out_width % s.out_height;
    const int64_t o = i / s.out_width / s.out_height % s.out_channels;
    const int64_t image = i / s.out_width / s.out_height / s.out_channels;
    const T* by = weight + o * in * s.kernel_height * s.kernel_width;
    const T* from = x + (image * s.in_channels + o / (s.out_channels / s.groups) * in) * s.in_height * s.in_width;
    wide_t<T> sum = bias != nullptr ? widen(bias[o]) : wide_t<T>{0};
    for (int64_t c = 0; c < in; ++c, from += s.in_height * s.in_width)
      for (int64_t p = 0; p < s.kernel_height; ++p) {
        const int64_t row = h * s.stride_height + p * s.dilation_height - s.padding_top;
        for (int64_t q = 0; q < s.kernel_width; ++q, ++by) {
          const int64_t column = w * s.stride_width + q * s.dilation_width - s.padding_left;
          if (row >= 0 && row < s.in_height && column >= 0 && column < s.in_width)
            sum += widen(*by) * widen(from[row * s.in_width + column]);
        }
      }
    y[i] = narrow<T>(relu && sum < 0 ? wide_t<T>{0} : sum);
  });
}

template <class T>
void plain_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* bias, T* dx) {
  for_each(s.n * s.in_channels * s.in_height * s.in_width, "conv_plain_data_grad", [=] __device__(int64_t i) {
    const int64_t in = s.in_channels / s.groups, out = s.out_channels / s.groups;
    const int64_t elements = s.kernel_height * s.kernel_width;
    const int64_t w = i % s.in_width, h = i / s.in_width % s.in_height,
                  c = i / s.in_width / s.in_height % s.in_channels;
    const int64_t image = i / s.in_width / s.in_height / s.in_channels;
    wide_t<T> sum = bias != nullptr ? widen(bias[c]) : wide_t<T>{0};
    for (int64_t o = c / in * out; o < (c / in + 1) * out; ++o) {
      const T* const by = weight + (o * in + c % in) * elements;
      const T* const from = dy + (image * s.out_channels + o) * s.out_height * s.out_width;
      for (int64_t p = 0; p < s.kernel_height; ++p) {
        const int64_t row = h + s.padding_top - p * s.dilation_height;
        if (row < 0 || row % s.stride_height != 0 || row / s.stride_height >= s.out_height) continue;
        for (int64_t q = 0; q < s.kernel_width; ++q) {
          const int64_t column = w + s.padding_left - q * s.dilation_width;
          if (column < 0 || column % s.stride_width != 0 || column / s.stride_width >= s.out_width) continue;
          sum += widen(by[p * s.kernel_width + q]) *
                 widen(from[row / s.stride_height * s.out_width + column / s.stride_width]);
        }
      }
    }
    dx[i] = narrow<T>(sum);
  });
}

template <class T, class Out>
void plain_weight_grad(const espalier_conv2d& s, const T* x, const T* dy, Out* dweight) {
  const int64_t count = s.out_channels * (s.in_channels / s.groups) * s.kernel_height * s.kernel_width;
  if (count == 0) return;
  const unsigned grid = static_cast<unsigned>(std::min<int64_t>(count, 64 * traits().multiprocessors));
  plain_weight_kernel<<<grid, kBlock, 0, stream()>>>(s, x, dy, dweight, count);
  launched("conv_plain_weight_grad");
}

#define ESPALIER_PLAIN(T)                                                                      \
  template void plain_forward(const espalier_conv2d&, const T*, const T*, const T*, bool, T*); \
  template void plain_data_grad(const espalier_conv2d&, const T*, const T*, const T*, T*);     \
  template void plain_weight_grad(const espalier_conv2d&, const T*, const T*, T*);
ESPALIER_PLAIN(float)
ESPALIER_PLAIN(double)
ESPALIER_PLAIN(__half)
ESPALIER_PLAIN(__nv_bfloat16)
#undef ESPALIER_PLAIN
template void plain_weight_grad(const espalier_conv2d&, const __half*, const __half*, float*);
template void plain_weight_grad(const espalier_conv2d&, const __nv_bfloat16*, const __nv_bfloat16*, float*);

}  // namespace espalier::cuda::conv
