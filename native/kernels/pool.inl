#include "kernels/row.inl"
#include "simd/transpose.inl"

#include "simd/squares.inl"

// A vector holds neighbouring windows of a row of windows. For one tap these read values `stride` apart,
// so that kernel and dilation are loops around one strided read, and what is computed stays in registers.
// Windows that reach past the sides of the image are few: they are computed one by one.

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
inline Range row_taps(const espalier_pool2d& shape, int64_t h) {
  return taps_inside(h * shape.stride_height - shape.padding_height, shape.kernel_height, shape.dilation_height,
                     shape.height);
}
inline Range column_taps(const espalier_pool2d& shape, int64_t w) {
  return taps_inside(w * shape.stride_width - shape.padding_width, shape.kernel_width, shape.dilation_width,
                     shape.width);
}

// The windows of a row that lie wholly between the sides of the image; none where they would not fill a
// good part of a vector.
inline Range inner_windows(const espalier_pool2d& shape) {
  const int64_t room = shape.width + shape.padding_width - (shape.kernel_width - 1) * shape.dilation_width;
  const int64_t begin = std::min((shape.padding_width + shape.stride_width - 1) / shape.stride_width, shape.out_width);
  const int64_t end = room <= 0 ? 0 : std::min((room + shape.stride_width - 1) / shape.stride_width, shape.out_width);
  return end - begin < 3 ? Range{0, 0} : Range{begin, end};
}

// body(begin, end) over the planes, so many at a time that a thread has enough to do.
template <class Body>
ESPALIER_INLINE void plane_ranges(int64_t planes, int64_t size, Body body) {
  parallel_ranges(planes, std::max<int64_t>(1, kPoolGrain / std::max<int64_t>(1, size)), body);
}

template <class T>
struct Evens {
  // The second operand starts one short of where the first one ends: nothing past the last even is read.
  static constexpr int at(int i) { return i < kLanes<T> / 2 ? 2 * i : 2 * i + 1; }
};
template <class T>
ESPALIER_INLINE Vec<T> read_evens(const T* p, WholePart<T>) {
  return shuffle<T, Evens<T>>(load<T>(p), load<T>(p + kLanes<T> - 1));
}
template <class T>
ESPALIER_INLINE Vec<T> read_evens(const T* p, FirstPart<T> part) {
  const int64_t count = 2 * part.lanes - 1, lanes = kLanes<T>;
  if (count <= lanes) return shuffle<T, Evens<T>>(load_first<T>(p, count), Vec<T>{});
  return shuffle<T, Evens<T>>(load<T>(p), load_first<T>(p + lanes - 1, count - lanes + 1));
}
// The values p[0], p[stride], p[2 stride], …; no others are touched.
template <class T, class Stride, class Part>
ESPALIER_INLINE Vec<T> read_strided(const T* p, Stride stride, Part part) {
  if constexpr (std::is_same_v<Stride, std::integral_constant<int64_t, 1>>) {
    return part.read(p);
  } else if constexpr (std::is_same_v<Stride, std::integral_constant<int64_t, 2>>) {
    return read_evens<T>(p, part);
  } else {
    Vec<T> v{};
    for (int64_t i = 0; i < part.count(); ++i) v[i] = p[i * stride];
    return v;
  }
}

// Runs body(stride) with the common strides known to the compiler.
template <class Body>
ESPALIER_INLINE void with_stride(int64_t stride, Body body) {
  switch (stride) {
    case 1: return body(std::integral_constant<int64_t, 1>{});
    case 2: return body(std::integral_constant<int64_t, 2>{});
    default: return body(stride);
  }
}

// several(w, part) for the inner windows of a row by vectors, single(w) for each of the others.
template <class T, class Several, class Single>
ESPALIER_INLINE void along_row(const espalier_pool2d& shape, Range inner, Several several, Single single) {
  for (int64_t w = 0; w < inner.begin; ++w) single(w);
  by_vectors<T>(inner.end - inner.begin, [=](int64_t i, auto part) { several(inner.begin + i, part); });
  for (int64_t w = inner.end; w < shape.out_width; ++w) single(w);
}

// ---- Largest value --------------------------------------------------------------------------------

// Places in a plane, as wide as the values they go with; in memory they are int32.
template <class T>
using Places = Mask<T>;

template <class T, class Part>
ESPALIER_INLINE void write_places(int32_t* p, Places<T> v, Part part) {
  if constexpr (sizeof(T) == sizeof(int32_t)) part.write(reinterpret_cast<T*>(p), (Vec<T>)v);
  else
    for (int64_t i = 0; i < part.count(); ++i) p[i] = static_cast<int32_t>(v[i]);
}

// The first tap inside the image is where a window starts from, whatever its value: −∞ may be the answer.
template <class T>
ESPALIER_INLINE void max_of_window(const espalier_pool2d& shape, const T* image, int64_t h, int64_t w, T* y,
                                   int32_t* place) {
  const Range rows = row_taps(shape, h), columns = column_taps(shape, w);
  const int64_t top = h * shape.stride_height - shape.padding_height;
  const int64_t left = w * shape.stride_width - shape.padding_width;
  T largest = -std::numeric_limits<T>::infinity();
  int64_t at = -1;
  for (int64_t i = rows.begin; i < rows.end; ++i)
    for (int64_t j = columns.begin; j < columns.end; ++j) {
      const int64_t here = (top + i * shape.dilation_height) * shape.width + left + j * shape.dilation_width;
      const bool better = (image[here] > largest) | (image[here] != image[here]) | (at < 0);
      largest = better ? image[here] : largest;
      at = better ? here : at;
    }
  *y = largest;
  if (place != nullptr) *place = static_cast<int32_t>(at);
}

// The same for the windows from w on, all of them inside the image's sides; `steps` are 0, stride, 2 stride, …
template <class T, bool kPlaces, class Stride, class Part>
ESPALIER_INLINE void max_of_windows(const espalier_pool2d& shape, Stride stride, Places<T> steps, const T* image,
                                    int64_t h, int64_t w, T* y, int32_t* places, Part part) {
  const Range rows = row_taps(shape, h);
  const int64_t top = h * shape.stride_height - shape.padding_height;
  const int64_t left = w * stride - shape.padding_width;
  Vec<T> largest = broadcast<T>(-std::numeric_limits<T>::infinity());
  Places<T> at = Places<T>{} - 1;
  if (rows.begin < rows.end)
    at = steps + static_cast<int32_t>((top + rows.begin * shape.dilation_height) * shape.width + left);
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    const int64_t row = (top + i * shape.dilation_height) * shape.width + left;
    for (int64_t j = 0; j < shape.kernel_width; ++j) {
      const int64_t here = row + j * shape.dilation_width;
      const Vec<T> value = read_strided<T>(image + here, stride, part);
      const auto better = (value > largest) | (value != value);
      largest = better ? value : largest;
      if constexpr (kPlaces) at = better ? steps + static_cast<int32_t>(here) : at;
    }
  }
  part.write(y, largest);
  if constexpr (kPlaces) write_places<T>(places, at, part);
}

template <class T, bool kPlaces, class Stride>
ESPALIER_INLINE void max_pool2d_planes(const espalier_pool2d& shape, Stride stride, const T* x, T* y,
                                       int32_t* indices) {
  const int64_t in_size = shape.height * shape.width;
  const Range inner = inner_windows(shape);
  Places<T> steps{};
  for (int i = 0; i < kLanes<T>; ++i) steps[i] = static_cast<int32_t>(i * stride);
  plane_ranges(shape.planes, in_size, [=, &shape](int64_t begin, int64_t end) {
    for (int64_t row = begin * shape.out_height; row < end * shape.out_height; ++row) {
      const int64_t h = row % shape.out_height;
      const T* const image = x + row / shape.out_height * in_size;
      T* const out = y + row * shape.out_width;
      int32_t* const places = kPlaces ? indices + row * shape.out_width : nullptr;
      along_row<T>(
          shape, inner,
          [=, &shape](int64_t w, auto part) {
            max_of_windows<T, kPlaces>(shape, stride, steps, image, h, w, out + w, places + (kPlaces ? w : 0), part);
          },
          [=, &shape](int64_t w) { max_of_window<T>(shape, image, h, w, out + w, kPlaces ? places + w : nullptr); });
    }
  });
}

// Of the part's windows of 2×2, side by side from `top` on. In the order of max_of_windows: which of two zeros is kept
// stays.
template <class T, class Part>
ESPALIER_INLINE void squares_of_part(const T* top, int64_t width, T* out, Part part) {
  const int64_t count = 2 * part.count(), lanes = kLanes<T>;
  const auto read = [=](const T* p, Vec<T>(&row)[2]) __attribute__((always_inline)) {
    row[0] = count < lanes ? load_first<T>(p, count) : load<T>(p);
    row[1] = count < 2 * lanes ? load_first<T>(p + lanes, std::max<int64_t>(count - lanes, 0)) : load<T>(p + lanes);
  };
  Vec<T> rows[2][2];
  read(top, rows[0]);
  read(top + width, rows[1]);
  part.write(out, largest_of_squares<T>(rows[0], rows[1]));
}

// Windows of 2×2 side by side, all inside the image: nothing of a window has to be asked for at each row of them, which
// is what small images take most of their time for. Nor are parts of vectors read and written, which only AVX-512 does
// well, where it can be helped: a row's last vector begins early enough to end with the row, and what a short row's
// vector writes too much of is overwritten by the rows behind it.
template <class T>
void max_of_squares(const espalier_pool2d& shape, const T* x, T* y) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  const int64_t width = shape.width, height = shape.out_height, windows = shape.out_width;
  const T* const x_end = x + shape.planes * in_size;
  plane_ranges(shape.planes, in_size, [=](int64_t begin, int64_t end) {
    T* const y_end = y + end * out_size;
    for (int64_t plane = begin; plane < end; ++plane)
      for (int64_t h = 0; h < height; ++h) {
        const T* const top = x + plane * in_size + 2 * h * width;
        T* const out = y + plane * out_size + h * windows;
        int64_t w = 0;
        for (; w + kLanes<T> <= windows; w += kLanes<T>) squares_of_part(top + 2 * w, width, out + w, WholePart<T>{});
        if (w == windows) continue;
        if (w > 0) w = windows - kLanes<T>;
        if (w > 0 || (y_end - out >= kLanes<T> && x_end - top >= width + 2 * kLanes<T>))
          squares_of_part(top + 2 * w, width, out + w, WholePart<T>{});
        else squares_of_part(top, width, out, FirstPart<T>{windows});
      }
  });
}

template <class T>
void max_pool2d(espalier_pool2d shape, const T* x, T* y, int32_t* indices) {
  const int64_t size = shape.planes * shape.out_height * shape.out_width;
  if (size == 0) return;
  if (shape.height == 0 || shape.width == 0) {
    std::fill_n(y, size, -std::numeric_limits<T>::infinity());
    if (indices != nullptr) std::fill_n(indices, size, -1);
    return;
  }
  const bool squares = shape.kernel_height == 2 && shape.kernel_width == 2 && shape.stride_height == 2 &&
                       shape.stride_width == 2 && shape.dilation_height == 1 && shape.dilation_width == 1 &&
                       shape.padding_height == 0 && shape.padding_width == 0 && 2 * shape.out_height <= shape.height &&
                       2 * shape.out_width <= shape.width;
  if (squares && indices == nullptr) return max_of_squares<T>(shape, x, y);
  with_stride(shape.stride_width, [&](auto stride) {
    if (indices != nullptr) max_pool2d_planes<T, true>(shape, stride, x, y, indices);
    else max_pool2d_planes<T, false>(shape, stride, x, y, nullptr);
  });
}

template <class T>
void max_pool_backward(int64_t planes, int64_t in_size, int64_t out_size, const T* dy, const int32_t* indices, T* dx) {
  if (in_size == 0) return;
  plane_ranges(planes, in_size, [=](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      T* const out = dx + plane * in_size;
      std::fill_n(out, in_size, T{0});
      for (int64_t i = plane * out_size; i < (plane + 1) * out_size; ++i)
        if (indices[i] >= 0) out[indices[i]] += dy[i];
    }
  });
}

// ---- Mean -----------------------------------------------------------------------------------------

// How many values a window divides by along one dimension.
inline int64_t counted(int64_t start, int64_t kernel, int64_t size, int64_t padding, bool count_padding) {
  const int64_t end = std::min(start + kernel, size + padding);
  return count_padding ? end - start : std::min(end, size) - std::max<int64_t>(start, 0);
}
inline int64_t row_count(const espalier_pool2d& shape, bool count_padding, int64_t h) {
  return counted(h * shape.stride_height - shape.padding_height, shape.kernel_height, shape.height,
                 shape.padding_height, count_padding);
}
inline int64_t column_count(const espalier_pool2d& shape, bool count_padding, int64_t w) {
  return counted(w * shape.stride_width - shape.padding_width, shape.kernel_width, shape.width, shape.padding_width,
                 count_padding);
}

template <class T, class Stride>
ESPALIER_INLINE void avg_pool2d_planes(const espalier_pool2d& shape, Stride stride, bool count_padding, const T* x,
                                       T* y) {
  const int64_t in_size = shape.height * shape.width;
  const Range inner = inner_windows(shape);
  plane_ranges(shape.planes, in_size, [=, &shape](int64_t begin, int64_t end) {
    for (int64_t row = begin * shape.out_height; row < end * shape.out_height; ++row) {
      const int64_t h = row % shape.out_height;
      const Range taps = row_taps(shape, h);
      const int64_t count = row_count(shape, count_padding, h);
      const T* const first =
          x + row / shape.out_height * in_size + (h * shape.stride_height - shape.padding_height) * shape.width;
      T* const out = y + row * shape.out_width;
      along_row<T>(
          shape, inner,
          [=, &shape](int64_t w, auto part) {
            Vec<T> sum{};
            for (int64_t i = taps.begin; i < taps.end; ++i)
              for (int64_t j = 0; j < shape.kernel_width; ++j)
                sum += read_strided<T>(first + i * shape.width + w * stride - shape.padding_width + j, stride, part);
            part.write(out + w, sum * broadcast<T>(T{1} / static_cast<T>(count * shape.kernel_width)));
          },
          [=, &shape](int64_t w) {
            const Range columns = column_taps(shape, w);
            T sum{};
            for (int64_t i = taps.begin; i < taps.end; ++i)
              for (int64_t j = columns.begin; j < columns.end; ++j)
                sum += first[i * shape.width + w * stride - shape.padding_width + j];
            out[w] = sum / static_cast<T>(count * column_count(shape, count_padding, w));
          });
    }
  });
}

template <class T>
void avg_pool2d(espalier_pool2d shape, bool count_padding, const T* x, T* y) {
  const int64_t size = shape.planes * shape.out_height * shape.out_width;
  if (size == 0) return;
  if (shape.height == 0 || shape.width == 0) std::fill_n(y, size, T{0});
  else with_stride(shape.stride_width, [&](auto stride) { avg_pool2d_planes<T>(shape, stride, count_padding, x, y); });
}

// The gradient of a row of windows is spread over the columns of one row, which is then added to each row
// under the windows.
template <class T>
void avg_pool2d_backward(espalier_pool2d shape, bool count_padding, const T* dy, T* dx) {
  const int64_t in_size = shape.height * shape.width, out_size = shape.out_height * shape.out_width;
  if (in_size == 0) return;
  plane_ranges(shape.planes, in_size, [=, &shape](int64_t begin, int64_t end) {
    std::fill_n(dx + begin * in_size, (end - begin) * in_size, T{0});
    if (out_size == 0) return;
    T* const share = scratch<T>(Scratch::kOther, shape.out_width);
    T* const counts = scratch<T>(Scratch::kPartial, shape.out_width);
    T* const spread = scratch<T>(Scratch::kColumns, shape.width);
    for (int64_t w = 0; w < shape.out_width; ++w) counts[w] = static_cast<T>(column_count(shape, count_padding, w));
    for (int64_t row = begin * shape.out_height; row < end * shape.out_height; ++row) {
      const int64_t h = row % shape.out_height;
      const Vec<T> count = broadcast<T>(static_cast<T>(row_count(shape, count_padding, h)));
      by_vectors<T>(shape.out_width, [=, &shape](int64_t w, auto part) {
        part.write(share + w, part.read(dy + row * shape.out_width + w) / (count * part.read(counts + w)));
      });
      std::fill_n(spread, shape.width, T{0});
      for (int64_t w = 0; w < shape.out_width; ++w) {
        const int64_t left = w * shape.stride_width - shape.padding_width;
        const int64_t right = std::min(left + shape.kernel_width, shape.width);
        for (int64_t c = std::max<int64_t>(left, 0); c < right; ++c) spread[c] += share[w];
      }
      const Range taps = row_taps(shape, h);
      T* const first =
          dx + row / shape.out_height * in_size + (h * shape.stride_height - shape.padding_height) * shape.width;
      for (int64_t i = taps.begin; i < taps.end; ++i)
        by_vectors<T>(shape.width, [=](int64_t c, auto part) {
          T* const to = first + i * shape.width + c;
          part.write(to, part.read(to) + part.read(spread + c));
        });
    }
  });
}

// ---- Adaptive -------------------------------------------------------------------------------------

// body(plane) for each.
template <class Body>
ESPALIER_INLINE void each_plane(int64_t planes, int64_t size, Body body) {
  plane_ranges(planes, size, [=](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) body(plane);
  });
}

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
