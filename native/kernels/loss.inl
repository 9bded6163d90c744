#include "kernels/row.inl"

using kernels::ClassTargets;
using kernels::Repeated;
using kernels::SoftTargets;

// ---- Rows of class scores -------------------------------------------------------------------------

// Σ e^(x − top)
template <class T>
ESPALIER_INLINE T sum_of_exp(const T* x, int64_t n, T top) {
  Sums<T, 1> sums;
  sums.add(n, [=](Vec<T>* sum, int64_t i, auto part) {
    sum[0] += part.pad(exp_of_negative<T>(part.read(x + i) - broadcast<T>(top)), 0);
  });
  return sums.total(0);
}

// body(begin, end) over the rows, so many at a time that a thread has enough to do.
template <class Body>
ESPALIER_INLINE void row_ranges(int64_t rows, int64_t classes, Body body) {
  parallel_ranges(rows, std::max<int64_t>(1, kLossGrain / std::max<int64_t>(1, classes)), body);
}
template <class Body>
ESPALIER_INLINE void each_row(int64_t rows, int64_t classes, Body body) {
  row_ranges(rows, classes, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

// Σ of per-row values, in the order of the rows.
template <class T>
ESPALIER_INLINE double total_of(const T* values, int64_t n) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(values[i]);
  return total;
}

template <class T>
ESPALIER_INLINE T weight_of(const T* weight, int64_t c) {
  return weight == nullptr ? T{1} : weight[c];
}

// What a mean over class targets divides by: the weights of the rows that count.
template <class T>
ESPALIER_INLINE double counted_weight(const ClassTargets<T>& of) {
  double total = 0;
  for (int64_t r = 0; r < of.rows; ++r)
    if (of.target[r] != of.ignore_index) total += static_cast<double>(weight_of(of.weight, of.target[r]));
  return total;
}

// Where the losses of the rows go: the result itself, or working memory until they are added up.
template <class T>
ESPALIER_INLINE T* row_losses(espalier_reduction reduction, T* loss, int64_t rows) {
  return reduction == ESPALIER_REDUCTION_NONE ? loss : scratch<T>(Scratch::kPartial, rows);
}
template <class T>
ESPALIER_INLINE void reduce_losses(espalier_reduction reduction, const T* losses, int64_t rows, double divisor,
                                   T* loss) {
  if (reduction == ESPALIER_REDUCTION_NONE) return;
  *loss = static_cast<T>(total_of(losses, rows) / (reduction == ESPALIER_REDUCTION_MEAN ? divisor : 1.0));
}
// The gradient of row r's loss.
template <class T>
ESPALIER_INLINE T row_gradient(espalier_reduction reduction, const T* dloss, T divisor, int64_t r) {
  switch (reduction) {
    case ESPALIER_REDUCTION_NONE: return dloss[r];
    case ESPALIER_REDUCTION_MEAN: return dloss[0] / divisor;
    default: return dloss[0];
  }
}

template <class T>
T total_weight(const T* weight, int64_t classes) {
  return weight == nullptr ? static_cast<T>(classes) : row_sum<T>(weight, classes);
}

// Σ_c w_c (x_c − top)
template <class T>
T weighted_scores(const T* x, const T* weight, int64_t classes, T top) {
  Sums<T, 1> sums;
  sums.add(classes, [=](Vec<T>* sum, int64_t i, auto part) {
    const Vec<T> shifted = part.pad(part.read(x + i) - broadcast<T>(top), 0);
    sum[0] += weight == nullptr ? shifted : part.read(weight + i) * shifted;
  });
  return sums.total(0);
}

// kept: the largest score of each row, then the sums of exponentials, then the divisor of the mean.
template <class T>
void cross_entropy_forward(const ClassTargets<T>& of, const T* x, T* loss, T* kept) {
  const int64_t rows = of.rows, classes = of.classes;
  const T smooth = static_cast<T>(of.smoothing / static_cast<double>(classes)),
          sharp = static_cast<T>(1 - of.smoothing);
  const T all = smooth == 0 ? T{0} : total_weight(of.weight, classes);
  T* const losses = row_losses(of.reduction, loss, rows);
  row_ranges(rows, classes, [=, &of](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kept[r] = row_max<T>(x + r * classes, classes);
      kept[rows + r] = sum_of_exp<T>(x + r * classes, classes, kept[r]);
    }
    // The logarithms of these sums by vectors, where the losses will be.
    T* const result = losses + begin;
    by_vectors<T>(end - begin,
                  [=](int64_t i, auto part) { part.write(result + i, log<T>(part.read(kept + rows + begin + i))); });
    for (int64_t r = begin; r < end; ++r) {
      const T* const scores = x + r * classes;
      const int32_t t = of.target[r];
      const T log_sum = losses[r];
      if (t == of.ignore_index) {
        losses[r] = 0;
        continue;
      }
      losses[r] = sharp * weight_of(of.weight, t) * (log_sum - (scores[t] - kept[r]));
      if (smooth != 0) losses[r] += smooth * (all * log_sum - weighted_scores<T>(scores, of.weight, classes, kept[r]));
    }
  });
  const double divisor = counted_weight(of);
  kept[2 * rows] = static_cast<T>(divisor);
  reduce_losses(of.reduction, losses, rows, divisor, loss);
}

template <class T>
void cross_entropy_backward(const ClassTargets<T>& of, const T* dloss, const T* x, const T* kept, T* dx) {
  const int64_t rows = of.rows, classes = of.classes;
  const T smooth = static_cast<T>(of.smoothing / static_cast<double>(classes)),
          sharp = static_cast<T>(1 - of.smoothing);
  const T all = smooth == 0 ? T{0} : total_weight(of.weight, classes);
  each_row(rows, classes, [=, &of](int64_t r) {
    const T* const scores = x + r * classes;
    T* const out = dx + r * classes;
    const int32_t t = of.target[r];
    if (t == of.ignore_index) {
      std::fill_n(out, classes, T{0});
      return;
    }
    const T gradient = row_gradient<T>(of.reduction, dloss, kept[2 * rows], r);
    const T hit = gradient * sharp * weight_of(of.weight, t);
    const Vec<T> scale = broadcast<T>((hit + gradient * smooth * all) / kept[rows + r]);
    const Vec<T> top = broadcast<T>(kept[r]), spread = broadcast<T>(gradient * smooth);
    by_vectors<T>(classes, [=, &of](int64_t i, auto part) {
      Vec<T> d = exp_of_negative<T>(part.read(scores + i) - top) * scale;
      if (smooth != 0) d -= of.weight == nullptr ? spread : spread * part.read(of.weight + i);
      part.write(out + i, d);
    });
    out[t] -= hit;
  });
}

// kept: as above, without the divisor (which is the number of rows).
template <class T>
void soft_cross_entropy_forward(const SoftTargets<T>& of, const T* x, T* loss, T* kept) {
  const int64_t rows = of.rows, classes = of.classes;
  const T smooth = static_cast<T>(of.smoothing / static_cast<double>(classes)),
          sharp = static_cast<T>(1 - of.smoothing);
  T* const losses = row_losses(of.reduction, loss, rows);
  each_row(rows, classes, [=, &of](int64_t r) {
    const T* const scores = x + r * classes;
    const T* const target = of.target + r * classes;
    const T top = row_max<T>(scores, classes);
    const T sum = sum_of_exp<T>(scores, classes, top);
    kept[r] = top;
    kept[rows + r] = sum;
    const Vec<T> log_all = broadcast<T>(top + std::log(sum));
    Sums<T, 1> sums;
    sums.add(classes, [=, &of](Vec<T>* total, int64_t i, auto part) {
      Vec<T> share = fma<T>(part.read(target + i), broadcast<T>(sharp), broadcast<T>(smooth));
      if (of.weight != nullptr) share *= part.read(of.weight + i);
      total[0] += part.pad(share * (log_all - part.read(scores + i)), 0);
    });
    losses[r] = sums.total(0);
  });
  reduce_losses(of.reduction, losses, rows, static_cast<double>(rows), loss);
}

template <class T>
void soft_cross_entropy_backward(const SoftTargets<T>& of, const T* dloss, const T* x, const T* kept, T* dx,
                                 T* dtarget) {
  const int64_t rows = of.rows, classes = of.classes;
  const T smooth = static_cast<T>(of.smoothing / static_cast<double>(classes)),
          sharp = static_cast<T>(1 - of.smoothing);
  each_row(rows, classes, [=, &of](int64_t r) {
    const T* const scores = x + r * classes;
    const T* const target = of.target + r * classes;
    const T gradient = row_gradient<T>(of.reduction, dloss, static_cast<T>(rows), r);
    const auto share = [=, &of](int64_t i, auto part) {
      const Vec<T> smoothed = fma<T>(part.read(target + i), broadcast<T>(sharp), broadcast<T>(smooth));
      return part.pad(of.weight == nullptr ? smoothed : smoothed * part.read(of.weight + i), 0);
    };
    if (dx != nullptr) {
      Sums<T, 1> sums;
      sums.add(classes, [=](Vec<T>* total, int64_t i, auto part) { total[0] += share(i, part); });
      const Vec<T> scale = broadcast<T>(sums.total(0) / kept[rows + r]);
      by_vectors<T>(classes, [=](int64_t i, auto part) {
        const Vec<T> e = exp_of_negative<T>(part.read(scores + i) - broadcast<T>(kept[r]));
        part.write(dx + r * classes + i, (e * scale - share(i, part)) * broadcast<T>(gradient));
      });
    }
    if (dtarget != nullptr) {
      const Vec<T> log_all = broadcast<T>(kept[r] + std::log(kept[rows + r]));
      by_vectors<T>(classes, [=, &of](int64_t i, auto part) {
        Vec<T> d = (log_all - part.read(scores + i)) * broadcast<T>(gradient * sharp);
        if (of.weight != nullptr) d *= part.read(of.weight + i);
        part.write(dtarget + r * classes + i, d);
      });
    }
  });
}

template <class T>
void nll_forward(const ClassTargets<T>& of, const T* x, T* loss, T* divisor) {
  T* const losses = row_losses(of.reduction, loss, of.rows);
  for (int64_t r = 0; r < of.rows; ++r) {
    const int32_t t = of.target[r];
    losses[r] = t == of.ignore_index ? T{0} : -weight_of(of.weight, t) * x[r * of.classes + t];
  }
  const double counted = counted_weight(of);
  *divisor = static_cast<T>(counted);
  reduce_losses(of.reduction, losses, of.rows, counted, loss);
}

template <class T>
void nll_backward(const ClassTargets<T>& of, const T* dloss, const T* divisor, T* dx) {
  std::fill_n(dx, of.rows * of.classes, T{0});
  for (int64_t r = 0; r < of.rows; ++r) {
    const int32_t t = of.target[r];
    if (t == of.ignore_index) continue;
    dx[r * of.classes + t] = -weight_of(of.weight, t) * row_gradient<T>(of.reduction, dloss, *divisor, r);
  }
}

// ---- Elements -------------------------------------------------------------------------------------

// Losses of elements, kept or added up: at(i, part) is the loss at i. Sums go in float over a block,
// then in double over the blocks, in their order.
template <class T, class At>
ESPALIER_INLINE void element_losses(int64_t n, espalier_reduction reduction, T* loss, At at) {
  if (reduction == ESPALIER_REDUCTION_NONE) {
    parallel_ranges(n, kLossGrain, [=](int64_t begin, int64_t end) {
      by_vectors<T>(end - begin, [=](int64_t i, auto part) { part.write(loss + begin + i, at(begin + i, part)); });
    });
    return;
  }
  const int64_t blocks = (n + kLossGrain - 1) / kLossGrain;
  double* const partial = scratch<double>(Scratch::kPartial, blocks);
  parallel_ranges(n, kLossGrain, [=](int64_t begin, int64_t end) {
    Sums<T, 1> sums;
    sums.add(end - begin, [=](Vec<T>* sum, int64_t i, auto part) { sum[0] += part.pad(at(begin + i, part), 0); });
    partial[begin / kLossGrain] = static_cast<double>(sums.total(0));
  });
  const double total = total_of(partial, blocks);
  *loss = static_cast<T>(reduction == ESPALIER_REDUCTION_MEAN ? total / static_cast<double>(n) : total);
}

// slope(i, part), the derivative of the loss at i, times the gradient of that loss, to `out` (if wanted).
template <class T, class Slope>
ESPALIER_INLINE void element_gradients(const T* dloss, int64_t n, espalier_reduction reduction, T* out, Slope slope) {
  if (out == nullptr || n == 0) return;
  const bool each = reduction == ESPALIER_REDUCTION_NONE;
  const Vec<T> shared = broadcast<T>(reduction == ESPALIER_REDUCTION_MEAN ? dloss[0] / static_cast<T>(n) : dloss[0]);
  parallel_ranges(n, kLossGrain, [=](int64_t begin, int64_t end) {
    by_vectors<T>(end - begin, [=](int64_t offset, auto part) {
      const int64_t i = begin + offset;
      part.write(out + i, slope(i, part) * (each ? part.read(dloss + i) : shared));
    });
  });
}

// body(value(d, β), slope(d, β)): the functions of a distance and of its derivative.
template <class T, class Body>
ESPALIER_INLINE void with_distance(espalier_distance kind, T beta_value, Body body) {
  const Vec<T> zero{}, one = broadcast<T>(1), beta = broadcast<T>(beta_value), half = broadcast<T>(T{0.5});
  const auto sign = [=](Vec<T> d) { return d > zero ? one : d < zero ? -one : d; };
  switch (kind) {
    case ESPALIER_DISTANCE_SQUARE: return body([](Vec<T> d) { return d * d; }, [](Vec<T> d) { return d + d; });
    case ESPALIER_DISTANCE_ABSOLUTE: return body([](Vec<T> d) { return abs<T>(d); }, sign);
    case ESPALIER_DISTANCE_SMOOTH:
      return body(
          [=](Vec<T> d) {
            const Vec<T> a = abs<T>(d);
            return a < beta ? half * a * a / beta : a - half * beta;
          },
          [=](Vec<T> d) { return abs<T>(d) < beta ? d / beta : sign(d); });
    case ESPALIER_DISTANCE_HUBER:
      return body(
          [=](Vec<T> d) {
            const Vec<T> a = abs<T>(d);
            return a < beta ? half * a * a : beta * (a - half * beta);
          },
          [=](Vec<T> d) { return abs<T>(d) < beta ? d : beta * sign(d); });
  }
}

template <class T>
void distance_forward(espalier_distance kind, T beta, const T* x, const T* target, int64_t n,
                      espalier_reduction reduction, T* loss) {
  with_distance<T>(kind, beta, [=](auto value, auto) {
    element_losses<T>(n, reduction, loss,
                      [=](int64_t i, auto part) { return value(part.read(x + i) - part.read(target + i)); });
  });
}

template <class T>
void distance_backward(espalier_distance kind, T beta, const T* dloss, const T* x, const T* target, int64_t n,
                       espalier_reduction reduction, T* dx, T* dtarget) {
  with_distance<T>(kind, beta, [=](auto, auto slope) {
    element_gradients<T>(dloss, n, reduction, dx,
                         [=](int64_t i, auto part) { return slope(part.read(x + i) - part.read(target + i)); });
    element_gradients<T>(dloss, n, reduction, dtarget,
                         [=](int64_t i, auto part) { return slope(part.read(target + i) - part.read(x + i)); });
  });
}

// The factors at i; one shorter than x is read value by value.
template <class T, class Part>
ESPALIER_INLINE Vec<T> repeated(Repeated<T> factor, int64_t i, int64_t n, Part part) {
  if (factor.length == 0) return broadcast<T>(1);
  if (factor.length == n) return part.read(factor.data + i);
  Vec<T> v{};
  int64_t at = i % factor.length;
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    v[lane] = factor.data[at];
    if (++at == factor.length) at = 0;
  }
  return v;
}

// ln(1 + e), exact where e is lost beside the 1.
template <class T>
ESPALIER_INLINE Vec<T> log1p_of_positive(Vec<T> e) {
  const Vec<T> rounded = e + 1, kept = rounded - 1;
  return kept == 0 ? e : log<T>(rounded) * (e / kept);
}

// With e = e^−|x| neither end overflows, and with the linear part taken by the sign of x nothing cancels:
//   loss = w (p ln(1 + e) + (x < 0 ? −q t x : (1 − t) x)),  p = 1 + (q − 1) t.
template <class T>
void bce_forward(const T* x, const T* target, Repeated<T> weight, Repeated<T> pos_weight, int64_t n,
                 espalier_reduction reduction, T* loss) {
  element_losses<T>(n, reduction, loss, [=](int64_t i, auto part) {
    const Vec<T> v = part.read(x + i), t = part.read(target + i), q = repeated<T>(pos_weight, i, n, part);
    const Vec<T> linear = v < 0 ? -q * t * v : (1 - t) * v;
    const Vec<T> curved = ((q - 1) * t + 1) * log1p_of_positive<T>(exp_of_negative<T>(-abs<T>(v)));
    return repeated<T>(weight, i, n, part) * (linear + curved);
  });
}

template <class T>
void bce_backward(const T* dloss, const T* x, const T* target, Repeated<T> weight, Repeated<T> pos_weight, int64_t n,
                  espalier_reduction reduction, T* dx, T* dtarget) {
  element_gradients<T>(dloss, n, reduction, dx, [=](int64_t i, auto part) {
    const Vec<T> v = part.read(x + i), t = part.read(target + i), q = repeated<T>(pos_weight, i, n, part);
    const Vec<T> e = exp_of_negative<T>(-abs<T>(v));
    const Vec<T> curved = ((q - 1) * t + 1) * (e / (e + 1));
    return repeated<T>(weight, i, n, part) * (v < 0 ? curved - q * t : 1 - t - curved);
  });
  element_gradients<T>(dloss, n, reduction, dtarget, [=](int64_t i, auto part) {
    const Vec<T> v = part.read(x + i), q = repeated<T>(pos_weight, i, n, part);
    const Vec<T> softplus = log1p_of_positive<T>(exp_of_negative<T>(-abs<T>(v))) + max<T>(-v, Vec<T>{});
    return repeated<T>(weight, i, n, part) * ((q - 1) * softplus - v);
  });
}
