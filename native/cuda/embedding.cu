// Rows of a table by number.
#include "core/array.h"
#include "cuda/core/launch.cuh"
#include "cuda/lines.h"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

espalier_status espalier_cuda_embedding_forward(espalier_in weight, espalier_in indices, espalier_out y,
                                                espalier_table shape) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t table = checked_product("shape", {shape.rows, shape.size});
    const int64_t out = checked_product("indices", {indices.length, shape.size});
    const int32_t* const numbers = elements<int32_t>("indices", indices, indices.length);
    for_device_float("weight", weight.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("weight", weight, table);
      T* const to = elements<T>("y", y, out);
      take_lines(function, 1, shape.rows, shape.size * int64_t{sizeof(T)}, from, numbers, indices.length, to);
    });
  });
}

espalier_status espalier_cuda_embedding_backward(espalier_in dy, espalier_in indices, int64_t padding,
                                                 espalier_out dweight, espalier_table shape) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t table = checked_product("shape", {shape.rows, shape.size});
    const int64_t in = checked_product("indices", {indices.length, shape.size});
    require_range("padding", padding, -1, shape.rows - 1);
    const int32_t* const numbers = elements<int32_t>("indices", indices, indices.length);
    for_device_float("dy", dy.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("dy", dy, in);
      T* const to = elements<T>("dweight", dweight, table);
      add_lines(function, 1, shape.rows, shape.size, from, numbers, indices.length, padding, to);
    });
  });
}
