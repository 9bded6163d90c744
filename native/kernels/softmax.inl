#include "kernels/row.inl"

using kernels::Softmax;

// The strip is contiguous: a sum over lanes.
template <class T>
ESPALIER_INLINE void softmax_row(Softmax kind, const T* x, T* y, int64_t n) {
  const T top = row_max<T>(x, n);
  const Vec<T> shift = broadcast<T>(top);
  Sums<T, 1> sums;
  if (kind == Softmax::kPlain) {
    sums.add(n, [=](Vec<T>* sum, int64_t i, auto part) {
      const Vec<T> e = exp<T>(part.read(x + i) - shift);
      part.write(y + i, e);
      sum[0] += part.pad(e, 0);
    });
    const Vec<T> scale = broadcast<T>(1 / sums.total(0));
    by_vectors<T>(n, [=](int64_t i, auto part) { part.write(y + i, part.read(y + i) * scale); });
  } else {
    sums.add(n, [=](Vec<T>* sum, int64_t i, auto part) { sum[0] += part.pad(exp<T>(part.read(x + i) - shift), 0); });
    const Vec<T> log_sum = broadcast<T>(std::log(sums.total(0)));
    by_vectors<T>(n, [=](int64_t i, auto part) { part.write(y + i, part.read(x + i) - shift - log_sum); });
  }
}

// The strip has a stride: a vector holds neighbouring strips, and nothing is summed over lanes.
template <class T, class Part>
ESPALIER_INLINE void softmax_columns(Softmax kind, const T* x, T* y, int64_t n, int64_t stride, Part part) {
  Vec<T> shift = broadcast<T>(-std::numeric_limits<T>::infinity());
  for (int64_t i = 0; i < n; ++i) shift = max<T>(part.read(x + i * stride), shift);
  Vec<T> sum{};
  for (int64_t i = 0; i < n; ++i) {
    const Vec<T> e = exp<T>(part.read(x + i * stride) - shift);
    if (kind == Softmax::kPlain) part.write(y + i * stride, e);
    sum += e;
  }
  if (kind == Softmax::kPlain) {
    const Vec<T> scale = broadcast<T>(1) / sum;
    for (int64_t i = 0; i < n; ++i) part.write(y + i * stride, part.read(y + i * stride) * scale);
  } else {
    const Vec<T> log_sum = by_lane<T>(sum, [](T v) { return std::log(v); });
    for (int64_t i = 0; i < n; ++i) part.write(y + i * stride, part.read(x + i * stride) - shift - log_sum);
  }
}

template <class T>
ESPALIER_INLINE void softmax_row_backward(Softmax kind, const T* dy, const T* y, T* dx, int64_t n) {
  Sums<T, 1> sums;
  if (kind == Softmax::kPlain) {
    sums.add(n,
             [=](Vec<T>* sum, int64_t i, auto part) { sum[0] = fma<T>(part.read(dy + i), part.read(y + i), sum[0]); });
    const Vec<T> mean = broadcast<T>(sums.total(0));
    by_vectors<T>(n, [=](int64_t i, auto part) { part.write(dx + i, part.read(y + i) * (part.read(dy + i) - mean)); });
  } else {
    sums.add(n, [=](Vec<T>* sum, int64_t i, auto part) { sum[0] += part.read(dy + i); });
    const Vec<T> total = broadcast<T>(sums.total(0));
    by_vectors<T>(
        n, [=](int64_t i, auto part) { part.write(dx + i, part.read(dy + i) - exp<T>(part.read(y + i)) * total); });
  }
}

template <class T, class Part>
ESPALIER_INLINE void softmax_columns_backward(Softmax kind, const T* dy, const T* y, T* dx, int64_t n, int64_t stride,
                                              Part part) {
  Vec<T> sum{};
  for (int64_t i = 0; i < n * stride; i += stride)
    sum += kind == Softmax::kPlain ? part.read(dy + i) * part.read(y + i) : part.read(dy + i);
  for (int64_t i = 0; i < n * stride; i += stride)
    part.write(dx + i, kind == Softmax::kPlain ? part.read(y + i) * (part.read(dy + i) - sum)
                                               : part.read(dy + i) - exp<T>(part.read(y + i)) * sum);
}

// row(offset) for each strip where they are contiguous, else columns(offset, part) for each vector of them.
template <class T, class Row, class Columns>
ESPALIER_INLINE void each_strip(espalier_strip shape, Row row, Columns columns) {
  if (shape.outer == 0 || shape.length == 0 || shape.inner == 0) return;
  if (shape.inner == 1) {
    const int64_t grain = std::max<int64_t>(1, kSoftmaxGrain / shape.length);
    parallel_ranges(shape.outer, grain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) row(i * shape.length);
    });
    return;
  }
  const int64_t grain = std::max<int64_t>(1, kSoftmaxGrain / (shape.length * shape.inner));
  parallel_ranges(shape.outer, grain, [=](int64_t begin, int64_t end) {
    for (int64_t outer = begin; outer < end; ++outer)
      by_vectors<T>(shape.inner, [=](int64_t i, auto part) { columns(outer * shape.length * shape.inner + i, part); });
  });
}

template <class T>
void softmax_forward(Softmax kind, const T* x, T* y, espalier_strip shape) {
  each_strip<T>(
      shape, [=](int64_t at) { softmax_row<T>(kind, x + at, y + at, shape.length); },
      [=](int64_t at, auto part) { softmax_columns<T>(kind, x + at, y + at, shape.length, shape.inner, part); });
}

template <class T>
void softmax_backward(Softmax kind, const T* dy, const T* y, T* dx, espalier_strip shape) {
  each_strip<T>(
      shape, [=](int64_t at) { softmax_row_backward<T>(kind, dy + at, y + at, dx + at, shape.length); },
      [=](int64_t at, auto part) {
        softmax_columns_backward<T>(kind, dy + at, y + at, dx + at, shape.length, shape.inner, part);
      });
}
