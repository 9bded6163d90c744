#include "espalier/softmax.h"

#include "core/array.h"
#include "kernels/softmax.h"

using namespace espalier;
using kernels::Softmax;

namespace {

espalier_status forward(const char* function, Softmax kind, espalier_in x, espalier_out y, espalier_strip shape) {
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.outer, shape.length, shape.inner});
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::softmax_forward(kind, elements<T>("x", x, size), elements<T>("y", y, size), shape);
    });
  });
}

espalier_status backward(const char* function, Softmax kind, espalier_in dy, espalier_in y, espalier_out dx,
                         espalier_strip shape) {
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.outer, shape.length, shape.inner});
    for_float("dy", dy.dtype, [&]<class T>(T) {
      kernels::softmax_backward(kind, elements<T>("dy", dy, size), elements<T>("y", y, size),
                                elements<T>("dx", dx, size), shape);
    });
  });
}

}  // namespace

espalier_status espalier_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape) {
  return forward(__func__, Softmax::kPlain, x, y, shape);
}
espalier_status espalier_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx, espalier_strip shape) {
  return backward(__func__, Softmax::kPlain, dy, y, dx, shape);
}
espalier_status espalier_log_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape) {
  return forward(__func__, Softmax::kLog, x, y, shape);
}
espalier_status espalier_log_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx, espalier_strip shape) {
  return backward(__func__, Softmax::kLog, dy, y, dx, shape);
}
