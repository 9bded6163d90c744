// Convolution by its definition: one tap of one kernel plane at a time, over the part of the plane
// where that tap falls on the image. Needs no working memory, whatever the geometry: huge padding,
// strides and dilations cost nothing.
#include <algorithm>

#include "core/parallel.h"
#include "kernels/conv.h"

namespace espalier::kernels::plain {
namespace {

// The outputs i in [begin, end) whose tap at `offset` falls on the image: 0 ≤ i·stride + offset < in.
struct Range {
  int64_t begin, end;
};
Range covered(int64_t in, int64_t out, int64_t stride, int64_t offset) {
  const int64_t begin = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t end = offset >= in ? 0 : (in - 1 - offset) / stride + 1;
  return {begin, std::min(out, end)};
}

// Calls body(weight's index in its kernel plane, first output row, output row count, first output
// column, count, first input row, first input column) for each tap that touches the image.
template <class Body>
void for_taps(const espalier_conv2d& s, Body body) {
  for (int64_t p = 0; p < s.kernel_height; ++p) {
    const int64_t down = p * s.dilation_height - s.padding_top;
    const Range rows = covered(s.in_height, s.out_height, s.stride_height, down);
    if (rows.begin >= rows.end) continue;
    for (int64_t q = 0; q < s.kernel_width; ++q) {
      const int64_t right = q * s.dilation_width - s.padding_left;
      const Range columns = covered(s.in_width, s.out_width, s.stride_width, right);
      if (columns.begin < columns.end) body(p * s.kernel_width + q, rows, columns, down, right);
    }
  }
}

}  // namespace

template <class T>
void conv2d_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  const int64_t out_plane = s.out_height * s.out_width, in_plane = s.in_height * s.in_width;
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t in_group = s.in_channels / s.groups, out_group = s.out_channels / s.groups;
  parallel_for(s.n * s.out_channels, [&](int64_t image_channel) {
    const int64_t image = image_channel / s.out_channels, o = image_channel % s.out_channels;
    T* const to = y + image_channel * out_plane;
    std::fill_n(to, out_plane, bias ? bias[o] : T{0});
    for (int64_t c = 0; c < in_group; ++c) {
      const T* const from = x + (image * s.in_channels + o / out_group * in_group + c) * in_plane;
      const T* const w = weight + (o * in_group + c) * taps;
      for_taps(s, [&](int64_t tap, Range rows, Range columns, int64_t down, int64_t right) {
        for (int64_t i = rows.begin; i < rows.end; ++i) {
          const T* const row = from + (i * s.stride_height + down) * s.in_width + right;
          for (int64_t j = columns.begin; j < columns.end; ++j)
            to[i * s.out_width + j] += w[tap] * row[j * s.stride_width];
        }
      });
    }
    if (relu)
      for (int64_t i = 0; i < out_plane; ++i) to[i] = to[i] < 0 ? T{0} : to[i];
  });
}

template <class T>
void conv2d_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* bias, T* dx) {
  const int64_t out_plane = s.out_height * s.out_width, in_plane = s.in_height * s.in_width;
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t in_group = s.in_channels / s.groups, out_group = s.out_channels / s.groups;
  parallel_for(s.n * s.in_channels, [&](int64_t image_channel) {
    const int64_t image = image_channel / s.in_channels, c = image_channel % s.in_channels;
    const int64_t group = c / in_group;
    T* const to = dx + image_channel * in_plane;
    std::fill_n(to, in_plane, bias ? bias[c] : T{0});
    for (int64_t o = group * out_group; o < (group + 1) * out_group; ++o) {
      const T* const from = dy + (image * s.out_channels + o) * out_plane;
      const T* const w = weight + (o * in_group + c % in_group) * taps;
      for_taps(s, [&](int64_t tap, Range rows, Range columns, int64_t down, int64_t right) {
        for (int64_t i = rows.begin; i < rows.end; ++i) {
          T* const row = to + (i * s.stride_height + down) * s.in_width + right;
          for (int64_t j = columns.begin; j < columns.end; ++j)
            row[j * s.stride_width] += w[tap] * from[i * s.out_width + j];
        }
      });
    }
  });
}

template <class T>
void conv2d_weight_grad(const espalier_conv2d& s, const T* x, const T* dy, T* dweight) {
  const int64_t out_plane = s.out_height * s.out_width, in_plane = s.in_height * s.in_width;
  const int64_t taps = s.kernel_height * s.kernel_width;
  const int64_t in_group = s.in_channels / s.groups, out_group = s.out_channels / s.groups;
  parallel_for(s.out_channels * in_group, [&](int64_t pair) {
    const int64_t o = pair / in_group, c = o / out_group * in_group + pair % in_group;
    T* const to = dweight + pair * taps;
    std::fill_n(to, taps, T{0});
    for (int64_t image = 0; image < s.n; ++image) {
      const T* const seen = x + (image * s.in_channels + c) * in_plane;
      const T* const from = dy + (image * s.out_channels + o) * out_plane;
      for_taps(s, [&](int64_t tap, Range rows, Range columns, int64_t down, int64_t right) {
        // A sum a row, then their sum: long planes would lose float32 digits in one running total.
        T total{0};
        for (int64_t i = rows.begin; i < rows.end; ++i) {
          const T* const row = seen + (i * s.stride_height + down) * s.in_width + right;
          T sum{0};
          for (int64_t j = columns.begin; j < columns.end; ++j)
            sum += from[i * s.out_width + j] * row[j * s.stride_width];
          total += sum;
        }
        to[tap] += total;
      });
    }
  });
}

#define ESPALIER_INSTANTIATE(T)                                                                 \
  template void conv2d_forward(const espalier_conv2d&, const T*, const T*, const T*, bool, T*); \
  template void conv2d_data_grad(const espalier_conv2d&, const T*, const T*, const T*, T*);     \
  template void conv2d_weight_grad(const espalier_conv2d&, const T*, const T*, T*);
ESPALIER_INSTANTIATE(float)
ESPALIER_INSTANTIATE(double)
#undef ESPALIER_INSTANTIATE

}  // namespace espalier::kernels::plain
