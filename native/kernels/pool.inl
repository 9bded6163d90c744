#include "kernels/row.inl"

// A row of windows is computed tap by tap: for one tap, neighbouring windows read values `stride` apart,
// and the windows that have this tap inside the image are one range. That inner loop is the same for
// every kernel, padding and dilation, and the row it works on stays in the first-level cache.

// [begin, end) of something.
struct Range {
  int64_t begin, end;
};

// The taps of the window that starts at `start` that fall in [0, size).
inline Range taps_inside(int64_t start, int64_t kernel, int64_t dilation, int64_t size) {
  const int64_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
  const int64_t end = start >= size ? 0 : (size - start + dilation - 1) / dilation;
  return {std::min(first, kernel), std::max(std::min(first, kernel), std::min(end, kernel))};
}

// The windows whose tap at `offset` from the start of the first one falls in [0, size).
inline Range windows_inside(int64_t offset, int64_t stride, int64_t count, int64_t size) {
  const int64_t first = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
  const int64_t end = offset >= size ? 0 : (size - offset + stride - 1) / stride;
  return {std::min(first, count), std::max(std::min(first, count), std::min(end, count))};
}

// body(plane) for each, so many at a time that a thread has enough to do.
template <class Body>
ESPALIER_INLINE void each_plane(int64_t planes, int64_t size, Body body) {
  parallel_ranges(planes, std::max<int64_t>(1, kPoolGrain / (size + 1)), [=](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

// visit(row, from, windows, offset): for each tap of the windows of output row h that lies in the image.
// `windows` is the range of windows that have it; window w reads column w · stride_width + offset.
template <class Visit>
ESPALIER_INLINE void each_tap(const espalier_pool2d& shape, int64_t h, Visit visit) {
  const int64_t top = h * shape.stride_height - shape.padding_height;
  const Range rows = taps_inside(top, shape.kernel_height, shape.dilation_height, shape.height);
  for (int64_t i = rows.begin; i < rows.end; ++i)
    // Taps beyond the last window's reach or before the first one's would find no window: skip them.
    for (int64_t j = 0; j < shape.kernel_width; ++j) {
      const int64_t offset = j * shape.dilation_width - shape.padding_width;
      if (offset >= shape.width) break;
      const Range windows = windows_inside(offset, shape.stride_width, shape.out_width, shape.width);
      if (windows.begin < windows.end) visit(top + i * shape.dilation_height, windows, offset);
    }
}

// Runs body(stride) with the common strides known to the compiler, which then loads by vectors.
template <class Body>
ESPALIER_INLINE void with_stride(int64_t stride, Body body) {
  switch (stride) {
    case 1: return body(std::integral_constant<int64_t, 1>{});
    case 2: return body(std::integral_constant<int64_t, 2>{});
    default: return body(stride);
  }
}

template <class T>
void max_pool2d(espalier_pool2d shape, const T* x, T* y, int32_t* indices) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (out_size == 0) return;
  each_plane(shape.planes, in_size, [=](int64_t plane) {
    int32_t* const places = indices == nullptr ? scratch<int32_t>(Scratch::kIndex, shape.out_width) : nullptr;
    for (int64_t h = 0; h < shape.out_height; ++h) {
      const T* const image = x + plane * in_size;
      T* const best = y + plane * out_size + h * shape.out_width;
      int32_t* const where = indices == nullptr ? places : indices + plane * out_size + h * shape.out_width;
      std::fill_n(best, shape.out_width, -std::numeric_limits<T>::infinity());
      std::fill_n(where, shape.out_width, -1);
      with_stride(shape.stride_width, [&](auto stride) {
        each_tap(shape, h, [=](int64_t row, Range windows, int64_t offset) {
          const T* const from = image + row * shape.width + offset;
          const int32_t place = static_cast<int32_t>(row * shape.width + offset);
          for (int64_t w = windows.begin; w < windows.end; ++w) {
            const T value = from[w * stride];
            // The first value of a window is taken even where it is −∞.
            const bool better = value > best[w] || value != value || where[w] < 0;
            best[w] = better ? value : best[w];
            where[w] = better ? place + static_cast<int32_t>(w * stride) : where[w];
          }
        });
      });
    }
  });
}

template <class T>
void max_pool_backward(int64_t planes, int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices, T* dx) {
  each_plane(planes, in_size, [=](int64_t plane) {
    T* const out = dx + plane * in_size;
    std::fill_n(out, in_size, T{0});
    for (int64_t i = plane * out_size; i < (plane + 1) * out_size; ++i)
      if (indices[i] >= 0) out[indices[i]] += dy[i];
  });
}

// Values a window divides by along one axis.
inline int64_t counted(int64_t start, int64_t kernel, int64_t size, int64_t padding, bool count_padding) {
  const int64_t end = std::min(start + kernel, size + padding);
  return count_padding ? end - start : std::min(end, size) - std::max<int64_t>(start, 0);
}

// 1 / the number of values of each window of output row h.
template <class T>
ESPALIER_INLINE void window_scales(const espalier_pool2d& shape, bool count_padding, int64_t h, T* scales) {
  const int64_t rows = counted(h * shape.stride_height - shape.padding_height, shape.kernel_height, shape.height,
                               shape.padding_height, count_padding);
  for (int64_t w = 0; w < shape.out_width; ++w)
    scales[w] = T{1} / static_cast<T>(rows * counted(w * shape.stride_width - shape.padding_width, shape.kernel_width,
                                                     shape.width, shape.padding_width, count_padding));
}

template <class T>
void avg_pool2d(espalier_pool2d shape, bool count_padding, const T* x, T* y) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (out_size == 0) return;
  each_plane(shape.planes, in_size, [=](int64_t plane) {
    T* const scales = scratch<T>(Scratch::kOther, shape.out_width);
    for (int64_t h = 0; h < shape.out_height; ++h) {
      const T* const image = x + plane * in_size;
      T* const sum = y + plane * out_size + h * shape.out_width;
      std::fill_n(sum, shape.out_width, T{0});
      with_stride(shape.stride_width, [&](auto stride) {
        each_tap(shape, h, [=](int64_t row, Range windows, int64_t offset) {
          const T* const from = image + row * shape.width + offset;
          for (int64_t w = windows.begin; w < windows.end; ++w) sum[w] += from[w * stride];
        });
      });
      window_scales(shape, count_padding, h, scales);
      for (int64_t w = 0; w < shape.out_width; ++w) sum[w] *= scales[w];
    }
  });
}

template <class T>
void avg_pool2d_backward(espalier_pool2d shape, bool count_padding, const T* dy, T* dx) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (in_size == 0) return;
  each_plane(shape.planes, in_size, [=](int64_t plane) {
    T* const image = dx + plane * in_size;
    std::fill_n(image, in_size, T{0});
    if (out_size == 0) return;
    T* const share = scratch<T>(Scratch::kOther, shape.out_width);
    for (int64_t h = 0; h < shape.out_height; ++h) {
      window_scales(shape, count_padding, h, share);
      for (int64_t w = 0; w < shape.out_width; ++w) share[w] *= dy[plane * out_size + h * shape.out_width + w];
      with_stride(shape.stride_width, [&](auto stride) {
        each_tap(shape, h, [=](int64_t row, Range windows, int64_t offset) {
          T* const to = image + row * shape.width + offset;
          for (int64_t w = windows.begin; w < windows.end; ++w) to[w * stride] += share[w];
        });
      });
    }
  });
}

// ---- Adaptive -------------------------------------------------------------------------------------

inline Range adaptive_window(int64_t i, int64_t size, int64_t count) {
  return {i * size / count, ((i + 1) * size + count - 1) / count};
}

// visit(output, row, columns) for each row of each window of a plane; a window as wide as the image
// comes as one row, since its values are contiguous.
template <class Visit>
ESPALIER_INLINE void each_window_row(const espalier_adaptive_pool2d& shape, Visit visit) {
  for (int64_t h = 0; h < shape.out_height; ++h) {
    const Range rows = adaptive_window(h, shape.height, shape.out_height);
    if (shape.out_width == 1) {
      visit(h, rows.begin, Range{0, (rows.end - rows.begin) * shape.width});
      continue;
    }
    for (int64_t w = 0; w < shape.out_width; ++w) {
      const Range columns = adaptive_window(w, shape.width, shape.out_width);
      for (int64_t row = rows.begin; row < rows.end; ++row) visit(h * shape.out_width + w, row, columns);
    }
  }
}
inline int64_t adaptive_count(const espalier_adaptive_pool2d& shape, int64_t output) {
  const Range rows = adaptive_window(output / shape.out_width, shape.height, shape.out_height);
  const Range columns = adaptive_window(output % shape.out_width, shape.width, shape.out_width);
  return (rows.end - rows.begin) * (columns.end - columns.begin);
}

template <class T>
void adaptive_avg_pool2d(espalier_adaptive_pool2d shape, const T* x, T* y) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (out_size == 0) return;
  each_plane(shape.planes, in_size, [=](int64_t plane) {
    const T* const image = x + plane * in_size;
    T* const out = y + plane * out_size;
    std::fill_n(out, out_size, T{0});
    each_window_row(shape, [=](int64_t output, int64_t row, Range columns) {
      out[output] += row_sum<T>(image + row * shape.width + columns.begin, columns.end - columns.begin);
    });
    for (int64_t i = 0; i < out_size; ++i) out[i] /= static_cast<T>(adaptive_count(shape, i));
  });
}

template <class T>
void adaptive_avg_pool2d_backward(espalier_adaptive_pool2d shape, const T* dy, T* dx) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (in_size == 0) return;
  each_plane(shape.planes, in_size, [=](int64_t plane) {
    T* const image = dx + plane * in_size;
    std::fill_n(image, in_size, T{0});
    if (out_size == 0) return;
    each_window_row(shape, [=](int64_t output, int64_t row, Range columns) {
      const T share = dy[plane * out_size + output] / static_cast<T>(adaptive_count(shape, output));
      T* const to = image + row * shape.width;
      for (int64_t i = columns.begin; i < columns.end; ++i) to[i] += share;
    });
  });
}

template <class T>
void adaptive_max_pool2d(espalier_adaptive_pool2d shape, const T* x, T* y, int32_t* indices) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (out_size == 0) return;
  each_plane(shape.planes, in_size, [=](int64_t plane) {
    const T* const image = x + plane * in_size;
    T* const best = y + plane * out_size;
    std::fill_n(best, out_size, -std::numeric_limits<T>::infinity());
    if (indices != nullptr) std::fill_n(indices + plane * out_size, out_size, -1);
    each_window_row(shape, [=](int64_t output, int64_t row, Range columns) {
      for (int64_t i = row * shape.width + columns.begin; i < row * shape.width + columns.end; ++i) {
        const bool first = indices != nullptr && indices[plane * out_size + output] < 0;
        if (!(image[i] > best[output] || image[i] != image[i] || first)) continue;
        best[output] = image[i];
        if (indices != nullptr) indices[plane * out_size + output] = static_cast<int32_t>(i);
      }
    });
  });
}
