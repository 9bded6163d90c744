#include "espalier/loss.h"

#include "core/array.h"
#include "kernels/loss.h"

using namespace espalier;
using kernels::ClassTargets;
using kernels::Repeated;
using kernels::SoftTargets;

namespace {

void require_reduction(espalier_reduction reduction) {
  require_range("reduction", static_cast<int64_t>(reduction), 0, 2);
}

// Elements of `loss` and its gradient: one each, or one in all.
int64_t losses(espalier_reduction reduction, int64_t count) { return reduction == ESPALIER_REDUCTION_NONE ? count : 1; }

template <class T>
ClassTargets<T> class_targets(espalier_in target, espalier_in weight, espalier_reduction reduction,
                              int64_t ignore_index, double smoothing, espalier_class_rows shape) {
  require_reduction(reduction);
  require_range("label_smoothing", smoothing, 0, 1);
  const int32_t* const labels = elements<int32_t>("target", target, shape.rows);
  const T* const weights = optional_elements<T>("weight", weight, shape.classes);
  for (int64_t r = 0; r < shape.rows; ++r)
    if (labels[r] != ignore_index && (labels[r] < 0 || labels[r] >= shape.classes))
      fail(ESPALIER_INVALID_ARGUMENT, "target[%lld] is %d, expected 0 to %lld", static_cast<long long>(r), labels[r],
           static_cast<long long>(shape.classes - 1));
  return {shape.rows, shape.classes, labels, weights, reduction, ignore_index, smoothing};
}

template <class T>
SoftTargets<T> soft_targets(espalier_in target, espalier_in weight, espalier_reduction reduction, double smoothing,
                            espalier_class_rows shape, int64_t size) {
  require_reduction(reduction);
  require_range("label_smoothing", smoothing, 0, 1);
  return {shape.rows,
          shape.classes,
          elements<T>("target", target, size),
          optional_elements<T>("weight", weight, shape.classes),
          reduction,
          smoothing};
}

int64_t kept_size(espalier_class_rows shape) { return checked_product("rows", {shape.rows, 2}) + 1; }

template <class T>
Repeated<T> repeated(const char* name, espalier_in factor, int64_t length) {
  if (factor.data == nullptr && factor.length == 0) return {nullptr, 0};
  if (factor.length < 1 ? length > 0 : length % factor.length != 0)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected a divisor of %lld", name,
         static_cast<long long>(factor.length), static_cast<long long>(length));
  return {elements<T>(name, factor, factor.length), factor.length};
}

void require_distance(espalier_distance kind, double beta) {
  require_range("kind", static_cast<int64_t>(kind), 0, 3);
  if (kind >= ESPALIER_DISTANCE_SMOOTH) require_range("beta", beta, 1e-30, 1e30);
}

}  // namespace

espalier_status espalier_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight,
                                               espalier_reduction reduction, int64_t ignore_index,
                                               double label_smoothing, espalier_out loss, espalier_out kept,
                                               espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const scores = elements<T>("x", x, size);
      T* const result = elements<T>("loss", loss, losses(reduction, shape.rows));
      T* const keep = elements<T>("kept", kept, kept_size(shape));
      kernels::cross_entropy_forward(class_targets<T>(target, weight, reduction, ignore_index, label_smoothing, shape),
                                     scores, result, keep);
    });
  });
}

espalier_status espalier_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                espalier_in weight, espalier_reduction reduction, int64_t ignore_index,
                                                double label_smoothing, espalier_in kept, espalier_out dx,
                                                espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const gradient = elements<T>("dloss", dloss, losses(reduction, shape.rows));
      const T* const scores = elements<T>("x", x, size);
      const T* const keep = elements<T>("kept", kept, kept_size(shape));
      T* const result = elements<T>("dx", dx, size);
      kernels::cross_entropy_backward(class_targets<T>(target, weight, reduction, ignore_index, label_smoothing, shape),
                                      gradient, scores, keep, result);
    });
  });
}

espalier_status espalier_soft_cross_entropy_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                    espalier_reduction reduction, double label_smoothing,
                                                    espalier_out loss, espalier_out kept, espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const scores = elements<T>("x", x, size);
      T* const result = elements<T>("loss", loss, losses(reduction, shape.rows));
      T* const keep = elements<T>("kept", kept, kept_size(shape));
      kernels::soft_cross_entropy_forward(soft_targets<T>(target, weight, reduction, label_smoothing, shape, size),
                                          scores, result, keep);
    });
  });
}

espalier_status espalier_soft_cross_entropy_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                     espalier_in weight, espalier_reduction reduction,
                                                     double label_smoothing, espalier_in kept, espalier_out dx,
                                                     espalier_out dtarget, espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const gradient = elements<T>("dloss", dloss, losses(reduction, shape.rows));
      const T* const scores = elements<T>("x", x, size);
      const T* const keep = elements<T>("kept", kept, kept_size(shape));
      T* const to_x = optional_elements<T>("dx", dx, size);
      T* const to_target = optional_elements<T>("dtarget", dtarget, size);
      kernels::soft_cross_entropy_backward(soft_targets<T>(target, weight, reduction, label_smoothing, shape, size),
                                           gradient, scores, keep, to_x, to_target);
    });
  });
}

espalier_status espalier_nll_forward(espalier_in x, espalier_in target, espalier_in weight,
                                     espalier_reduction reduction, int64_t ignore_index, espalier_out loss,
                                     espalier_out divisor, espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const scores = elements<T>("x", x, size);
      T* const result = elements<T>("loss", loss, losses(reduction, shape.rows));
      T* const counted = elements<T>("divisor", divisor, 1);
      kernels::nll_forward(class_targets<T>(target, weight, reduction, ignore_index, 0, shape), scores, result,
                           counted);
    });
  });
}

espalier_status espalier_nll_backward(espalier_in dloss, espalier_in target, espalier_in weight,
                                      espalier_reduction reduction, int64_t ignore_index, espalier_in divisor,
                                      espalier_out dx, espalier_class_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.classes});
    for_float("dloss", dloss.dtype, [&]<class T>(T) {
      const T* const gradient = elements<T>("dloss", dloss, losses(reduction, shape.rows));
      const T* const counted = elements<T>("divisor", divisor, 1);
      T* const result = elements<T>("dx", dx, size);
      kernels::nll_backward(class_targets<T>(target, weight, reduction, ignore_index, 0, shape), gradient, counted,
                            result);
    });
  });
}

espalier_status espalier_distance_forward(espalier_distance kind, double beta, espalier_in x, espalier_in target,
                                          espalier_reduction reduction, espalier_out loss) {
  return guarded(__func__, [&] {
    require_distance(kind, beta);
    require_reduction(reduction);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::distance_forward(kind, static_cast<T>(beta), elements<T>("x", x, x.length),
                                elements<T>("target", target, x.length), x.length, reduction,
                                elements<T>("loss", loss, losses(reduction, x.length)));
    });
  });
}

espalier_status espalier_distance_backward(espalier_distance kind, double beta, espalier_in dloss, espalier_in x,
                                           espalier_in target, espalier_reduction reduction, espalier_out dx,
                                           espalier_out dtarget) {
  return guarded(__func__, [&] {
    require_distance(kind, beta);
    require_reduction(reduction);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::distance_backward(kind, static_cast<T>(beta), elements<T>("dloss", dloss, losses(reduction, x.length)),
                                 elements<T>("x", x, x.length), elements<T>("target", target, x.length), x.length,
                                 reduction, optional_elements<T>("dx", dx, x.length),
                                 optional_elements<T>("dtarget", dtarget, x.length));
    });
  });
}

espalier_status espalier_bce_with_logits_forward(espalier_in x, espalier_in target, espalier_in weight,
                                                 espalier_in pos_weight, espalier_reduction reduction,
                                                 espalier_out loss) {
  return guarded(__func__, [&] {
    require_reduction(reduction);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::bce_forward(elements<T>("x", x, x.length), elements<T>("target", target, x.length),
                           repeated<T>("weight", weight, x.length), repeated<T>("pos_weight", pos_weight, x.length),
                           x.length, reduction, elements<T>("loss", loss, losses(reduction, x.length)));
    });
  });
}

espalier_status espalier_bce_with_logits_backward(espalier_in dloss, espalier_in x, espalier_in target,
                                                  espalier_in weight, espalier_in pos_weight,
                                                  espalier_reduction reduction, espalier_out dx, espalier_out dtarget) {
  return guarded(__func__, [&] {
    require_reduction(reduction);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::bce_backward(elements<T>("dloss", dloss, losses(reduction, x.length)), elements<T>("x", x, x.length),
                            elements<T>("target", target, x.length), repeated<T>("weight", weight, x.length),
                            repeated<T>("pos_weight", pos_weight, x.length), x.length, reduction,
                            optional_elements<T>("dx", dx, x.length),
                            optional_elements<T>("dtarget", dtarget, x.length));
    });
  });
}
