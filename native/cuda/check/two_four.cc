// 2:4 matrices and products by mma.sp.
#include "cuda/check/two_four.h"

using namespace espalier::check;

namespace {
constexpr espalier_dtype kTypes[] = {ESPALIER_FLOAT16, ESPALIER_BFLOAT16, ESPALIER_INT8};
const espalier_cuda_two_four kShapes[] = {{1, 32, 1, 0},      {1, 32, 1, 1},     {16, 64, 8, 0},     {16, 64, 8, 1},
                                          {17, 96, 9, 0},     {15, 128, 7, 1},   {128, 32, 128, 0},  {128, 256, 128, 1},
                                          {130, 160, 131, 0}, {257, 224, 65, 1}, {64, 1024, 200, 0}, {300, 320, 40, 1},
                                          {5, 2048, 3, 0}};
}  // namespace

ESPALIER_CHECK(two_four_compresses) {
  for (const espalier_dtype dtype : kTypes)
    for (const espalier_cuda_two_four& shape : kShapes) {
      // Whole numbers, so that there are ties.
      const TwoFour w(shape, integers(shape.m * shape.k, -4, 5, dtype));
      Array dense = result(shape.m * shape.k, dtype), again = result(shape.m * shape.k / 2, dtype);
      dense.poison();
      again.poison();
      ok(espalier_cuda_two_four_expand(w.values.in(), w.places.in(), dense.out(), shape), "expand");
      close(dense.fetch(), w.pruned, 0, "the expanded matrix");
      ok(espalier_cuda_two_four_gather(w.weight.in(), w.places.in(), again.out(), shape), "gather");
      close(again.fetch(), w.values.fetch(), 0, "the gathered values");
    }
}

ESPALIER_CHECK(two_four_products) {
  for (const espalier_dtype dtype : kTypes)
    for (const espalier_cuda_two_four& shape : kShapes)
      for (const bool biased : {false, true}) two_four_product(shape, dtype, biased);
  for (const espalier_dtype dtype : kTypes) {
    two_four_product({0, 64, 5, 0}, dtype);
    two_four_product({5, 64, 0, 1}, dtype);
    two_four_product({5, 0, 4, 0}, dtype, true);
  }
}

ESPALIER_CHECK(two_four_gradients) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const espalier_cuda_two_four& shape : kShapes) {
      const auto [m, k, n, batch_major] = shape;
      const TwoFour w(shape, some(m * k, dtype));
      const Array x = some(k * n, dtype), dy = some(m * n, dtype);
      Array dx = result(k * n, dtype), dvalues = result(m * k / 2, dtype), dense = result(m * k, dtype);
      dx.poison();
      dvalues.poison();
      ok(espalier_cuda_two_four_data_grad(w.values.in(), w.places.in(), dy.in(), dx.out(), shape), "data_grad");
      ok(espalier_cuda_two_four_weight_grad(x.in(), dy.in(), w.places.in(), dvalues.out(), shape), "weight_grad");
      const double tolerance = dtype == ESPALIER_BFLOAT16 ? 4e-3 : 6e-4;
      close(dx.fetch(),
            batch_major ? reference(n, k, m, false, false, dy.host(), w.pruned)
                        : reference(k, n, m, true, false, w.pruned, dy.host()),
            tolerance, "the gradient of the data");
      std::vector<double> dw = batch_major ? reference(m, k, n, true, false, dy.host(), x.host())
                                           : reference(m, k, n, false, true, dy.host(), x.host());
      for (size_t at = 0; at < dw.size(); ++at)
        if (w.pruned[at] == 0) dw[at] = 0;
      ok(espalier_cuda_two_four_expand(dvalues.in(), w.places.in(), dense.out(), shape), "expand");
      close(dense.fetch(), dw, tolerance, "the gradient of the values");
    }
}

ESPALIER_CHECK(two_four_refuses) {
  Array weight = random(16 * 36, -1, 1, ESPALIER_FLOAT16), values = result(16 * 18, ESPALIER_FLOAT16);
  Array places = result(64, ESPALIER_INT32), wide = random(16 * 32);
  int64_t length = 0;
  require(espalier_cuda_two_four_places_size({16, 36, 1, 0}, &length) == ESPALIER_INVALID_ARGUMENT,
          "k of 36 is refused");
  require(
      espalier_cuda_two_four_compress(wide.in(), values.out(), places.out(), {16, 32, 1, 0}) == ESPALIER_DTYPE_MISMATCH,
      "float32 is refused");
  require(espalier_cuda_two_four_compress(weight.in(), values.out(), places.out(), {16, 32, 1, 0}) ==
              ESPALIER_SHAPE_MISMATCH,
          "a weight of another length is refused");
}
