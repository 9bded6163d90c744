#include "espalier/elementwise.h"

#include "core/array.h"
#include "kernels/elementwise.h"

using namespace espalier;

espalier_status espalier_unary_forward(espalier_unary kind, double parameter, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::unary(kind, parameter, elements<T>("x", x, x.length), elements<T>("y", y, x.length), x.length);
    });
  });
}

espalier_status espalier_accumulate(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::accumulate(elements<T>("x", x, x.length), elements<T>("y", y, x.length), x.length);
    });
  });
}
