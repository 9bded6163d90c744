#include "espalier/norm.h"

#include "core/array.h"
#include "kernels/norm.h"

using namespace espalier;
using kernels::Affine;
using kernels::NormGradients;
using kernels::RunningStatistics;

namespace {

int64_t size_of(espalier_channels shape) { return checked_product("shape", {shape.batch, shape.channels, shape.size}); }

template <class T>
Affine<T> affine_of(espalier_in weight, espalier_in bias, int64_t length) {
  return {optional_elements<T>("weight", weight, length), optional_elements<T>("bias", bias, length)};
}

template <class T>
NormGradients<T> gradients_of(espalier_out dx, int64_t size, espalier_out dweight, espalier_out dbias, int64_t length) {
  return {optional_elements<T>("dx", dx, size), optional_elements<T>("dweight", dweight, length),
          optional_elements<T>("dbias", dbias, length)};
}

void require_eps(double eps) { require_range("eps", eps, 0, 1e30); }

}  // namespace

espalier_status espalier_batch_norm_train(espalier_in x, espalier_in weight, espalier_in bias, double momentum,
                                          double eps, espalier_out running_mean, espalier_out running_var,
                                          espalier_out mean, espalier_out scale, espalier_out y,
                                          espalier_channels shape) {
  return guarded(__func__, [&] {
    const int64_t size = size_of(shape);
    require_eps(eps);
    require_range("momentum", momentum, 0, 1);
    for_float("x", x.dtype, [&]<class T>(T) {
      const RunningStatistics<T> running{optional_elements<T>("running_mean", running_mean, shape.channels),
                                         optional_elements<T>("running_var", running_var, shape.channels), momentum};
      if ((running.mean == nullptr) != (running.var == nullptr))
        fail(ESPALIER_INVALID_ARGUMENT, "running_mean and running_var go together, one is missing");
      if (size > 0 && size == shape.channels)
        fail(ESPALIER_SHAPE_MISMATCH, "a channel has a single value, its variance takes at least two");
      kernels::batch_norm_train(shape, elements<T>("x", x, size), affine_of<T>(weight, bias, shape.channels), eps,
                                running, elements<T>("mean", mean, shape.channels),
                                elements<T>("scale", scale, shape.channels), elements<T>("y", y, size));
    });
  });
}

espalier_status espalier_batch_norm_train_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean,
                                                   espalier_in scale, espalier_out dx, espalier_out dweight,
                                                   espalier_out dbias, espalier_channels shape) {
  return guarded(__func__, [&] {
    const int64_t size = size_of(shape);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::batch_norm_train_backward(
          shape, elements<T>("dy", dy, size), elements<T>("x", x, size),
          optional_elements<T>("weight", weight, shape.channels), elements<T>("mean", mean, shape.channels),
          elements<T>("scale", scale, shape.channels), gradients_of<T>(dx, size, dweight, dbias, shape.channels));
    });
  });
}

espalier_status espalier_batch_norm_eval(espalier_in x, espalier_in weight, espalier_in bias, espalier_in mean,
                                         espalier_in variance, double eps, espalier_out y, espalier_channels shape) {
  return guarded(__func__, [&] {
    const int64_t size = size_of(shape);
    require_eps(eps);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::batch_norm_eval(shape, elements<T>("x", x, size), affine_of<T>(weight, bias, shape.channels), eps,
                               elements<T>("mean", mean, shape.channels),
                               elements<T>("variance", variance, shape.channels), elements<T>("y", y, size));
    });
  });
}

espalier_status espalier_batch_norm_eval_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean,
                                                  espalier_in variance, double eps, espalier_out dx,
                                                  espalier_out dweight, espalier_out dbias, espalier_channels shape) {
  return guarded(__func__, [&] {
    const int64_t size = size_of(shape);
    require_eps(eps);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::batch_norm_eval_backward(shape, elements<T>("dy", dy, size), elements<T>("x", x, size),
                                        optional_elements<T>("weight", weight, shape.channels),
                                        elements<T>("mean", mean, shape.channels),
                                        elements<T>("variance", variance, shape.channels), eps,
                                        gradients_of<T>(dx, size, dweight, dbias, shape.channels));
    });
  });
}

espalier_status espalier_layer_norm_forward(espalier_in x, espalier_in weight, espalier_in bias, double eps,
                                            espalier_out mean, espalier_out scale, espalier_out y,
                                            espalier_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.size});
    require_eps(eps);
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::layer_norm_forward(shape, elements<T>("x", x, size), affine_of<T>(weight, bias, shape.size), eps,
                                  elements<T>("mean", mean, shape.rows), elements<T>("scale", scale, shape.rows),
                                  elements<T>("y", y, size));
    });
  });
}

espalier_status espalier_layer_norm_backward(espalier_in dy, espalier_in x, espalier_in weight, espalier_in mean,
                                             espalier_in scale, espalier_out dx, espalier_out dweight,
                                             espalier_out dbias, espalier_rows shape) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", {shape.rows, shape.size});
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::layer_norm_backward(shape, elements<T>("dy", dy, size), elements<T>("x", x, size),
                                   optional_elements<T>("weight", weight, shape.size),
                                   elements<T>("mean", mean, shape.rows), elements<T>("scale", scale, shape.rows),
                                   gradients_of<T>(dx, size, dweight, dbias, shape.size));
    });
  });
}
