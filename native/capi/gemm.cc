#include "espalier/gemm.h"

#include <algorithm>

#include "core/product.h"
#include "kernels/gemm.h"
#include "kernels/matmul.h"

using namespace espalier;

namespace {

template <class T>
kernels::GemmEpilogue<T> epilogue(const espalier_product& p, espalier_in row_bias, espalier_in column_bias,
                                  espalier_finish finish) {
  require_range("finish", static_cast<int64_t>(finish), ESPALIER_FINISH_NONE, ESPALIER_FINISH_RELU);
  return {optional_elements<T>("row_bias", row_bias, p.m), optional_elements<T>("column_bias", column_bias, p.n),
          finish == ESPALIER_FINISH_RELU};
}

}  // namespace

espalier_status espalier_gemm(double alpha, espalier_in a, espalier_in b, double beta, espalier_in row_bias,
                              espalier_in column_bias, espalier_finish finish, espalier_out c, espalier_product p) {
  return guarded(__func__, [&] {
    check_sizes(p.m, p.n, p.k, p.transpose_a, p.transpose_b);
    for_float("c", c.dtype, [&]<class T>(T) {
      const T* const left = matrix<T>("a", a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda);
      const T* const right = matrix<T>("b", b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb);
      T* const result = matrix<T>("c", c, p.m, p.n, p.ldc);
      kernels::gemm<T>(p.transpose_a, p.transpose_b, p.m, p.n, p.k, static_cast<T>(alpha), left, p.lda, right, p.ldb,
                       static_cast<T>(beta), result, p.ldc, epilogue<T>(p, row_bias, column_bias, finish));
    });
  });
}

espalier_status espalier_gemm_pack_size(int64_t n, int64_t k, espalier_dtype dtype, int64_t* length) {
  return guarded(__func__, [&] {
    checked_product("the matrix", {n, k});
    for_float("the matrix", dtype, [&]<class T>(T) {
      const int64_t size = kernels::gemm_pack_size<T>(n, k);
      if (size < 0) fail(ESPALIER_INVALID_ARGUMENT, "the matrix: too large");
      *length = size;
    });
  });
}

espalier_status espalier_gemm_pack(int64_t n, int64_t k, int64_t transpose_b, int64_t ldb, espalier_in b,
                                   espalier_out packed) {
  return guarded(__func__, [&] {
    checked_product("the matrix", {n, k});
    require_range("transpose_b", transpose_b, 0, 1);
    for_float("b", b.dtype, [&]<class T>(T) {
      const T* const from = matrix<T>("b", b, transpose_b ? n : k, transpose_b ? k : n, ldb);
      T* const to = elements<T>("packed", packed, kernels::gemm_pack_size<T>(n, k));
      kernels::gemm_pack<T>(transpose_b, n, k, from, ldb, to);
    });
  });
}

espalier_status espalier_gemm_packed(double alpha, espalier_in a, espalier_in packed, double beta, espalier_in row_bias,
                                     espalier_in column_bias, espalier_finish finish, espalier_out c,
                                     espalier_product p) {
  return guarded(__func__, [&] {
    check_sizes(p.m, p.n, p.k, p.transpose_a, 0);
    for_float("c", c.dtype, [&]<class T>(T) {
      const T* const left = matrix<T>("a", a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda);
      const T* const right = elements<T>("packed", packed, kernels::gemm_pack_size<T>(p.n, p.k));
      if (!kernels::gemm_is_packed<T>(p.n, p.k, right))
        fail(ESPALIER_INVALID_ARGUMENT, "packed was not packed for a matrix of %lld×%lld by this instruction set",
             static_cast<long long>(p.k), static_cast<long long>(p.n));
      T* const result = matrix<T>("c", c, p.m, p.n, p.ldc);
      kernels::gemm_packed<T>(p.transpose_a, p.m, p.n, p.k, static_cast<T>(alpha), left, p.lda, right,
                              static_cast<T>(beta), result, p.ldc, epilogue<T>(p, row_bias, column_bias, finish));
    });
  });
}

espalier_status espalier_matmul(int64_t m, int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b,
                                espalier_dims batch_a, espalier_dims batch_b, espalier_dims batch_c, espalier_in a,
                                espalier_in b, espalier_out c) {
  return guarded(__func__, [&] {
    check_sizes(m, n, k, transpose_a, transpose_b);
    if (batch_a.rank != batch_b.rank || batch_a.rank != batch_c.rank)
      fail(ESPALIER_SHAPE_MISMATCH, "the batch shapes differ in rank");
    const int64_t count_a = checked_product("batch_a", batch_a), count_b = checked_product("batch_b", batch_b),
                  count_c = checked_product("batch_c", batch_c);
    // Innermost first: strides grow outwards.
    std::vector<kernels::BatchAxis> batch;
    int64_t step_a = 1, step_b = 1, step_c = 1, products = 1;
    for (int64_t i = batch_a.rank - 1; i >= 0; --i) {
      const int64_t in_a = batch_a.data[i], in_b = batch_b.data[i], in_c = batch_c.data[i];
      const int64_t size = in_a == 1 ? in_b : in_a;
      if ((in_b != 1 && in_b != size) || (in_c != 1 && in_c != size))
        fail(ESPALIER_SHAPE_MISMATCH, "batch dimension %lld is %lld, %lld and %lld", static_cast<long long>(i),
             static_cast<long long>(in_a), static_cast<long long>(in_b), static_cast<long long>(in_c));
      batch.push_back({size, in_a == 1 ? 0 : step_a, in_b == 1 ? 0 : step_b, in_c == 1 ? 0 : step_c});
      step_a *= in_a, step_b *= in_b, step_c *= in_c;
      products = checked_product("the batch", {products, size});
    }
    std::reverse(batch.begin(), batch.end());
    for_float("c", c.dtype, [&]<class T>(T) {
      const T* const left = elements<T>("a", a, checked_product("a", {count_a, m, k}));
      const T* const right = elements<T>("b", b, checked_product("b", {count_b, k, n}));
      T* const result = elements<T>("c", c, checked_product("c", {count_c, m, n}));
      kernels::matmul<T>(transpose_a, transpose_b, m, n, k, batch, left, right, result);
    });
  });
}

espalier_status espalier_column_sum(int64_t rows, int64_t columns, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, checked_product("x", {rows, columns}));
      kernels::column_sum<T>(rows, columns, from, elements<T>("y", y, columns));
    });
  });
}
