// Losses of elements: distances between two arrays, binary cross entropy.
#include "cuda/loss.cuh"

#include "cuda/functions.cuh"
#include "cuda/map.cuh"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- Any loss of elements, from its value and slopes ----------------------------------------------------

// A loss of an element: operator()(i, x, target), and its derivatives slope_x and slope_target.
template <class T, class Loss>
struct Term {
  Loss loss;
  const T *x, *target;
  __device__ __forceinline__ void operator()(int64_t i, wide_t<T>& total, wide_t<T>& count) const {
    total += loss(i, widen(x[i]), widen(target[i]));
    count += 1;
  }
};
template <class T, class Loss>
struct SlopeX {
  Loss loss;
  LossGradient<wide_t<T>> gradient;
  __device__ __forceinline__ wide_t<T> operator()(int64_t i, wide_t<T> x, wide_t<T> target) const {
    return loss.slope_x(i, x, target) * gradient(i);
  }
};
template <class T, class Loss>
struct SlopeTarget {
  Loss loss;
  LossGradient<wide_t<T>> gradient;
  __device__ __forceinline__ wide_t<T> operator()(int64_t i, wide_t<T> x, wide_t<T> target) const {
    return loss.slope_target(i, x, target) * gradient(i);
  }
};

template <class T, class Loss>
void element_losses(Loss loss, const T* x, const T* target, int64_t n, espalier_reduction reduction, wide_t<T>* y) {
  if (reduction != ESPALIER_REDUCTION_NONE)
    return add_up(n, Term<T, Loss>{loss, x, target}, reduction, y, static_cast<wide_t<T>*>(nullptr));
  map(n, "losses", loss, y, x, target);
}

template <class T, class Loss>
void element_gradients(Loss loss, const wide_t<T>* dloss, const T* x, const T* target, int64_t n,
                       espalier_reduction reduction, T* dx, T* dtarget) {
  const LossGradient<wide_t<T>> gradient{dloss, reduction, static_cast<wide_t<T>>(n), nullptr};
  if (dx != nullptr) map(n, "loss gradient", SlopeX<T, Loss>{loss, gradient}, dx, x, target);
  if (dtarget != nullptr) map(n, "loss gradient", SlopeTarget<T, Loss>{loss, gradient}, dtarget, x, target);
}

// ---- Distances --------------------------------------------------------------------------------------

// A loss of the difference d, from value(d) and slope(d).
template <class W, class Function>
struct OfDifference {
  Function function;
  __device__ __forceinline__ W operator()(int64_t, W x, W target) const { return function.value(x - target); }
  __device__ __forceinline__ W slope_x(int64_t, W x, W target) const { return function.slope(x - target); }
  __device__ __forceinline__ W slope_target(int64_t, W x, W target) const { return function.slope(target - x); }
};

template <class W>
struct SquareDistance {
  __device__ W value(W d) const { return d * d; }
  __device__ W slope(W d) const { return d + d; }
};
template <class W>
struct AbsoluteDistance {
  __device__ W value(W d) const { return fabs(d); }
  __device__ W slope(W d) const { return sign_of(d); }
};
template <class W>
struct SmoothDistance {
  W beta;
  __device__ W value(W d) const {
    const W a = fabs(d);
    return a < beta ? W(0.5) * a * a / beta : a - W(0.5) * beta;
  }
  __device__ W slope(W d) const { return fabs(d) < beta ? d / beta : sign_of(d); }
};
template <class W>
struct HuberDistance {
  W beta;
  __device__ W value(W d) const {
    const W a = fabs(d);
    return a < beta ? W(0.5) * a * a : beta * (a - W(0.5) * beta);
  }
  __device__ W slope(W d) const { return fabs(d) < beta ? d : beta * sign_of(d); }
};

template <class W, class Body>
void with_distance(espalier_distance kind, W beta, Body body) {
  switch (kind) {
    case ESPALIER_DISTANCE_SQUARE: return body(OfDifference<W, SquareDistance<W>>{});
    case ESPALIER_DISTANCE_ABSOLUTE: return body(OfDifference<W, AbsoluteDistance<W>>{});
    case ESPALIER_DISTANCE_SMOOTH: return body(OfDifference<W, SmoothDistance<W>>{{beta}});
    case ESPALIER_DISTANCE_HUBER: return body(OfDifference<W, HuberDistance<W>>{{beta}});
  }
}

void require_distance(espalier_distance kind, double beta) {
  require_range("kind", static_cast<int64_t>(kind), int64_t{0}, int64_t{3});
  if (kind >= ESPALIER_DISTANCE_SMOOTH) require_range("beta", beta, 1e-30, 1e30);
}

// ---- Binary cross entropy -----------------------------------------------------------------------------

// A factor that repeats with its length; one of length 0 stands for ones.
template <class W>
struct Repeated {
  const W* data;
  Divider length;
  __device__ __forceinline__ W operator()(int64_t i) const {
    if (data == nullptr) return 1;
    int64_t at;
    length.split(i, at);
    return data[at];
  }
};

template <class W>
Repeated<W> repeated(const char* name, espalier_in factor, int64_t length) {
  if (factor.data == nullptr && factor.length == 0) return {nullptr, Divider(1)};
  if (factor.length < 1 ? length > 0 : length % factor.length != 0)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected a divisor of %lld", name,
         static_cast<long long>(factor.length), static_cast<long long>(length));
  return {elements<W>(name, factor, factor.length), Divider(std::max<int64_t>(1, factor.length))};
}

// With e = e^−|x| neither end overflows, and with the linear part taken by the sign of x nothing cancels:
//   loss = w (p ln(1 + e) + (x < 0 ? −q t x : (1 − t) x)),  p = 1 + (q − 1) t.
template <class W>
struct BinaryCrossEntropy {
  Repeated<W> weight, positive;
  __device__ W operator()(int64_t i, W x, W t) const {
    const W q = positive(i), linear = x < 0 ? -q * t * x : (1 - t) * x;
    return weight(i) * (linear + ((q - 1) * t + 1) * log1p(exp(-fabs(x))));
  }
  __device__ W slope_x(int64_t i, W x, W t) const {
    const W q = positive(i), e = exp(-fabs(x)), curved = ((q - 1) * t + 1) * (e / (e + 1));
    return weight(i) * (x < 0 ? curved - q * t : 1 - t - curved);
  }
  __device__ W slope_target(int64_t i, W x, W) const {
    const W softplus = log1p(exp(-fabs(x))) + larger(-x, W(0));
    return weight(i) * ((positive(i) - 1) * softplus - x);
  }
};

}  // namespace

espalier_status espalier_cuda_distance_forward(espalier_distance kind, double beta, espalier_in x, espalier_in target,
                                               espalier_reduction reduction, espalier_out loss) {
  return guarded(__func__, [&] {
    require_distance(kind, beta);
    require_reduction(reduction);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const from = elements<T>("x", x, x.length);
      const T* const aim = elements<T>("target", target, x.length);
      W* const y = elements<W>("loss", loss, losses(reduction, x.length));
      with_distance<W>(kind, static_cast<W>(beta),
                       [&](auto distance) { element_losses(distance, from, aim, x.length, reduction, y); });
    });
  });
}

espalier_status espalier_cuda_distance_backward(espalier_distance kind, double beta, espalier_in dloss, espalier_in x,
                                                espalier_in target, espalier_reduction reduction, espalier_out dx,
                                                espalier_out dtarget) {
  return guarded(__func__, [&] {
    require_distance(kind, beta);
    require_reduction(reduction);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const W* const gradient = elements<W>("dloss", dloss, losses(reduction, x.length));
      const T* const from = elements<T>("x", x, x.length);
      const T* const aim = elements<T>("target", target, x.length);
      T* const to_x = optional_elements<T>("dx", dx, x.length);
      T* const to_target = optional_elements<T>("dtarget", dtarget, x.length);
      with_distance<W>(kind, static_cast<W>(beta), [&](auto distance) {
        element_gradients(distance, gradient, from, aim, x.length, reduction, to_x, to_target);
      });
    });
  });
}

espalier_status espalier_cuda_bce_with_logits_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                      espalier_in pos_weight, espalier_reduction reduction,
                                                      espalier_out loss) {
  return guarded(__func__, [&] {
    require_reduction(reduction);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const from = elements<T>("x", x, x.length);
      const T* const aim = elements<T>("target", target, x.length);
      const BinaryCrossEntropy<W> entropy{repeated<W>("weight", weight, x.length),
                                          repeated<W>("pos_weight", pos_weight, x.length)};
      W* const y = elements<W>("loss", loss, losses(reduction, x.length));
      element_losses(entropy, from, aim, x.length, reduction, y);
    });
  });
}

espalier_status espalier_cuda_bce_with_logits_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                       espalier_in weight, espalier_in pos_weight,
                                                       espalier_reduction reduction, espalier_out dx,
                                                       espalier_out dtarget) {
  return guarded(__func__, [&] {
    require_reduction(reduction);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const W* const gradient = elements<W>("dloss", dloss, losses(reduction, x.length));
      const T* const from = elements<T>("x", x, x.length);
      const T* const aim = elements<T>("target", target, x.length);
      const BinaryCrossEntropy<W> entropy{repeated<W>("weight", weight, x.length),
                                          repeated<W>("pos_weight", pos_weight, x.length)};
      T* const to_x = optional_elements<T>("dx", dx, x.length);
      T* const to_target = optional_elements<T>("dtarget", dtarget, x.length);
      element_gradients(entropy, gradient, from, aim, x.length, reduction, to_x, to_target);
    });
  });
}
