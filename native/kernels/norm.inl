#include "kernels/row.inl"

using kernels::Affine;
using kernels::NormGradients;
using kernels::RunningStatistics;

// Batch norm reads its array in one of two ways. With planes (size > 1) a channel is a set of runs of
// `size` values, and one thread takes a channel through all of its passes, so that the later ones find
// it in the cache. With rows (size = 1) a vector holds neighbouring channels.

// ---- One channel in planes ------------------------------------------------------------------------

// K sums over a channel, in double: folded every kNormFold vectors or so, lest float sums grow stale.
template <class T, int K, class Term>
ESPALIER_INLINE void channel_sums(espalier_channels shape, double* totals, Term term) {
  constexpr int64_t kRun = kNormFold * kLanes<T>;
  const int64_t stride = shape.channels * shape.size;
  const int64_t planes = std::max<int64_t>(1, kRun / shape.size);
  for (int k = 0; k < K; ++k) totals[k] = 0;
  for (int64_t first = 0; first < shape.batch; first += planes) {
    const int64_t last = std::min(shape.batch, first + planes);
    for (int64_t from = 0; from < shape.size; from += kRun) {
      const int64_t length = std::min(kRun, shape.size - from);
      Sums<T, K> sums;
      for (int64_t n = first; n < last; ++n)
        sums.add(length, [=](Vec<T>* sum, int64_t i, auto part) { term(sum, n * stride + from + i, part); });
      for (int k = 0; k < K; ++k) totals[k] += static_cast<double>(sums.total(k));
    }
  }
}

// body(i, part) for all of a channel.
template <class T, class Body>
ESPALIER_INLINE void over_channel(espalier_channels shape, Body body) {
  for (int64_t n = 0; n < shape.batch; ++n)
    by_vectors<T>(shape.size, [=](int64_t i, auto part) { body(n * shape.channels * shape.size + i, part); });
}

struct Moments {
  double mean, var;
};

// Two passes: a shifted single one would lose the variance of a channel whose mean is large.
template <class T>
ESPALIER_INLINE Moments plane_moments(espalier_channels shape, const T* x) {
  const double count = static_cast<double>(shape.batch) * static_cast<double>(shape.size);
  double sum, squares;
  channel_sums<T, 1>(shape, &sum, [=](Vec<T>* s, int64_t i, auto part) { s[0] += part.read(x + i); });
  const double mean = sum / count;
  const Vec<T> center = broadcast<T>(static_cast<T>(mean));
  channel_sums<T, 1>(shape, &squares, [=](Vec<T>* s, int64_t i, auto part) {
    const Vec<T> d = part.pad(part.read(x + i) - center, 0);
    s[0] = fma<T>(d, d, s[0]);
  });
  return {mean, squares / count};
}

template <class T>
ESPALIER_INLINE void normalise_planes(espalier_channels shape, const T* x, T mean, T scale, T bias, T* y) {
  const Vec<T> center = broadcast<T>(mean), factor = broadcast<T>(scale), shift = broadcast<T>(bias);
  over_channel<T>(shape,
                  [=](int64_t i, auto part) { part.write(y + i, fma<T>(part.read(x + i) - center, factor, shift)); });
}

// Σ dy and Σ dy (x − mean)
template <class T>
ESPALIER_INLINE void plane_gradient_sums(espalier_channels shape, const T* dy, const T* x, T mean, double* sums) {
  const Vec<T> center = broadcast<T>(mean);
  channel_sums<T, 2>(shape, sums, [=](Vec<T>* s, int64_t i, auto part) {
    const Vec<T> d = part.read(dy + i);
    s[0] += d;
    s[1] = fma<T>(d, part.read(x + i) - center, s[1]);
  });
}

// ---- Neighbouring channels in rows ----------------------------------------------------------------

// K sums over the batch for each of `width` neighbouring channels, sums[k · width + i]. Rows are read in
// their order, whole; blocks of kNormFold rows are added up by themselves, lest the sums grow stale.
template <class T, int K, class Term>
ESPALIER_INLINE void column_sums(int64_t batch, int64_t width, T* sums, Term term) {
  T* const block = sums + K * width;
  std::fill_n(sums, K * width, T{0});
  for (int64_t first = 0; first < batch; first += kNormFold) {
    std::fill_n(block, K * width, T{0});
    for (int64_t n = first; n < std::min(batch, first + kNormFold); ++n)
      by_vectors<T>(width, [=](int64_t i, auto part) {
        Vec<T> terms[K];
        for (int k = 0; k < K; ++k) terms[k] = part.read(block + k * width + i);
        term(terms, n, i, part);
        for (int k = 0; k < K; ++k) part.write(block + k * width + i, terms[k]);
      });
    by_vectors<T>(K * width,
                  [=](int64_t i, auto part) { part.write(sums + i, part.read(sums + i) + part.read(block + i)); });
  }
}
// Working memory for it, and for two more rows.
template <class T>
ESPALIER_INLINE T* column_scratch(int64_t width) {
  return scratch<T>(Scratch::kPartial, 4 * width);
}

template <class T>
ESPALIER_INLINE void over_rows(int64_t batch, int64_t width, int64_t stride, const T* x, T* y, const T* mean,
                               const T* factor, const T* bias) {
  for (int64_t n = 0; n < batch; ++n)
    by_vectors<T>(width, [=](int64_t i, auto part) {
      part.write(y + n * stride + i, fma<T>(part.read(x + n * stride + i) - part.read(mean + i), part.read(factor + i),
                                            bias == nullptr ? Vec<T>{} : part.read(bias + i)));
    });
}

// ---- Both -----------------------------------------------------------------------------------------

// planes(c) for each channel, or rows(begin, end) for ranges of channels where the size is 1.
template <class Planes, class Rows>
ESPALIER_INLINE void each_channel(espalier_channels shape, Planes planes, Rows rows) {
  if (shape.size == 1) {
    // At least four cache lines of a row at a time.
    parallel_ranges(shape.channels, std::max<int64_t>(64, kNormGrain / shape.batch), rows);
    return;
  }
  parallel_ranges(shape.channels, std::max<int64_t>(1, kNormGrain / (shape.batch * shape.size)),
                  [=](int64_t begin, int64_t end) {
                    for (int64_t c = begin; c < end; ++c) planes(c);
                  });
}

// An array without elements may still name huge dimensions: nothing is computed from them.
inline bool is_empty(espalier_channels shape) { return shape.batch == 0 || shape.channels == 0 || shape.size == 0; }

template <class T>
ESPALIER_INLINE T at_or(const T* values, int64_t i, T otherwise) {
  return values == nullptr ? otherwise : values[i];
}
template <class T, class Part>
ESPALIER_INLINE Vec<T> read_or(const T* values, int64_t i, T otherwise, Part part) {
  return values == nullptr ? broadcast<T>(otherwise) : part.read(values + i);
}

template <class T>
void batch_norm_train(espalier_channels shape, const T* x, Affine<T> affine, double eps, RunningStatistics<T> running,
                      T* mean, T* scale, T* y) {
  if (is_empty(shape)) return;
  const double count = static_cast<double>(shape.batch) * static_cast<double>(shape.size);
  const double unbiased = count / (count - 1);
  const auto remember = [=](int64_t c, double batch_mean, double batch_var) {
    if (running.mean == nullptr) return;
    const double keep = 1 - running.momentum;
    running.mean[c] = static_cast<T>(keep * static_cast<double>(running.mean[c]) + running.momentum * batch_mean);
    running.var[c] =
        static_cast<T>(keep * static_cast<double>(running.var[c]) + running.momentum * unbiased * batch_var);
  };
  each_channel(
      shape,
      [=](int64_t c) {
        const Moments moments = plane_moments<T>(shape, x + c * shape.size);
        mean[c] = static_cast<T>(moments.mean);
        scale[c] = static_cast<T>(1 / std::sqrt(moments.var + eps));
        remember(c, moments.mean, moments.var);
        normalise_planes<T>(shape, x + c * shape.size, mean[c], scale[c] * at_or(affine.weight, c, T{1}),
                            at_or(affine.bias, c, T{0}), y + c * shape.size);
      },
      [=](int64_t begin, int64_t end) {
        const int64_t width = end - begin, stride = shape.channels;
        const T* const from = x + begin;
        T* const center = mean + begin;
        T* const sums = column_scratch<T>(width);
        const Vec<T> share = broadcast<T>(static_cast<T>(1 / count));
        column_sums<T, 1>(shape.batch, width, sums, [=](Vec<T>* s, int64_t n, int64_t i, auto part) {
          s[0] += part.read(from + n * stride + i);
        });
        by_vectors<T>(width, [=](int64_t i, auto part) { part.write(center + i, part.read(sums + i) * share); });
        column_sums<T, 1>(shape.batch, width, sums, [=](Vec<T>* s, int64_t n, int64_t i, auto part) {
          const Vec<T> d = part.read(from + n * stride + i) - part.read(center + i);
          s[0] = fma<T>(d, d, s[0]);
        });
        for (int64_t i = 0; i < width; ++i) {
          const double var = static_cast<double>(sums[i]) / count;
          remember(begin + i, static_cast<double>(center[i]), var);
          scale[begin + i] = static_cast<T>(1 / std::sqrt(var + eps));
          sums[i] = scale[begin + i] * at_or(affine.weight, begin + i, T{1});
        }
        over_rows(shape.batch, width, stride, from, y + begin, center, sums,
                  affine.bias == nullptr ? nullptr : affine.bias + begin);
      });
}

template <class T>
ESPALIER_INLINE T inverse_deviation(T var, double eps) {
  return static_cast<T>(1 / std::sqrt(static_cast<double>(var) + eps));
}
template <class T>
void batch_norm_eval(espalier_channels shape, const T* x, Affine<T> affine, double eps, const T* mean, const T* var,
                     T* y) {
  if (is_empty(shape)) return;
  each_channel(
      shape,
      [=](int64_t c) {
        normalise_planes<T>(shape, x + c * shape.size, mean[c],
                            inverse_deviation(var[c], eps) * at_or(affine.weight, c, T{1}), at_or(affine.bias, c, T{0}),
                            y + c * shape.size);
      },
      [=](int64_t begin, int64_t end) {
        T* const factor = column_scratch<T>(end - begin);
        for (int64_t c = begin; c < end; ++c)
          factor[c - begin] = inverse_deviation(var[c], eps) * at_or(affine.weight, c, T{1});
        over_rows(shape.batch, end - begin, shape.channels, x + begin, y + begin, mean + begin, factor,
                  affine.bias == nullptr ? nullptr : affine.bias + begin);
      });
}

// dx = weight · scale · (dy − a − (x − mean) b): in training a and b are the parts of dy that go back
// through the mean and the variance, with given statistics they are 0.
template <class T, class ScaleOf>
ESPALIER_INLINE void batch_norm_backward(espalier_channels shape, const T* dy, const T* x, const T* weight,
                                         const T* mean, bool training, NormGradients<T> to, ScaleOf scale_of) {
  if (is_empty(shape)) {
    if (to.weight != nullptr) std::fill_n(to.weight, shape.channels, T{0});
    if (to.bias != nullptr) std::fill_n(to.bias, shape.channels, T{0});
    return;
  }
  const double count = static_cast<double>(shape.batch) * static_cast<double>(shape.size);
  const bool sums_wanted = training || to.weight != nullptr || to.bias != nullptr;
  each_channel(
      shape,
      [=](int64_t c) {
        const T* const from = x + c * shape.size;
        const T* const gradient = dy + c * shape.size;
        const T scale = scale_of(c);
        double sums[2] = {0, 0};
        if (sums_wanted) plane_gradient_sums<T>(shape, gradient, from, mean[c], sums);
        if (to.weight != nullptr) to.weight[c] = static_cast<T>(sums[1] * static_cast<double>(scale));
        if (to.bias != nullptr) to.bias[c] = static_cast<T>(sums[0]);
        if (to.x == nullptr) return;
        T* const out = to.x + c * shape.size;
        const Vec<T> factor = broadcast<T>(scale * at_or(weight, c, T{1}));
        if (!training) {
          over_channel<T>(shape, [=](int64_t i, auto part) { part.write(out + i, part.read(gradient + i) * factor); });
          return;
        }
        const double square = static_cast<double>(scale) * static_cast<double>(scale);
        const Vec<T> a = broadcast<T>(static_cast<T>(sums[0] / count));
        const Vec<T> b = broadcast<T>(static_cast<T>(sums[1] / count * square));
        const Vec<T> center = broadcast<T>(mean[c]);
        over_channel<T>(shape, [=](int64_t i, auto part) {
          part.write(out + i, factor * (part.read(gradient + i) - a - (part.read(from + i) - center) * b));
        });
      },
      [=](int64_t begin, int64_t end) {
        const int64_t width = end - begin, stride = shape.channels;
        const T* const gradient = dy + begin;
        const T* const from = x + begin;
        const T* const center = mean + begin;
        T* const sums = column_scratch<T>(width);
        if (sums_wanted)
          column_sums<T, 2>(shape.batch, width, sums, [=](Vec<T>* s, int64_t n, int64_t i, auto part) {
            const Vec<T> d = part.read(gradient + n * stride + i);
            s[0] += d;
            s[1] = fma<T>(d, part.read(from + n * stride + i) - part.read(center + i), s[1]);
          });
        T* const a = sums;
        T* const b = sums + width;
        T* const factor = sums + 2 * width;
        for (int64_t i = 0; i < width; ++i) {
          const T scale = scale_of(begin + i);
          if (to.weight != nullptr) to.weight[begin + i] = b[i] * scale;
          if (to.bias != nullptr) to.bias[begin + i] = a[i];
          factor[i] = scale * at_or(weight, begin + i, T{1});
          a[i] = training ? static_cast<T>(static_cast<double>(a[i]) / count) : T{0};
          b[i] = training ? static_cast<T>(static_cast<double>(b[i]) / count) * scale * scale : T{0};
        }
        if (to.x == nullptr) return;
        T* const out = to.x + begin;
        for (int64_t n = 0; n < shape.batch; ++n)
          by_vectors<T>(width, [=](int64_t i, auto part) {
            const Vec<T> d = part.read(gradient + n * stride + i) - part.read(a + i);
            const Vec<T> e = part.read(from + n * stride + i) - part.read(center + i);
            part.write(out + n * stride + i, part.read(factor + i) * (d - e * part.read(b + i)));
          });
      });
}

template <class T>
void batch_norm_train_backward(espalier_channels shape, const T* dy, const T* x, const T* weight, const T* mean,
                               const T* scale, NormGradients<T> to) {
  batch_norm_backward<T>(shape, dy, x, weight, mean, true, to, [=](int64_t c) { return scale[c]; });
}

template <class T>
void batch_norm_eval_backward(espalier_channels shape, const T* dy, const T* x, const T* weight, const T* mean,
                              const T* var, double eps, NormGradients<T> to) {
  batch_norm_backward<T>(shape, dy, x, weight, mean, false, to,
                         [=](int64_t c) { return inverse_deviation(var[c], eps); });
}

// ---- Layer norm -----------------------------------------------------------------------------------

template <class T>
void layer_norm_forward(espalier_rows shape, const T* x, Affine<T> affine, double eps, T* mean, T* scale, T* y) {
  const int64_t size = shape.size;
  parallel_ranges(
      shape.rows, std::max<int64_t>(1, kNormGrain / std::max<int64_t>(1, size)), [=](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const T* const from = x + r * size;
          const espalier_channels row{1, 1, size};
          const Moments moments = size == 0 ? Moments{0, 0} : plane_moments<T>(row, from);
          mean[r] = static_cast<T>(moments.mean);
          scale[r] = static_cast<T>(1 / std::sqrt(moments.var + eps));
          const Vec<T> center = broadcast<T>(mean[r]), factor = broadcast<T>(scale[r]);
          by_vectors<T>(size, [=](int64_t i, auto part) {
            const Vec<T> normal = (part.read(from + i) - center) * factor;
            part.write(y + r * size + i,
                       fma<T>(normal, read_or(affine.weight, i, T{1}, part), read_or(affine.bias, i, T{0}, part)));
          });
        }
      });
}

template <class T>
ESPALIER_INLINE void layer_norm_row_backward(int64_t size, const T* dy, const T* x, const T* weight, T mean, T scale,
                                             T* dx) {
  const Vec<T> center = broadcast<T>(mean);
  const espalier_channels row{1, 1, size};
  double sums[2];
  channel_sums<T, 2>(row, sums, [=](Vec<T>* s, int64_t i, auto part) {
    const Vec<T> d = part.read(dy + i) * read_or(weight, i, T{1}, part);
    s[0] += d;
    s[1] = fma<T>(d, part.read(x + i) - center, s[1]);
  });
  const double count = static_cast<double>(size), square = static_cast<double>(scale) * static_cast<double>(scale);
  const Vec<T> factor = broadcast<T>(scale);
  const Vec<T> a = broadcast<T>(static_cast<T>(sums[0] / count));
  const Vec<T> b = broadcast<T>(static_cast<T>(sums[1] / count * square));
  by_vectors<T>(size, [=](int64_t i, auto part) {
    const Vec<T> d = part.read(dy + i) * read_or(weight, i, T{1}, part);
    part.write(dx + i, factor * (d - a - (part.read(x + i) - center) * b));
  });
}

template <class T>
void layer_norm_backward(espalier_rows shape, const T* dy, const T* x, const T* weight, const T* mean, const T* scale,
                         NormGradients<T> to) {
  const int64_t size = shape.size, rows = shape.rows;
  if (size == 0) return;
  const bool sums_wanted = to.weight != nullptr || to.bias != nullptr;
  // Rows a block: enough work for a thread, and few enough blocks that adding them up stays cheap.
  const int64_t grain = std::max({int64_t{1}, kNormGrain / size, (rows + kNormBlocks - 1) / kNormBlocks});
  const int64_t blocks = (rows + grain - 1) / grain;
  T* const partial = sums_wanted ? scratch<T>(Scratch::kPartial, blocks * 2 * size) : nullptr;
  parallel_for(blocks, [=](int64_t block) {
    T* const of_weight = partial + block * 2 * size;
    T* const of_bias = of_weight + size;
    if (sums_wanted) std::fill_n(of_weight, 2 * size, T{0});
    for (int64_t r = block * grain; r < std::min(rows, (block + 1) * grain); ++r) {
      const T* const gradient = dy + r * size;
      const T* const from = x + r * size;
      if (to.x != nullptr) layer_norm_row_backward<T>(size, gradient, from, weight, mean[r], scale[r], to.x + r * size);
      if (!sums_wanted) continue;
      const Vec<T> center = broadcast<T>(mean[r]), factor = broadcast<T>(scale[r]);
      by_vectors<T>(size, [=](int64_t i, auto part) {
        const Vec<T> d = part.read(gradient + i);
        part.write(of_bias + i, part.read(of_bias + i) + d);
        part.write(of_weight + i, fma<T>(d, (part.read(from + i) - center) * factor, part.read(of_weight + i)));
      });
    }
  });
  if (!sums_wanted) return;
  const auto gather = [=](T* out, const T* parts) {
    if (out == nullptr) return;
    by_vectors<T>(size, [=](int64_t i, auto part) {
      Vec<T> total{};
      for (int64_t block = 0; block < blocks; ++block) total += part.read(parts + block * 2 * size + i);
      part.write(out + i, total);
    });
  };
  gather(to.weight, partial);
  gather(to.bias, partial + size);
}
