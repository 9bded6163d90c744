// Dense products of the C interface: what is checked, and which kernel a product goes to.
#include "espalier_cuda.h"

#include <algorithm>
#include <vector>

#include "core/product.h"
#include "cuda/blas.h"
#include "cuda/core/launch.cuh"
#include "cuda/core/ptx/matrices.cuh"
#include "cuda/divider.h"
#include "cuda/gemm.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

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

// y = x, row by row, in another element type or to rows that are further apart.
template <class From, class To>
void copy_rows(int64_t rows, int64_t columns, const From* x, int64_t ldx, To* y, int64_t ldy) {
  for_each(rows * columns, "copy_rows", [=] __device__(int64_t at) {
    const int64_t i = at / columns, j = at % columns;
    y[i * ldy + j] = static_cast<To>(x[i * ldx + j]);
  });
}

// A copy of an operand's matrices as 16-bit elements whose rows start at multiples of 16 bytes, as the copy
// engine wants them.
template <class To>
struct Aligned {
  int64_t rows, columns, ld;
  Temporary<To> data;

  template <class From>
  Aligned(const From* x, int64_t matrices, int64_t rows, int64_t columns, int64_t ldx)
      : rows(rows), columns(columns), ld(tiles_of(columns, 8) * 8), data(matrices * rows * ld) {
    copy_rows(matrices * rows, columns, x, ldx, data.get(), ld);
  }
  int64_t stride() const { return rows * ld; }
};

template <class T, class C>
void run_tensor_cores(const Product<T, C>& p) {
  if (p.kept.count > 1) {
    Product<T, C> one = p;
    one.kept = {};
    if (gemm_wgmma_takes(one)) {
      for (int64_t i = 0; i < p.kept.count; ++i) {
        const BatchAxis at = p.kept.at(i);
        one.a = p.a + at.a * p.stride_a, one.b = p.b + at.b * p.stride_b, one.c = p.c + at.c * p.stride_c;
        gemm_wgmma_takes(one) ? gemm_wgmma(one) : gemm_mma(one);
      }
      return;
    }
  }
  gemm_wgmma_takes(p) ? gemm_wgmma(p) : gemm_mma(p);
}

// y = x, or its transpose, rounded to tf32; x has `rows` rows. By squares that pass through shared memory.
__global__ void tf32_kernel(int64_t rows, int64_t columns, const float* x, int64_t ldx, float* y, int64_t ldy,
                            bool transposed) {
  __shared__ float tile[32][33];
  const int64_t tiles_j = tiles_of(columns, 32), i0 = blockIdx.x / tiles_j * 32, j0 = blockIdx.x % tiles_j * 32;
  const int64_t across = threadIdx.x;
  for (int i = static_cast<int>(threadIdx.y); i < 32; i += 8)
    if (i0 + i < rows && j0 + across < columns)
      tile[i][across] = __uint_as_float(ptx::to_tf32(x[(i0 + i) * ldx + j0 + across]));
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.y); i < 32; i += 8) {
    if (transposed && j0 + i < columns && i0 + across < rows) y[(j0 + i) * ldy + i0 + across] = tile[across][i];
    if (!transposed && i0 + i < rows && j0 + across < columns) y[(i0 + i) * ldy + j0 + across] = tile[i][across];
  }
}
void to_tf32_rows(int64_t rows, int64_t columns, const float* x, int64_t ldx, float* y, int64_t ldy, bool transposed) {
  const int64_t tiles = tiles_of(rows, 32) * tiles_of(columns, 32);
  require_range("the matrix", tiles, int64_t{0}, int64_t{INT32_MAX});
  tf32_kernel<<<static_cast<unsigned>(tiles), dim3(32, 8), 0, stream()>>>(rows, columns, x, ldx, y, ldy, transposed);
  launched("tf32");
}

// By Hopper's kernel of copies with K along the rows; false where that is not worth it.
bool run_tf32(const Product<float, float>& p) {
  const int64_t ld = tiles_of(p.k, 4) * 4;
  Product<float, float> q = p;
  q.transpose_a = false, q.transpose_b = true, q.a = q.b = nullptr, q.lda = q.ldb = ld;
  if (!gemm_wgmma_takes(q)) return false;
  const Temporary<float> a(p.m * ld), b(p.n * ld);
  to_tf32_rows(p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.a, p.lda, a, ld, p.transpose_a);
  to_tf32_rows(p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.b, p.ldb, b, ld, !p.transpose_b);
  q.a = a, q.b = b;
  gemm_wgmma(q);
  return true;
}

// The product of copies: float32 rounded to bfloat16, or rows that the copy engine cannot fetch as they lie. The
// matrices of a batch lie one after the other.
template <class Q, class T, class C>
void run_copied(const Product<T, C>& p, int64_t matrices_a, int64_t matrices_b) {
  const Aligned<Q> a(p.a, matrices_a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k, p.lda);
  const Aligned<Q> b(p.b, matrices_b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n, p.ldb);
  Product<Q, C> q{p.m, p.n,   p.k, p.transpose_a, p.transpose_b, a.data,     a.ld,       b.data,    b.ld,
                  p.c, p.ldc, {},  p.kept,        p.added,       a.stride(), b.stride(), p.stride_c};
  const auto same_bias = [](const Bias& of) { return Bias{of.data, of.wide || sizeof(T) == 4}; };
  q.finish = {p.finish.alpha, p.finish.beta, same_bias(p.finish.row), same_bias(p.finish.column), p.finish.relu};
  run_tensor_cores(q);
}

// Whether an operand is worth a copy before Hopper's kernel can take it: there is much to compute, and rows do
// not start at multiples of 16 bytes.
template <class T, class C>
bool wants_copy(const Product<T, C>& p) {
  if (p.kept.count != 1 || p.added.count != 1) return false;
  Product<T, C> q = p;
  q.lda = q.ldb = 8, q.a = q.b = nullptr;
  return gemm_wgmma_takes(q) && !gemm_wgmma_takes(p);
}

// Adds the biases to C and clamps it.
template <class T>
void finish_pass(const Product<T, T>& p) {
  const Divider columns(p.n);
  for_each(p.m * p.n, "finish", [=, c = p.c, ldc = p.ldc, finish = p.finish] __device__(int64_t at) {
    int64_t j;
    const int64_t i = columns.split(at, j);
    T& value = c[i * ldc + j];
    value = finish.last(value + finish.of_row(i) + finish.of_column(j));
  });
}

// cuBLAS where it is there: measured on an H200, at each size that was tried it took less time than the kernels here.
// It adds no bias and does not clamp. A pass over C does, where sums are so long that the product gains more than the
// pass takes: exact float32 at 4096³ 1.2 ms against some 0.04. (The lengths are estimates from that and from what tf32
// gains. In 16 bits C would be rounded twice.)
template <class T>
bool run_blas(const Product<T, T>& p, bool tf32) {
  const Finish<T>& finish = p.finish;
  if (p.k == 0 || p.kept.count != 1 || p.added.count != 1 || !blas_found()) return false;
  const bool bare = finish.row.data == nullptr && finish.column.data == nullptr && !finish.relu;
  const int64_t deep = tf32 && sizeof(T) == 4 ? 2048 : 256;
  if (!bare && (sizeof(T) == 2 || p.k < deep || p.m * p.n < (1 << 20) / p.k)) return false;
  if (!blas_product(dtype_of<T>(), tf32, p.transpose_a, p.transpose_b, p.m, p.n, p.k, finish.alpha, p.a, p.lda, p.b,
                    p.ldb, finish.beta, p.c, p.ldc))
    return false;
  if constexpr (sizeof(T) > 2) {
    if (!bare) finish_pass(p);
  }
  return true;
}

template <class T, class C>
void run(const Product<T, C>& p, int64_t matrices_a, int64_t matrices_b) {
  if (p.m == 0 || p.n == 0 || p.kept.count == 0) return;
  const bool tf32 = precision() == Precision::kTf32, bfloat16 = precision() == Precision::kBfloat16;
  if constexpr (std::is_same_v<T, C>) {
    if (!(sizeof(T) == 4 && bfloat16) && run_blas(p, tf32)) return;
  }
  if constexpr (sizeof(T) == 8) {
    gemm_simt(p);
  } else if constexpr (sizeof(T) == 4) {
    if (bfloat16 && p.k > 0) run_copied<__nv_bfloat16>(p, matrices_a, matrices_b);
    else if (!tf32) gemm_simt(p);
    else if (!run_tf32(p)) gemm_mma(p);
  } else {
    wants_copy(p) ? run_copied<T>(p, matrices_a, matrices_b) : run_tensor_cores(p);
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
      if (p.added.count == 0) {  // sums of no products
        const size_t bytes = static_cast<size_t>(count_c * m * n) * sizeof(C);
        if (bytes > 0) ESPALIER_CUDA(cudaMemsetAsync(p.c, 0, bytes, stream()));
        return;
      }
      merge(p);
      const bool merged_m = p.m != m, merged_k = p.k != k;
      run(p, merged_m || merged_k ? 1 : count_a, merged_k ? 1 : count_b);
    });
  });
}
