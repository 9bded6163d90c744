// Update rules: parameter, gradient, state and mask in a single pass over memory.
//
// A rule says what becomes of one element; `Stepping` moves the elements. Beside the types of
// espalier/optimizer.h the gradient may be float16 or bfloat16 where the parameter (and all state) is
// float32: the master weights of mixed precision; then a copy of the weights in the gradient's type can be
// written in the same pass (espalier/cuda/mixed.h). The mask may be uint8 too, a byte to read instead of four.
#include "espalier/optimizer.h"

#include <cmath>
#include <limits>

#include "cuda/packs.cuh"
#include "espalier/cuda/mixed.h"
#include "espalier/cuda/operations.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// What every rule reads and writes, as espalier/optimizer.h has it; checked by `step`.
struct Arguments {
  espalier_out parameter, copy;
  espalier_in gradient, mask;
  espalier_mask_rule mask_rule;
  double weight_decay;
  int64_t maximize;
};
constexpr espalier_out kNoCopy{nullptr, 0, ESPALIER_FLOAT32};

template <class T, class G, class M>
struct Update {
  T* parameter;
  const G* gradient;
  const M* mask;  // null: none
  G* copy;        // null: not wanted
  bool freeze;    // the mask holds entries in place instead of multiplying the gradient
  bool maximize;
  T decay;
};

// A rule over a pack. Arrays of state that are null read as 0 and are not written.
template <class Rule, class T, class G, class M>
struct Stepping {
  Update<T, G, M> update;
  Rule rule;

  template <int N>
  __device__ __forceinline__ void at(int64_t i) const {
    constexpr int kStates = Rule::kStates;
    Pack<T, N> parameter = load<N>(update.parameter + i);
    const Pack<G, N> gradient = load<N>(update.gradient + i);
    Pack<M, N> mask;
    if (update.mask != nullptr) mask = load<N>(update.mask + i);
    Pack<T, N> state[kStates];
#pragma unroll
    for (int s = 0; s < kStates; ++s) state[s] = rule.state[s] != nullptr ? load<N>(rule.state[s] + i) : Pack<T, N>{};
#pragma unroll
    for (int lane = 0; lane < N; ++lane) {
      const T before = parameter.at[lane];
      T g = static_cast<T>(gradient.at[lane]);
      if (update.maximize) g = -g;
      bool held = false;
      if (update.mask != nullptr) {
        const T factor = static_cast<T>(mask.at[lane]);
        if (update.freeze) held = factor == T{0};
        else g *= factor;
      }
      if (update.decay != T{0}) g = fma(update.decay, before, g);
      T of[kStates];
#pragma unroll
      for (int s = 0; s < kStates; ++s) of[s] = state[s].at[lane];
      const T after = rule(before, g, of);
      if (held) continue;
      parameter.at[lane] = after;
#pragma unroll
      for (int s = 0; s < kStates; ++s) state[s].at[lane] = of[s];
    }
    store<N>(update.parameter + i, parameter);
#pragma unroll
    for (int s = 0; s < kStates; ++s)
      if (rule.state[s] != nullptr) store<N>(rule.state[s] + i, state[s]);
    if constexpr (sizeof(G) < sizeof(T)) {
      if (update.copy == nullptr) return;
      Pack<G, N> copy;
#pragma unroll
      for (int lane = 0; lane < N; ++lane) copy.at[lane] = static_cast<G>(parameter.at[lane]);
      store<N>(update.copy + i, copy);
    }
  }
};

template <class T>
struct Sgd {
  static constexpr int kStates = 1;
  T* state[1];  // the velocity; null without momentum
  T lr, momentum, share;
  bool nesterov, first;

  __device__ __forceinline__ T operator()(T parameter, T g, T* velocity) const {
    T move = g;
    if (state[0] != nullptr) {
      velocity[0] = first ? g : fma(momentum, velocity[0], g * share);
      move = nesterov ? fma(momentum, velocity[0], g) : velocity[0];
    }
    return fma(-lr, move, parameter);
  }
};

template <class T>
struct Adam {
  static constexpr int kStates = 3;
  T* state[3];  // mean, square, largest (null without amsgrad)
  T rate, root_scale, beta1, rest1, beta2, rest2, eps, kept;

  __device__ __forceinline__ T operator()(T parameter, T g, T* of) const {
    of[0] = fma(of[0], beta1, g * rest1);
    of[1] = fma(of[1], beta2, g * g * rest2);
    T square = of[1];
    if (state[2] != nullptr) of[2] = square = of[2] > square ? of[2] : square;
    return parameter * kept - of[0] * rate / fma(sqrt(square), root_scale, eps);
  }
};

template <class T>
struct Rmsprop {
  static constexpr int kStates = 3;
  T* state[3];  // square, mean (null unless centered), velocity (null without momentum)
  T lr, alpha, rest, eps, momentum;

  __device__ __forceinline__ T operator()(T parameter, T g, T* of) const {
    of[0] = fma(of[0], alpha, g * g * rest);
    T spread = of[0];
    if (state[1] != nullptr) {
      of[1] = fma(of[1], alpha, g * rest);
      // A variance; rounding may leave it just below 0, where its root would be NaN.
      spread = of[0] - of[1] * of[1];
      spread = spread < T{0} ? T{0} : spread;
    }
    T move = g / (sqrt(spread) + eps);
    if (state[2] != nullptr) of[2] = move = fma(momentum, of[2], move);
    return fma(-lr, move, parameter);
  }
};

// The mixed steps take nothing else, lest a copy of a wrong type go unnoticed.
void require_mixed(espalier_out parameter, espalier_in gradient) {
  if (parameter.dtype != ESPALIER_FLOAT32)
    fail(ESPALIER_DTYPE_MISMATCH, "parameter is %s, expected float32", dtype_name(parameter.dtype));
  if (gradient.dtype != ESPALIER_FLOAT16 && gradient.dtype != ESPALIER_BFLOAT16)
    fail(ESPALIER_DTYPE_MISMATCH, "gradient is %s, expected float16 or bfloat16", dtype_name(gradient.dtype));
}

void require_flag(const char* name, int64_t value) { require_range(name, value, 0, 1); }
void require_finite(const char* name, double value) {
  require_range(name, value, std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max());
}

// Runs body(G{}) for the type of a gradient of parameters of type T.
template <class T, class Body>
void for_gradient(espalier_dtype dtype, Body body) {
  if constexpr (sizeof(T) == 4) {
    if (dtype == ESPALIER_FLOAT16) return body(__half{});
    if (dtype == ESPALIER_BFLOAT16) return body(__nv_bfloat16{});
  }
  body(T{});
}
// And of a mask; what is neither is found by the check of its elements.
template <class T, class Body>
void for_mask(espalier_in mask, Body body) {
  if (mask.data != nullptr && mask.dtype == ESPALIER_UINT8) body(uint8_t{});
  else body(T{});
}

// Checks what the rules have in common and runs the one that rule_of(T{}) makes.
template <class RuleOf>
void step(const char* name, const Arguments& given, RuleOf rule_of) {
  const int64_t n = given.parameter.length;
  require_range("mask_rule", static_cast<int64_t>(given.mask_rule), ESPALIER_MASK_RULE_GRADIENT,
                ESPALIER_MASK_RULE_FREEZE);
  require_finite("weight_decay", given.weight_decay);
  require_flag("maximize", given.maximize);
  for_float("parameter", given.parameter.dtype, [&]<class T>(T) {
    for_gradient<T>(given.gradient.dtype, [&]<class G>(G) {
      for_mask<T>(given.mask, [&]<class M>(M) {
        const auto ruled = rule_of(T{});
        const Update<T, G, M> update{elements<T>("parameter", given.parameter, n),
                                     elements<G>("gradient", given.gradient, n),
                                     optional_elements<M>("mask", given.mask, n),
                                     optional_elements<G>("copy", given.copy, n),
                                     given.mask_rule == ESPALIER_MASK_RULE_FREEZE,
                                     given.maximize == 1,
                                     ruled.decay};
        constexpr int kPack = kPackOf<G>;
        bool packed = packable<kPack>(update.parameter, update.gradient, update.mask, update.copy);
        for (T* const state : ruled.rule.state) packed = packed && packable<kPack>(state);
        for_packs<kPack>(n, packed, name, Stepping<decltype(ruled.rule), T, G, M>{update, ruled.rule});
      });
    });
  });
}

// A rule, and the weight decay that enters its gradient.
template <class T, class Rule>
struct Ruled {
  Rule rule;
  T decay;
};

void sgd(const char* name, const Arguments& given, espalier_out velocity, double lr, double momentum, double dampening,
         int64_t nesterov, int64_t first) {
  require_finite("lr", lr);
  require_finite("momentum", momentum);
  require_finite("dampening", dampening);
  require_flag("nesterov", nesterov);
  require_flag("first", first);
  step(name, given, [&]<class T>(T) {
    T* const state = momentum != 0 ? elements<T>("velocity", velocity, given.parameter.length) : nullptr;
    return Ruled<T, Sgd<T>>{{{state},
                             static_cast<T>(lr),
                             static_cast<T>(momentum),
                             static_cast<T>(1 - dampening),
                             nesterov == 1,
                             first == 1},
                            static_cast<T>(given.weight_decay)};
  });
}

void adam(const char* name, const Arguments& given, espalier_out mean, espalier_out square, espalier_out largest,
          int64_t count, double lr, double beta1, double beta2, double eps, int64_t decoupled) {
  require_range("step", count, 1, int64_t{1} << 53);
  require_finite("lr", lr);
  require_range("beta1", beta1, 0.0, 1.0);
  require_range("beta2", beta2, 0.0, 1.0);
  require_finite("eps", eps);
  require_flag("decoupled", decoupled);
  const int64_t n = given.parameter.length;
  // Corrections in float64: 1 − β₂^t loses its digits in float32.
  const double steps = static_cast<double>(count);
  const double rate = lr / (1 - std::pow(beta1, steps)), root_scale = 1 / std::sqrt(1 - std::pow(beta2, steps));
  step(name, given, [&]<class T>(T) {
    return Ruled<T, Adam<T>>{
        {{elements<T>("mean", mean, n), elements<T>("square", square, n), optional_elements<T>("largest", largest, n)},
         static_cast<T>(rate),
         static_cast<T>(root_scale),
         static_cast<T>(beta1),
         static_cast<T>(1 - beta1),
         static_cast<T>(beta2),
         static_cast<T>(1 - beta2),
         static_cast<T>(eps),
         decoupled == 1 ? static_cast<T>(1 - lr * given.weight_decay) : T{1}},
        decoupled == 1 ? T{0} : static_cast<T>(given.weight_decay)};
  });
}

void rmsprop(const char* name, const Arguments& given, espalier_out square, espalier_out mean, espalier_out velocity,
             double lr, double alpha, double eps, double momentum) {
  require_finite("lr", lr);
  require_range("alpha", alpha, 0.0, 1.0);
  require_finite("eps", eps);
  require_finite("momentum", momentum);
  const int64_t n = given.parameter.length;
  step(name, given, [&]<class T>(T) {
    return Ruled<T, Rmsprop<T>>{{{elements<T>("square", square, n), optional_elements<T>("mean", mean, n),
                                  momentum != 0 ? elements<T>("velocity", velocity, n) : nullptr},
                                 static_cast<T>(lr),
                                 static_cast<T>(alpha),
                                 static_cast<T>(1 - alpha),
                                 static_cast<T>(eps),
                                 static_cast<T>(momentum)},
                                static_cast<T>(given.weight_decay)};
  });
}

template <class T>
struct Scaling {
  const T* x;
  T* y;
  wide_t<T> factor;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) const {
    Pack<T, N> v = load<N>(x + i);
#pragma unroll
    for (T& value : v.at) value = narrow<T>(widen(value) * factor);
    store<N>(y + i, v);
  }
};

template <class T>
struct Clamping {
  const T* x;
  T* y;
  wide_t<T> limit;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) const {
    Pack<T, N> v = load<N>(x + i);
#pragma unroll
    for (T& value : v.at) {
      const wide_t<T> wide = widen(value);  // comparisons that leave NaN as it is
      if (wide > limit) value = narrow<T>(limit);
      if (wide < -limit) value = narrow<T>(-limit);
    }
    store<N>(y + i, v);
  }
};

template <template <class> class Kind>
void map(const char* name, espalier_in x, double number, espalier_out y) {
  for_device_float("x", x.dtype, [&]<class T>(T) {
    const Kind<T> body{elements<T>("x", x, x.length), elements<T>("y", y, x.length), static_cast<wide_t<T>>(number)};
    for_packs<kPackOf<T>>(x.length, packable<kPackOf<T>>(body.x, body.y), name, body);
  });
}

}  // namespace

espalier_status espalier_cuda_sgd_step(espalier_out parameter, espalier_in gradient, espalier_out velocity,
                                       espalier_in mask, espalier_mask_rule mask_rule, double lr, double momentum,
                                       double dampening, double weight_decay, int64_t nesterov, int64_t maximize,
                                       int64_t first) {
  return guarded(__func__, [&] {
    sgd("sgd_step", {parameter, kNoCopy, gradient, mask, mask_rule, weight_decay, maximize}, velocity, lr, momentum,
        dampening, nesterov, first);
  });
}

espalier_status espalier_cuda_mixed_sgd_step(espalier_out parameter, espalier_out copy, espalier_in gradient,
                                             espalier_out velocity, espalier_in mask, espalier_mask_rule mask_rule,
                                             double lr, double momentum, double dampening, double weight_decay,
                                             int64_t nesterov, int64_t maximize, int64_t first) {
  return guarded(__func__, [&] {
    require_mixed(parameter, gradient);
    sgd("mixed_sgd_step", {parameter, copy, gradient, mask, mask_rule, weight_decay, maximize}, velocity, lr, momentum,
        dampening, nesterov, first);
  });
}

espalier_status espalier_cuda_adam_step(espalier_out parameter, espalier_in gradient, espalier_out mean,
                                        espalier_out square, espalier_out largest, espalier_in mask,
                                        espalier_mask_rule mask_rule, int64_t count, double lr, double beta1,
                                        double beta2, double eps, double weight_decay, int64_t decoupled,
                                        int64_t maximize) {
  return guarded(__func__, [&] {
    adam("adam_step", {parameter, kNoCopy, gradient, mask, mask_rule, weight_decay, maximize}, mean, square, largest,
         count, lr, beta1, beta2, eps, decoupled);
  });
}

espalier_status espalier_cuda_mixed_adam_step(espalier_out parameter, espalier_out copy, espalier_in gradient,
                                              espalier_out mean, espalier_out square, espalier_out largest,
                                              espalier_in mask, espalier_mask_rule mask_rule, int64_t count, double lr,
                                              double beta1, double beta2, double eps, double weight_decay,
                                              int64_t decoupled, int64_t maximize) {
  return guarded(__func__, [&] {
    require_mixed(parameter, gradient);
    adam("mixed_adam_step", {parameter, copy, gradient, mask, mask_rule, weight_decay, maximize}, mean, square, largest,
         count, lr, beta1, beta2, eps, decoupled);
  });
}

espalier_status espalier_cuda_rmsprop_step(espalier_out parameter, espalier_in gradient, espalier_out square,
                                           espalier_out mean, espalier_out velocity, espalier_in mask,
                                           espalier_mask_rule mask_rule, double lr, double alpha, double eps,
                                           double weight_decay, double momentum, int64_t maximize) {
  return guarded(__func__, [&] {
    rmsprop("rmsprop_step", {parameter, kNoCopy, gradient, mask, mask_rule, weight_decay, maximize}, square, mean,
            velocity, lr, alpha, eps, momentum);
  });
}

espalier_status espalier_cuda_mixed_rmsprop_step(espalier_out parameter, espalier_out copy, espalier_in gradient,
                                                 espalier_out square, espalier_out mean, espalier_out velocity,
                                                 espalier_in mask, espalier_mask_rule mask_rule, double lr,
                                                 double alpha, double eps, double weight_decay, double momentum,
                                                 int64_t maximize) {
  return guarded(__func__, [&] {
    require_mixed(parameter, gradient);
    rmsprop("mixed_rmsprop_step", {parameter, copy, gradient, mask, mask_rule, weight_decay, maximize}, square, mean,
            velocity, lr, alpha, eps, momentum);
  });
}

espalier_status espalier_cuda_scale_gradient(espalier_in x, double factor, espalier_out y) {
  return guarded(__func__, [&] { map<Scaling>("scale_gradient", x, factor, y); });
}

espalier_status espalier_cuda_clamp_gradient(espalier_in x, double limit, espalier_out y) {
  return guarded(__func__, [&] {
    require_range("limit", limit, 0.0, std::numeric_limits<double>::infinity());
    map<Clamping>("clamp_gradient", x, limit, y);
  });
}
