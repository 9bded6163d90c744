// Dense products of the C interface: what is checked, and which kernel a product goes to.
#include "espalier_cuda.h"

#include <algorithm>
#include <vector>

#include "cuda/gemm.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// A matrix of an array that may be longer than it.
template <class T, class Array>
auto matrix(const char* name, Array array, int64_t rows, int64_t columns, int64_t ld) {
  require_range("a leading dimension", ld, std::max<int64_t>(columns, 1), int64_t{1} << 53);
  int64_t needed = 0;
  if (rows > 0 && columns > 0) needed = checked_product(name, {rows - 1, ld}) + columns;
  if (array.length < needed)
    fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected %lld for %lld rows of %lld", name,
         static_cast<long long>(array.length), static_cast<long long>(needed), static_cast<long long>(rows),
         static_cast<long long>(columns));
  return elements<T>(name, array, array.length);
}

void check_sizes(int64_t m, int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b) {
  checked_product("the product", {m, n});
  checked_product("the product", {m, k});
  checked_product("the product", {n, k});
  require_range("transpose_a", transpose_a, int64_t{0}, int64_t{1});
  require_range("transpose_b", transpose_b, int64_t{0}, int64_t{1});
}

template <class T>
Bias bias(const char* name, espalier_in array, int64_t length) {
  if (sizeof(T) == 2 && array.dtype == ESPALIER_FLOAT32) return {optional_elements<float>(name, array, length), true};
  return {optional_elements<T>(name, array, length), false};
}

// Runs body(T{}, C{}) for the element types of A (and B), and of C: C has A's, or is float32 where A's
// has 16 bits.
template <class Body>
void for_types(espalier_in a, espalier_out c, Body body) {
  for_device_float("a", a.dtype, [&]<class T>(T) {
    if constexpr (sizeof(T) == 2) {
      if (c.dtype == ESPALIER_FLOAT32) return body(T{}, float{});
    }
    body(T{}, T{});
  });
}

void to_bfloat16(int64_t rows, int64_t columns, const float* x, int64_t ldx, __nv_bfloat16* y, int64_t ldy) {
  for_each(rows * columns, "to_bfloat16", [=] __device__(int64_t at) {
    const int64_t i = at / columns, j = at % columns;
    y[i * ldy + j] = __float2bfloat16(x[i * ldx + j]);
  });
}

// float32 rounded to bfloat16 on its way in. The matrices of a batch lie one after the other.
Product<__nv_bfloat16, float> rounded(const Product<float, float>& p, __nv_bfloat16* a, int64_t matrices_a,
                                      __nv_bfloat16* b, int64_t matrices_b) {
  const int64_t rows_a = p.transpose_a ? p.k : p.m, columns_a = p.transpose_a ? p.m : p.k;
  const int64_t rows_b = p.transpose_b ? p.n : p.k, columns_b = p.transpose_b ? p.k : p.n;
  // Rows padded to 16 bytes, as the kernels like them.
  const int64_t lda = tiles_of(columns_a, 8) * 8, ldb = tiles_of(columns_b, 8) * 8;
  to_bfloat16(matrices_a * rows_a, columns_a, p.a, p.lda, a, lda);
  to_bfloat16(matrices_b * rows_b, columns_b, p.b, p.ldb, b, ldb);
  Product<__nv_bfloat16, float> q{p.m,    p.n,     p.k,          p.transpose_a, p.transpose_b, a,
                                  lda,    b,       ldb,          p.c,           p.ldc,         {},
                                  p.kept, p.added, rows_a * lda, rows_b * ldb,  p.stride_c};
  q.finish = {p.finish.alpha, p.finish.beta, {p.finish.row.data, true}, {p.finish.column.data, true}, p.finish.relu};
  return q;
}

template <class T, class C>
void run(const Product<T, C>& p, int64_t matrices_a, int64_t matrices_b) {
  if (p.m == 0 || p.n == 0 || p.kept.count == 0) return;
  if constexpr (sizeof(T) == 8) {
    gemm_simt(p);
  } else if constexpr (sizeof(T) == 4) {
    if (precision() == Precision::kBfloat16 && p.k > 0) {
      const int64_t rows_a = p.transpose_a ? p.k : p.m, columns_a = p.transpose_a ? p.m : p.k;
      const int64_t rows_b = p.transpose_b ? p.n : p.k, columns_b = p.transpose_b ? p.k : p.n;
      const Temporary<__nv_bfloat16> a(matrices_a * rows_a * tiles_of(columns_a, 8) * 8);
      const Temporary<__nv_bfloat16> b(matrices_b * rows_b * tiles_of(columns_b, 8) * 8);
      const auto q = rounded(p, a, matrices_a, b, matrices_b);
      gemm_wgmma_takes(q) ? gemm_wgmma(q) : gemm_mma(q);
    } else {
      precision() == Precision::kTf32 ? gemm_mma(p) : gemm_simt(p);
    }
  } else {
    gemm_wgmma_takes(p) ? gemm_wgmma(p) : gemm_mma(p);
  }
}

// Batches that are one larger product: op(A) stacked by rows where B is one matrix, and sums over a batch
// whose members follow each other along K.
template <class T, class C>
void merge(Product<T, C>& p) {
  if (p.kept.rank == 1 && p.added.rank == 0 && !p.transpose_a && p.kept.axes[0].a == 1 && p.kept.axes[0].b == 0) {
    p.m *= p.kept.axes[0].size;
    p.kept = {};
  }
  if (p.kept.rank == 0 && p.added.rank == 1 && p.transpose_a && !p.transpose_b && p.added.axes[0].a == 1 &&
      p.added.axes[0].b == 1) {
    p.k *= p.added.axes[0].size;
    p.added = {};
  }
}

// An axis joins the one outside it where steps go on evenly across both.
void add(Walk& walk, const BatchAxis& axis) {
  if (axis.size == 0) walk.count = 0;
  if (axis.size == 1) return;
  walk.count *= axis.size;
  if (walk.rank > 0) {
    BatchAxis& outer = walk.axes[walk.rank - 1];
    if (outer.a == axis.a * axis.size && outer.b == axis.b * axis.size && outer.c == axis.c * axis.size) {
      outer = {outer.size * axis.size, axis.a, axis.b, axis.c};
      return;
    }
  }
  if (walk.rank == Walk::kMost)
    fail(ESPALIER_INVALID_ARGUMENT, "the batch shapes: more than %d axes that do not join", Walk::kMost);
  walk.axes[walk.rank++] = axis;
}

}  // namespace

espalier_status espalier_cuda_gemm(double alpha, espalier_in a, espalier_in b, double beta, espalier_in row_bias,
                                   espalier_in column_bias, espalier_finish finish, espalier_out c,
                                   espalier_product p) {
  return guarded(__func__, [&] {
    check_sizes(p.m, p.n, p.k, p.transpose_a, p.transpose_b);
    for_types(a, c, [&]<class T, class C>(T, C) {
      require_range("finish", static_cast<int64_t>(finish), int64_t{ESPALIER_FINISH_NONE},
                    int64_t{ESPALIER_FINISH_RELU});
      Product<T, C> q{p.m,
                      p.n,
                      p.k,
                      p.transpose_a == 1,
                      p.transpose_b == 1,
                      matrix<T>("a", a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda),
                      p.lda,
                      matrix<T>("b", b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb),
                      p.ldb,
                      matrix<C>("c", c, p.m, p.n, p.ldc),
                      p.ldc,
                      {},
                      {},
                      {}};
      q.finish = {static_cast<wide_t<T>>(alpha), static_cast<wide_t<T>>(beta), bias<T>("row_bias", row_bias, p.m),
                  bias<T>("column_bias", column_bias, p.n), finish == ESPALIER_FINISH_RELU};
      if (alpha == 0) q.k = 0;  // A and B are not read
      run(q, 1, 1);
    });
  });
}

espalier_status espalier_cuda_matmul(int64_t m, int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b,
                                     espalier_dims batch_a, espalier_dims batch_b, espalier_dims batch_c, espalier_in a,
                                     espalier_in b, espalier_out c) {
  return guarded(__func__, [&] {
    check_sizes(m, n, k, transpose_a, transpose_b);
    if (batch_a.rank != batch_b.rank || batch_a.rank != batch_c.rank)
      fail(ESPALIER_SHAPE_MISMATCH, "the batch shapes differ in rank");
    const int64_t count_a = checked_product("batch_a", batch_a), count_b = checked_product("batch_b", batch_b),
                  count_c = checked_product("batch_c", batch_c);
    std::vector<BatchAxis> batch;
    int64_t step_a = 1, step_b = 1, step_c = 1, products = 1;
    for (int64_t i = batch_a.rank - 1; i >= 0; --i) {  // innermost first: strides grow outwards
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
    for_types(a, c, [&]<class T, class C>(T, C) {
      Product<T, C> p{m,
                      n,
                      k,
                      transpose_a == 1,
                      transpose_b == 1,
                      elements<T>("a", a, checked_product("a", {count_a, m, k})),
                      std::max<int64_t>(transpose_a ? m : k, 1),
                      elements<T>("b", b, checked_product("b", {count_b, k, n})),
                      std::max<int64_t>(transpose_b ? k : n, 1),
                      elements<C>("c", c, checked_product("c", {count_c, m, n})),
                      std::max<int64_t>(n, 1),
                      {},
                      {},
                      {},
                      m * k,
                      k * n,
                      m * n};
      // Along `kept` axes every product has a C of its own; along `added` ones they share it.
      for (const BatchAxis& axis : batch) add(axis.c == 0 && axis.size != 1 ? p.added : p.kept, axis);
      merge(p);
      const bool merged_m = p.m != m, merged_k = p.k != k;
      run(p, merged_m || merged_k ? 1 : count_a, merged_k ? 1 : count_b);
    });
  });
}
