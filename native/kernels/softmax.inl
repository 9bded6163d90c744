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
      const Vec<T> e = exp_of_negative<T>(part.read(x + i) - shift);
      part.write(y + i, e);
      sum[0] += part.pad(e, 0);
    });
    const Vec<T> scale = broadcast<T>(1 / sums.total(0));
    by_vectors<T>(n, [=](int64_t i, auto part) { part.write(y + i, part.read(y + i) * scale); });
  } else {
    sums.add(n, [=](Vec<T>* sum, int64_t i, auto part) {
      sum[0] += part.pad(exp_of_negative<T>(part.read(x + i) - shift), 0);
    });
    const Vec<T> log_sum = broadcast<T>(std::log(sums.total(0)));
    by_vectors<T>(n, [=](int64_t i, auto part) { part.write(y + i, part.read(x + i) - shift - log_sum); });
  }
}

// Neighbouring strips, taken together: their values lie in rows, `stride` apart, and nothing is summed over
// lanes. So many at a time that what they share stays in the first-level cache.
constexpr int64_t kSoftmaxColumns = 256;

template <class T>
ESPALIER_INLINE void softmax_columns(Softmax kind, const T* x, T* y, int64_t n, int64_t stride, int64_t count) {
  alignas(kVectorBytes) T top[kSoftmaxColumns], sum[kSoftmaxColumns];
  std::fill_n(top, count, -std::numeric_limits<T>::infinity());
  std::fill_n(sum, count, T{0});
  for (int64_t r = 0; r < n; ++r)
    by_vectors<T>(count, [=, &top](int64_t i, auto part) {
      part.write(top + i, max<T>(part.read(x + r * stride + i), part.read(top + i)));
    });
  for (int64_t r = 0; r < n; ++r)
    by_vectors<T>(count, [=, &top, &sum](int64_t i, auto part) {
      const Vec<T> e = exp_of_negative<T>(part.read(x + r * stride + i) - part.read(top + i));
      if (kind == Softmax::kPlain) part.write(y + r * stride + i, e);
      part.write(sum + i, part.read(sum + i) + e);
    });
  by_vectors<T>(count, [=, &sum](int64_t i, auto part) {
    const Vec<T> total = part.read(sum + i);
    part.write(sum + i, kind == Softmax::kPlain ? 1 / total : log<T>(total));
  });
  for (int64_t r = 0; r < n; ++r)
    by_vectors<T>(count, [=, &top, &sum](int64_t i, auto part) {
      T* const out = y + r * stride + i;
      part.write(out, kind == Softmax::kPlain
                          ? part.read(out) * part.read(sum + i)
                          : part.read(x + r * stride + i) - part.read(top + i) - part.read(sum + i));
    });
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
    by_vectors<T>(n, [=](int64_t i, auto part) {
      part.write(dx + i, part.read(dy + i) - exp_of_negative<T>(part.read(y + i)) * total);
    });
  }
}

template <class T>
ESPALIER_INLINE void softmax_columns_backward(Softmax kind, const T* dy, const T* y, T* dx, int64_t n, int64_t stride,
                                              int64_t count) {
  alignas(kVectorBytes) T sum[kSoftmaxColumns];
  std::fill_n(sum, count, T{0});
  for (int64_t r = 0; r < n; ++r)
    by_vectors<T>(count, [=, &sum](int64_t i, auto part) {
      const Vec<T> d = part.read(dy + r * stride + i);
      part.write(sum + i, part.read(sum + i) + (kind == Softmax::kPlain ? d * part.read(y + r * stride + i) : d));
    });
  for (int64_t r = 0; r < n; ++r)
    by_vectors<T>(count, [=, &sum](int64_t i, auto part) {
      const Vec<T> d = part.read(dy + r * stride + i), out = part.read(y + r * stride + i), all = part.read(sum + i);
      part.write(dx + r * stride + i, kind == Softmax::kPlain ? out * (d - all) : d - exp_of_negative<T>(out) * all);
    });
}

// row(offset) for each strip where they are contiguous, else columns(offset, count) for groups of neighbours.
template <class Row, class Columns>
ESPALIER_INLINE void each_strip(espalier_strip shape, Row row, Columns columns) {
  if (shape.outer == 0 || shape.length == 0 || shape.inner == 0) return;
  if (shape.inner == 1) {
    const int64_t grain = std::max<int64_t>(1, kSoftmaxGrain / shape.length);
    parallel_ranges(shape.outer, grain, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) row(i * shape.length);
    });
    return;
  }
  const int64_t groups = (shape.inner + kSoftmaxColumns - 1) / kSoftmaxColumns;
  const int64_t grain = std::max<int64_t>(1, kSoftmaxGrain / (shape.length * std::min(shape.inner, kSoftmaxColumns)));
  parallel_ranges(shape.outer * groups, grain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % groups * kSoftmaxColumns;
      columns(i / groups * shape.length * shape.inner + first, std::min(kSoftmaxColumns, shape.inner - first));
    }
  });
}

template <class T>
void softmax_forward(Softmax kind, const T* x, T* y, espalier_strip shape) {
  each_strip(
      shape, [=](int64_t at) { softmax_row<T>(kind, x + at, y + at, shape.length); },
      [=](int64_t at, int64_t count) { softmax_columns<T>(kind, x + at, y + at, shape.length, shape.inner, count); });
}

template <class T>
void softmax_backward(Softmax kind, const T* dy, const T* y, T* dx, espalier_strip shape) {
  each_strip(
      shape, [=](int64_t at) { softmax_row_backward<T>(kind, dy + at, y + at, dx + at, shape.length); },
      [=](int64_t at, int64_t count) {
        softmax_columns_backward<T>(kind, dy + at, y + at, dx + at, shape.length, shape.inner, count);
      });
}
