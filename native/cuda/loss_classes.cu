// Losses of rows of class scores: cross entropy with class numbers or with probabilities, and the negative
// log-likelihood.
#include "cuda/loss.cuh"
#include "cuda/softmax.cuh"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

template <class W>
__device__ __forceinline__ W weight_of(const W* weight, int c) {
  return weight == nullptr ? W(1) : weight[c];
}

// What a class loss is of.
template <class W>
struct ClassTargets {
  int64_t rows;
  int classes;
  const int32_t* target;
  const W* weight;  // nullptr: ones
  int64_t ignore_index;
  Fault* faults;
  int32_t function;

  // Whether row r counts. A target out of range is a fault, and counts nothing.
  __device__ __forceinline__ bool counts(int64_t r) const {
    const int32_t t = target[r];
    if (t == ignore_index) return false;
    if (t >= 0 && t < classes) return true;
    raise_fault(faults, FaultKind::kIndexOutOfRange, function, t);
    return false;
  }
  __device__ __forceinline__ W row_weight(int64_t r) const { return counts(r) ? weight_of(weight, target[r]) : W(0); }
};

// How a target is smoothed: `sharp` of it, and `spread` for every class. `all` points to the sum of the
// classes' weights.
template <class W>
struct Smoothing {
  W sharp, spread;
  const W* all;

  Smoothing(double share, int64_t classes, const W* all)
      : sharp(static_cast<W>(1 - share)), spread(static_cast<W>(share / static_cast<double>(classes))), all(all) {}
};

// Calls launch(lanes) with the threads a row of so many classes takes, as a type.
template <class Launch>
void for_row_lanes(int64_t classes, Launch launch) {
  if (classes <= 64) launch(std::integral_constant<int, 8>{});
  else if (classes <= 4096) launch(std::integral_constant<int, 32>{});
  else launch(std::integral_constant<int, kBlock>{});
}
unsigned row_blocks(int64_t rows, int lanes) {
  return static_cast<unsigned>(std::min<int64_t>(ceil_div(rows, kBlock / lanes), INT32_MAX));
}

// body(row, inside, lane) for the rows of a grid whose groups of Lanes threads take one each; every thread comes
// along for the exchanges, `inside` or not (then with row 0).
template <int Lanes, class Body>
__device__ __forceinline__ void each_row(int64_t rows, Body body) {
  constexpr int kGroups = kBlock / Lanes;
  for (int64_t begin = int64_t{blockIdx.x} * kGroups; begin < rows; begin += int64_t{gridDim.x} * kGroups) {
    const int64_t row = begin + threadIdx.x / Lanes;
    body(row < rows ? row : 0, row < rows, static_cast<int>(threadIdx.x % Lanes));
  }
}

// y[i] = body(i, x[i]) along a row, 16 bytes an access where both addresses allow it.
template <int Lanes, class T, class Body>
__device__ __forceinline__ void map_row(const T* x, T* y, int n, int lane, Body body) {
  constexpr int N = kPack<T>;
  const uintptr_t past = reinterpret_cast<uintptr_t>(x) % 16, same = reinterpret_cast<uintptr_t>(y) % 16;
  const int head = past == same ? min(static_cast<int>((16 - past) % 16 / sizeof(T)), n) : n;
  const int packs = (n - head) / N, tail = head + packs * N;
  for (int i = lane; i < head; i += Lanes) y[i] = narrow<T>(body(i, widen(x[i])));
#pragma unroll 4
  for (int p = lane; p < packs; p += Lanes) {
    const int at = head + p * N;
    Pack<T, N> values = load_pack<T, N>(x + at);
#pragma unroll
    for (int k = 0; k < N; ++k) values.at[k] = narrow<T>(body(at + k, widen(values.at[k])));
    store_pack<T, N>(y + at, values);
  }
  for (int i = tail + lane; i < n; i += Lanes) y[i] = narrow<T>(body(i, widen(x[i])));
}

// The sum of term(i, x[i]) along a row.
template <int Lanes, class T, class Term>
__device__ __forceinline__ wide_t<T> sum_row(const T* x, int n, int lane, Term term) {
  using W = wide_t<T>;
  W sum = 0;
  read_run<Lanes>(x, n, lane, [&](int i, const auto& values) {
#pragma unroll
    for (int k = 0; k < static_cast<int>(sizeof values / sizeof(W)); ++k) sum += term(i + k, values[k]);
  });
  return combine_lanes<Lanes>(Total<W>{}, sum);
}

// ---- Class numbers --------------------------------------------------------------------------------------

// kept: the largest score of each row, then the sums of exponentials (then the divisor of the mean).
template <int Lanes, class T>
__global__ void __launch_bounds__(kBlock) cross_entropy_kernel(ClassTargets<wide_t<T>> of, Smoothing<wide_t<T>> smooth,
                                                               const T* x, wide_t<T>* losses, wide_t<T>* kept) {
  using W = wide_t<T>;
  each_row<Lanes>(of.rows, [&](int64_t r, bool inside, int lane) {
    const T* const scores = x + r * of.classes;
    const Online<W> state = online_run<Lanes>(scores, of.classes, lane);
    W around = 0;
    if (smooth.spread != 0)
      around = sum_row<Lanes>(scores, of.classes, lane,
                              [&](int c, W v) { return weight_of(of.weight, c) * (v - state.top); });
    if (!inside || lane != 0) return;
    kept[r] = state.top;
    kept[of.rows + r] = state.sum;
    W loss = 0;
    if (of.counts(r)) {
      const int32_t t = of.target[r];
      const W log_sum = log(state.sum);
      loss = smooth.sharp * weight_of(of.weight, t) * (log_sum - (widen(scores[t]) - state.top));
      if (smooth.spread != 0) loss += smooth.spread * (*smooth.all * log_sum - around);
    }
    losses[r] = loss;
  });
}

template <int Lanes, class T>
__global__ void __launch_bounds__(kBlock)
    cross_entropy_gradient_kernel(ClassTargets<wide_t<T>> of, Smoothing<wide_t<T>> smooth,
                                  LossGradient<wide_t<T>> gradient, const T* x, const wide_t<T>* kept, T* dx) {
  using W = wide_t<T>;
  each_row<Lanes>(of.rows, [&](int64_t r, bool inside, int lane) {
    if (!inside) return;
    const T* const scores = x + r * of.classes;
    T* const out = dx + r * of.classes;
    if (!of.counts(r)) return map_row<Lanes>(scores, out, of.classes, lane, [](int, W) { return W(0); });
    const int32_t t = of.target[r];
    const W g = gradient(r), hit = g * smooth.sharp * weight_of(of.weight, t), spread = g * smooth.spread;
    const W all = smooth.spread == 0 ? W(0) : *smooth.all;
    const W top = kept[r], scale = (hit + spread * all) / kept[of.rows + r];
    map_row<Lanes>(scores, out, of.classes, lane, [&](int c, W v) {
      W d = exp_of_negative(v - top) * scale;
      if (smooth.spread != 0) d -= spread * weight_of(of.weight, c);
      return c == t ? d - hit : d;
    });
  });
}

// ---- Probabilities ----------------------------------------------------------------------------------------

template <class T>
struct SoftTargets {
  int64_t rows;
  int classes;
  const T* target;
  const wide_t<T>* weight;
  wide_t<T> sharp, spread;

  __device__ __forceinline__ wide_t<T> share(int c, wide_t<T> t) const {
    return (t * sharp + spread) * weight_of(weight, c);
  }
};

template <int Lanes, class T>
__global__ void __launch_bounds__(kBlock)
    soft_cross_entropy_kernel(SoftTargets<T> of, const T* x, wide_t<T>* losses, wide_t<T>* kept) {
  using W = wide_t<T>;
  each_row<Lanes>(of.rows, [&](int64_t r, bool inside, int lane) {
    const T* const scores = x + r * of.classes;
    const T* const target = of.target + r * of.classes;
    const Online<W> state = online_run<Lanes>(scores, of.classes, lane);
    const W log_all = state.top + log(state.sum);
    const W loss = sum_row<Lanes>(target, of.classes, lane,
                                  [&](int c, W t) { return of.share(c, t) * (log_all - widen(scores[c])); });
    if (!inside || lane != 0) return;
    kept[r] = state.top;
    kept[of.rows + r] = state.sum;
    losses[r] = loss;
  });
}

template <int Lanes, class T>
__global__ void __launch_bounds__(kBlock)
    soft_cross_entropy_gradient_kernel(SoftTargets<T> of, LossGradient<wide_t<T>> gradient, const T* x,
                                       const wide_t<T>* kept, T* dx, T* dtarget) {
  using W = wide_t<T>;
  each_row<Lanes>(of.rows, [&](int64_t r, bool inside, int lane) {
    const T* const scores = x + r * of.classes;
    const T* const target = of.target + r * of.classes;
    const W total =
        dx == nullptr ? W(0) : sum_row<Lanes>(target, of.classes, lane, [&](int c, W t) { return of.share(c, t); });
    if (!inside) return;
    const W g = gradient(r), top = kept[r], sum = kept[of.rows + r];
    if (dx != nullptr) {
      const W scale = total / sum;
      map_row<Lanes>(scores, dx + r * of.classes, of.classes, lane, [&](int c, W v) {
        return (exp_of_negative(v - top) * scale - of.share(c, widen(target[c]))) * g;
      });
    }
    if (dtarget != nullptr) {
      const W log_all = top + log(sum);
      map_row<Lanes>(scores, dtarget + r * of.classes, of.classes, lane,
                     [&](int c, W v) { return (log_all - v) * (g * of.sharp) * weight_of(of.weight, c); });
    }
  });
}

// ---- Totals -------------------------------------------------------------------------------------------------

// The loss of row r and what it counts for: weights of class targets, or one a row.
template <class W>
struct ClassTerm {
  ClassTargets<W> of;
  const W* losses;  // nullptr: only the weights are wanted
  __device__ __forceinline__ void operator()(int64_t r, W& loss, W& weight) const {
    if (losses != nullptr) loss += losses[r];
    weight += of.row_weight(r);
  }
};
template <class W>
struct RowTerm {
  const W* losses;
  __device__ __forceinline__ void operator()(int64_t r, W& loss, W& weight) const {
    loss += losses[r];
    weight += 1;
  }
};

// Where the losses of the rows go: the result itself, or working memory until they are added up.
template <class W>
struct RowLosses {
  Temporary<W> room;
  W* at;
  RowLosses(espalier_reduction reduction, int64_t rows, W* loss)
      : room(reduction == ESPALIER_REDUCTION_NONE ? 0 : rows),
        at(reduction == ESPALIER_REDUCTION_NONE ? loss : room.get()) {}
};

// The sum of the classes' weights, on the device, where smoothing asks for it.
template <class W>
struct TotalWeight {
  Temporary<W> value;
  TotalWeight(const W* weight, int64_t classes, bool wanted) : value(wanted ? 1 : 0) {
    if (!wanted) return;
    if (weight != nullptr && classes > 0)
      reduce_middle("total weight", Total<W>{}, int64_t{1}, classes, int64_t{1}, weight, KeepState<W>{value.get()});
    else set(value, static_cast<W>(classes));
  }
  static void set(W* to, W classes) {
    for_each(1, "total weight", [=] __device__(int64_t) { *to = classes; });
  }
};

template <class W>
ClassTargets<W> class_targets(const char* function, espalier_in target, espalier_in weight,
                              espalier_reduction reduction, int64_t ignore_index, espalier_class_rows shape) {
  require_reduction(reduction);
  require_range("classes", shape.classes, int64_t{0}, int64_t{INT32_MAX});
  return {shape.rows,
          static_cast<int>(shape.classes),
          elements<int32_t>("target", target, shape.rows),
          optional_elements<W>("weight", weight, shape.classes),
          ignore_index,
          faults(),
          fault_source(function)};
}

template <class T>
SoftTargets<T> soft_targets(espalier_in target, espalier_in weight, espalier_reduction reduction, double smoothing,
                            espalier_class_rows shape, int64_t size) {
  using W = wide_t<T>;
  require_reduction(reduction);
  require_range("classes", shape.classes, int64_t{0}, int64_t{INT32_MAX});
  require_range("label_smoothing", smoothing, 0.0, 1.0);
  return {shape.rows,
          static_cast<int>(shape.classes),
          elements<T>("target", target, size),
          optional_elements<W>("weight", weight, shape.classes),
          static_cast<W>(1 - smoothing),
          static_cast<W>(smoothing / static_cast<double>(shape.classes))};
}

int64_t kept_size(espalier_class_rows shape) { return checked_product("rows", {shape.rows, 2}) + 1; }

template <class T>
void nll_rows(ClassTargets<wide_t<T>> of, const T* x, wide_t<T>* losses) {
  for_each(of.rows, "negative log-likelihood", [=] __device__(int64_t r) {
    const int32_t t = of.target[r];
    losses[r] = of.counts(r) ? -weight_of(of.weight, t) * widen(x[r * of.classes + t]) : wide_t<T>(0);
  });
}
template <class T>
void nll_gradient(ClassTargets<wide_t<T>> of, LossGradient<wide_t<T>> gradient, T* dx) {
  for_each(of.rows, "negative log-likelihood", [=] __device__(int64_t r) {
    const int32_t t = of.target[r];
    if (of.counts(r)) dx[r * of.classes + t] = narrow<T>(-weight_of(of.weight, t) * gradient(r));
  });
}

}  // namespace

espalier_status espalier_cuda_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                    espalier_reduction reduction, int64_t ignore_index,
                                                    double label_smoothing, espalier_out loss, espalier_out kept,
                                                    espalier_class_rows shape) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const scores = elements<T>("x", x, size);
      W* const result = elements<W>("loss", loss, losses(reduction, shape.rows));
      W* const keep = elements<W>("kept", kept, kept_size(shape));
      const auto of = class_targets<W>(function, target, weight, reduction, ignore_index, shape);
      require_range("label_smoothing", label_smoothing, 0.0, 1.0);
      const TotalWeight<W> all(of.weight, shape.classes, label_smoothing != 0);
      const Smoothing<W> smooth(label_smoothing, shape.classes, all.value.get());
      const RowLosses<W> rows(reduction, shape.rows, result);
      if (shape.rows > 0)
        for_row_lanes(shape.classes, [&]<int Lanes>(std::integral_constant<int, Lanes>) {
          cross_entropy_kernel<Lanes>
              <<<row_blocks(shape.rows, Lanes), kBlock, 0, stream()>>>(of, smooth, scores, rows.at, keep);
          launched("cross entropy");
        });
      add_up(shape.rows, ClassTerm<W>{of, rows.room.get()}, reduction,
             reduction == ESPALIER_REDUCTION_NONE ? nullptr : result, keep + 2 * shape.rows);
    });
  });
}

espalier_status espalier_cuda_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                     espalier_in weight, espalier_reduction reduction,
                                                     int64_t ignore_index, double label_smoothing, espalier_in kept,
                                                     espalier_out dx, espalier_class_rows shape) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const W* const gradient = elements<W>("dloss", dloss, losses(reduction, shape.rows));
      const T* const scores = elements<T>("x", x, size);
      const W* const keep = elements<W>("kept", kept, kept_size(shape));
      T* const result = elements<T>("dx", dx, size);
      const auto of = class_targets<W>(function, target, weight, reduction, ignore_index, shape);
      require_range("label_smoothing", label_smoothing, 0.0, 1.0);
      if (size == 0) return;
      const TotalWeight<W> all(of.weight, shape.classes, label_smoothing != 0);
      const Smoothing<W> smooth(label_smoothing, shape.classes, all.value.get());
      const LossGradient<W> from{gradient, reduction, 0, keep + 2 * shape.rows};
      for_row_lanes(shape.classes, [&]<int Lanes>(std::integral_constant<int, Lanes>) {
        cross_entropy_gradient_kernel<Lanes>
            <<<row_blocks(shape.rows, Lanes), kBlock, 0, stream()>>>(of, smooth, from, scores, keep, result);
        launched("cross entropy gradient");
      });
    });
  });
}

espalier_status espalier_cuda_soft_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                         espalier_reduction reduction, double label_smoothing,
                                                         espalier_out loss, espalier_out kept,
                                                         espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const scores = elements<T>("x", x, size);
      W* const result = elements<W>("loss", loss, losses(reduction, shape.rows));
      W* const keep = elements<W>("kept", kept, kept_size(shape));
      const auto of = soft_targets<T>(target, weight, reduction, label_smoothing, shape, size);
      const RowLosses<W> rows(reduction, shape.rows, result);
      if (shape.rows > 0)
        for_row_lanes(shape.classes, [&]<int Lanes>(std::integral_constant<int, Lanes>) {
          soft_cross_entropy_kernel<Lanes>
              <<<row_blocks(shape.rows, Lanes), kBlock, 0, stream()>>>(of, scores, rows.at, keep);
          launched("soft cross entropy");
        });
      if (reduction != ESPALIER_REDUCTION_NONE)
        add_up(shape.rows, RowTerm<W>{rows.at}, reduction, result, static_cast<W*>(nullptr));
    });
  });
}

espalier_status espalier_cuda_soft_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                          espalier_in weight, espalier_reduction reduction,
                                                          double label_smoothing, espalier_in kept, espalier_out dx,
                                                          espalier_out dtarget, espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const W* const gradient = elements<W>("dloss", dloss, losses(reduction, shape.rows));
      const T* const scores = elements<T>("x", x, size);
      const W* const keep = elements<W>("kept", kept, kept_size(shape));
      T* const to_x = optional_elements<T>("dx", dx, size);
      T* const to_target = optional_elements<T>("dtarget", dtarget, size);
      const auto of = soft_targets<T>(target, weight, reduction, label_smoothing, shape, size);
      if (size == 0) return;
      const LossGradient<W> from{gradient, reduction, static_cast<W>(shape.rows), nullptr};
      for_row_lanes(shape.classes, [&]<int Lanes>(std::integral_constant<int, Lanes>) {
        soft_cross_entropy_gradient_kernel<Lanes>
            <<<row_blocks(shape.rows, Lanes), kBlock, 0, stream()>>>(of, from, scores, keep, to_x, to_target);
        launched("soft cross entropy gradient");
      });
    });
  });
}

espalier_status espalier_cuda_nll_forward(espalier_in x, espalier_in target, espalier_in weight,
                                          espalier_reduction reduction, int64_t ignore_index, espalier_out loss,
                                          espalier_out divisor, espalier_class_rows shape) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const scores = elements<T>("x", x, size);
      W* const result = elements<W>("loss", loss, losses(reduction, shape.rows));
      W* const counted = elements<W>("divisor", divisor, 1);
      const auto of = class_targets<W>(function, target, weight, reduction, ignore_index, shape);
      const RowLosses<W> rows(reduction, shape.rows, result);
      nll_rows(of, scores, rows.at);
      add_up(shape.rows, ClassTerm<W>{of, rows.room.get()}, reduction,
             reduction == ESPALIER_REDUCTION_NONE ? nullptr : result, counted);
    });
  });
}

espalier_status espalier_cuda_nll_backward(espalier_in dloss, espalier_in target, espalier_in weight,
                                           espalier_reduction reduction, int64_t ignore_index, espalier_in divisor,
                                           espalier_out dx, espalier_class_rows shape) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_device_float("dx", dx.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const W* const gradient = elements<W>("dloss", dloss, losses(reduction, shape.rows));
      const W* const counted = elements<W>("divisor", divisor, 1);
      T* const result = elements<T>("dx", dx, size);
      const auto of = class_targets<W>(function, target, weight, reduction, ignore_index, shape);
      if (size == 0) return;
      ESPALIER_CUDA(cudaMemsetAsync(result, 0, static_cast<size_t>(size) * sizeof(T), stream()));
      nll_gradient(of, LossGradient<W>{gradient, reduction, 0, counted}, result);
    });
  });
}
