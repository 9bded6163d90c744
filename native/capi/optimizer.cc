#include "espalier/optimizer.h"

#include <limits>

#include "core/array.h"
#include "kernels/optimizer.h"

using namespace espalier;

namespace {

void require_flag(const char* name, int64_t value) { require_range(name, value, 0, 1); }

void require_finite(const char* name, double value) {
  require_range(name, value, std::numeric_limits<double>::lowest(), std::numeric_limits<double>::max());
}

// What the rules have in common, checked.
template <class T>
kernels::Update<T> update(espalier_out parameter, espalier_in gradient, espalier_in mask, espalier_mask_rule rule,
                          double weight_decay, int64_t maximize) {
  const int64_t n = parameter.length;
  require_range("mask_rule", static_cast<int64_t>(rule), ESPALIER_MASK_RULE_GRADIENT, ESPALIER_MASK_RULE_FREEZE);
  require_finite("weight_decay", weight_decay);
  require_flag("maximize", maximize);
  return {elements<T>("parameter", parameter, n),
          elements<T>("gradient", gradient, n),
          optional_elements<T>("mask", mask, n),
          rule == ESPALIER_MASK_RULE_FREEZE,
          maximize == 1,
          weight_decay,
          n};
}

}  // namespace

espalier_status espalier_sgd_step(espalier_out parameter, espalier_in gradient, espalier_out velocity, espalier_in mask,
                                  espalier_mask_rule mask_rule, double lr, double momentum, double dampening,
                                  double weight_decay, int64_t nesterov, int64_t maximize, int64_t first) {
  return guarded(__func__, [&] {
    require_finite("lr", lr);
    require_finite("momentum", momentum);
    require_finite("dampening", dampening);
    require_flag("nesterov", nesterov);
    require_flag("first", first);
    for_float("parameter", parameter.dtype, [&]<class T>(T) {
      kernels::SgdStep<T> step{update<T>(parameter, gradient, mask, mask_rule, weight_decay, maximize),
                               nullptr,
                               lr,
                               momentum,
                               dampening,
                               nesterov == 1,
                               first == 1};
      if (momentum != 0) step.velocity = elements<T>("velocity", velocity, parameter.length);
      kernels::sgd_step(step);
    });
  });
}

espalier_status espalier_adam_step(espalier_out parameter, espalier_in gradient, espalier_out mean, espalier_out square,
                                   espalier_out largest, espalier_in mask, espalier_mask_rule mask_rule, int64_t step,
                                   double lr, double beta1, double beta2, double eps, double weight_decay,
                                   int64_t decoupled, int64_t maximize) {
  return guarded(__func__, [&] {
    require_range("step", step, 1, int64_t{1} << 53);
    require_finite("lr", lr);
    require_range("beta1", beta1, 0.0, 1.0);
    require_range("beta2", beta2, 0.0, 1.0);
    require_finite("eps", eps);
    require_flag("decoupled", decoupled);
    const int64_t n = parameter.length;
    for_float("parameter", parameter.dtype, [&]<class T>(T) {
      kernels::adam_step(kernels::AdamStep<T>{update<T>(parameter, gradient, mask, mask_rule, weight_decay, maximize),
                                              elements<T>("mean", mean, n), elements<T>("square", square, n),
                                              optional_elements<T>("largest", largest, n), step, lr, beta1, beta2, eps,
                                              decoupled == 1});
    });
  });
}

espalier_status espalier_rmsprop_step(espalier_out parameter, espalier_in gradient, espalier_out square,
                                      espalier_out mean, espalier_out velocity, espalier_in mask,
                                      espalier_mask_rule mask_rule, double lr, double alpha, double eps,
                                      double weight_decay, double momentum, int64_t maximize) {
  return guarded(__func__, [&] {
    require_finite("lr", lr);
    require_range("alpha", alpha, 0.0, 1.0);
    require_finite("eps", eps);
    require_finite("momentum", momentum);
    const int64_t n = parameter.length;
    for_float("parameter", parameter.dtype, [&]<class T>(T) {
      kernels::RmspropStep<T> step{update<T>(parameter, gradient, mask, mask_rule, weight_decay, maximize),
                                   elements<T>("square", square, n),
                                   optional_elements<T>("mean", mean, n),
                                   nullptr,
                                   lr,
                                   alpha,
                                   eps,
                                   momentum};
      if (momentum != 0) step.velocity = elements<T>("velocity", velocity, n);
      kernels::rmsprop_step(step);
    });
  });
}

espalier_status espalier_scale_gradient(espalier_in x, double factor, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::scale_gradient(elements<T>("x", x, x.length), factor, elements<T>("y", y, x.length), x.length);
    });
  });
}

espalier_status espalier_clamp_gradient(espalier_in x, double limit, espalier_out y) {
  return guarded(__func__, [&] {
    require_range("limit", limit, 0.0, std::numeric_limits<double>::infinity());
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::clamp_gradient(elements<T>("x", x, x.length), limit, elements<T>("y", y, x.length), x.length);
    });
  });
}
