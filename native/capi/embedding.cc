#include "espalier/embedding.h"

#include "core/array.h"
#include "kernels/embedding.h"

using namespace espalier;

namespace {

const int32_t* row_numbers(espalier_in indices, espalier_table shape) {
  const int32_t* const numbers = elements<int32_t>("indices", indices, indices.length);
  for (int64_t i = 0; i < indices.length; ++i)
    if (numbers[i] < 0 || numbers[i] >= shape.rows)
      fail(ESPALIER_INVALID_ARGUMENT, "indices[%lld] is %d, expected 0 to %lld", static_cast<long long>(i), numbers[i],
           static_cast<long long>(shape.rows - 1));
  return numbers;
}

}  // namespace

espalier_status espalier_embedding_forward(espalier_in weight, espalier_in indices, espalier_out y,
                                           espalier_table shape) {
  return guarded(__func__, [&] {
    const int64_t table = checked_product("shape", {shape.rows, shape.size});
    const int64_t out = checked_product("indices", {indices.length, shape.size});
    for_float("weight", weight.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("weight", weight, table);
      T* const to = elements<T>("y", y, out);
      kernels::embedding(shape, indices.length, from, row_numbers(indices, shape), to);
    });
  });
}

espalier_status espalier_embedding_backward(espalier_in dy, espalier_in indices, int64_t padding, espalier_out dweight,
                                            espalier_table shape) {
  return guarded(__func__, [&] {
    const int64_t table = checked_product("shape", {shape.rows, shape.size});
    const int64_t in = checked_product("indices", {indices.length, shape.size});
    require_range("padding", padding, -1, shape.rows - 1);
    for_float("dy", dy.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("dy", dy, in);
      T* const to = elements<T>("dweight", dweight, table);
      kernels::embedding_backward(shape, indices.length, from, row_numbers(indices, shape), padding, to);
    });
  });
}
