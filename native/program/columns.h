// An image's patches as the columns of a matrix [channels·kh·kw, places of the output]: what multiplies by a
// convolution's weights then is a product.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "program/format.h"

namespace espalier::program {

// Whether a kernel reads the image as it is: 1×1 at stride 1.
inline bool columns_are_image(const espalier_conv2d& s) {
  return s.kernel_height * s.kernel_width == 1 && s.stride_height * s.stride_width == 1 && s.padding_top == 0 &&
         s.padding_left == 0 && s.in_height == s.out_height && s.in_width == s.out_width;
}

// What that takes of an image: a time by element, and one by line of the output.
inline double columns_time(const espalier_conv2d& s, double per_element) {
  if (columns_are_image(s)) return 0;
  const double lines = static_cast<double>(s.in_channels * s.kernel_height * s.kernel_width * s.out_height);
  return lines * (2 + (s.stride_width == 1 ? per_element : 0.5) * static_cast<double>(s.out_width));
}

// Elements that may be read behind an image, and written behind the columns.
constexpr int64_t kColumnsSlack = 16;

// A piece of a line. Lines are short, and a call for each would take as long as its copy: bytes are moved 16 at a time,
// and what is too much is written over by what comes next.
inline void copy_line(const float* from, int64_t count, float* to) { std::copy_n(from, count, to); }
template <class Byte>
void copy_line(const Byte* from, int64_t count, Byte* to) {
  static_assert(sizeof(Byte) == 1);
  for (int64_t j = 0; j < count; j += kColumnsSlack) std::memcpy(to + j, from + j, kColumnsSlack);
}

// The columns of the first `channels` of x [channels, height, width], `pitch` elements apart. Those that `used` has 0
// for hold anything. The border is 0. Bytes need slack.
template <class T>
void spread_columns(const espalier_conv2d& s, int64_t channels, const uint8_t* used, const T* x, int64_t pitch,
                    T* columns) {
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t p = 0; p < s.kernel_height; ++p)
      for (int64_t q = 0; q < s.kernel_width; ++q, columns += pitch) {
        if (*used++ == 0) continue;
        T* to = columns;
        // Output columns [first, last) read inside of the image.
        const int64_t left = q * s.dilation_width - s.padding_left;
        const int64_t first = std::min(s.out_width, left >= 0 ? 0 : (-left + s.stride_width - 1) / s.stride_width);
        const int64_t last = std::max(
            first, left >= s.in_width ? 0 : std::min(s.out_width, (s.in_width - 1 - left) / s.stride_width + 1));
        for (int64_t i = 0; i < s.out_height; ++i, to += s.out_width) {
          const int64_t row = i * s.stride_height + p * s.dilation_height - s.padding_top;
          if (row < 0 || row >= s.in_height) {
            std::fill_n(to, s.out_width, T{0});
            continue;
          }
          const T* const from = x + (c * s.in_height + row) * s.in_width + left;
          if (first > 0) std::fill_n(to, first, T{0});
          if (s.stride_width == 1) copy_line(from + first, last - first, to + first);
          else
            for (int64_t j = first; j < last; ++j) to[j] = from[j * s.stride_width];
          if (last < s.out_width) std::fill_n(to + last, s.out_width - last, T{0});
        }
      }
}

}  // namespace espalier::program
