#include "espalier/score.h"

#include "core/array.h"
#include "kernels/score.h"

using namespace espalier;

espalier_status espalier_lamp_score(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 32) - 1);  // entries are numbered in 32 bits
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::lamp_score(elements<T>("x", x, x.length), x.length, elements<T>("y", y, x.length));
    });
  });
}

espalier_status espalier_distance_sums(espalier_in x, int64_t rows, int64_t columns, espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t n = checked_product("rows and columns", {rows, columns});
    for_float("x", x.dtype, [&]<class T>(T) {
      kernels::distance_sums(elements<T>("x", x, n), rows, columns, elements<T>("y", y, rows));
    });
  });
}
