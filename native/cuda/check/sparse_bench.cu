// Sparse products beside cuBLAS's dense ones of the same matrices, at several sparsities. Whatever is timed is
// compared with the dense product of the masked matrix first.
#include <cstdio>

#include "cuda/blas.h"
#include "cuda/check/matrix.h"

using namespace espalier::check;
using namespace espalier::cuda;

namespace {

struct Dense {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
  const Matrix &a, &b;
};
// The rival: cuBLAS, or our own dense product where there is none. Says which it was.
const char* rival(const Dense& p, const Matrix& c, bool tf32) {
  const int64_t lda = p.transpose_a ? p.m : p.k, ldb = p.transpose_b ? p.k : p.n;
  if (blas_product(c.dtype, tf32, p.transpose_a, p.transpose_b, p.m, p.n, p.k, 1, p.a.data, lda, p.b.data, ldb, 0,
                   c.data, p.n))
    return "cuBLAS dense";
  const espalier_in none{nullptr, 0, c.dtype};
  ok(espalier_cuda_gemm(1, p.a.in(), p.b.in(), 0, none, none, ESPALIER_FINISH_NONE, c.out(),
                        {p.m, p.n, p.k, p.transpose_a, p.transpose_b, lda, ldb, p.n}),
     "gemm");
  return "own dense";
}

// Of tensor cores, TFLOP/s of a dense 16-bit product at most; 0: not known here.
double tensor_peak() { return traits().capability == 90 ? 989e12 : 0; }

std::string label(const char* kind, const char* dtype, double sparsity, int64_t m, int64_t k, int64_t n, bool batch) {
  char text[96];
  std::snprintf(text, sizeof text, "%s %s %.0f%% %lldx%lld n%lld%s", kind, dtype, 100 * sparsity,
                static_cast<long long>(m), static_cast<long long>(k), static_cast<long long>(n), batch ? " batch" : "");
  return text;
}

// All three products of tiles, and the dense ones of the same matrices.
void bench_tiles(espalier_dtype dtype, const char* dtype_name, int64_t m, int64_t k, int64_t n, bool batch,
                 int64_t tile_rows, int64_t tile_columns, std::initializer_list<double> sparsities) {
  Matrix w(m * k, dtype), x(k * n, dtype), dy(m * n, dtype), y(m * n, dtype), dx(k * n, dtype), dw(m * k, dtype);
  Matrix y_dense(m * n, dtype), dx_dense(k * n, dtype), dw_dense(m * k, dtype);
  fill(x, 2);
  fill(dy, 3);
  const bool tf32 = dtype == ESPALIER_FLOAT32;
  const Dense forward = batch ? Dense{false, true, n, m, k, x, w} : Dense{false, false, m, n, k, w, x};
  const Dense data = batch ? Dense{false, false, n, k, m, dy, w} : Dense{true, false, k, n, m, w, dy};
  const Dense weight = batch ? Dense{true, false, m, k, n, dy, x} : Dense{false, true, m, k, n, dy, x};
  const espalier_cuda_tiles shape{m, k, n, batch, tile_rows, tile_columns};
  int64_t length = 0;
  ok(espalier_cuda_tiles_plan_size(shape, &length), "plan");
  Matrix plan(length, ESPALIER_INT32), mask((m / tile_rows) * (k / tile_columns), ESPALIER_UINT8);
  const std::string tiles = "tiles " + std::to_string(tile_rows) + "x" + std::to_string(tile_columns);
  const espalier_in none{nullptr, 0, dtype};

  fill(w, 1);  // the dense products' time, on values that are not zeros
  const double y_ms = time_ms([&] { rival(forward, y_dense, tf32); }, 10, 3);
  const double dx_ms = time_ms([&] { rival(data, dx_dense, tf32); }, 10, 3);
  const double dw_ms = time_ms([&] { rival(weight, dw_dense, tf32); }, 10, 3);
  for (const double sparsity : sparsities) {
    fill(w, 1);
    fill_mask(mask, 1 - sparsity, 4);
    apply_tiles(w, mask, k, tile_rows, tile_columns);
    ok(espalier_cuda_tiles_plan(mask.in(), plan.out(), shape), "plan");
    const char* const against = rival(forward, y_dense, tf32);
    rival(data, dx_dense, tf32);
    rival(weight, dw_dense, tf32);
    apply_tiles(dw_dense, mask, k, tile_rows, tile_columns);
    ok(espalier_cuda_fill_bytes(dw.data, 0, dw.bytes()), "fill");
    const double flops =
        2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n) * (1 - sparsity);
    const double limit = tensor_peak() > 0 ? 1e3 * flops / tensor_peak() : 0;
    const auto row = [&](const char* product, double theirs, const Matrix& got, const Matrix& expected, auto body) {
      body();
      const bool verified = agree(got, expected, 1e-2);
      const double ours = time_ms(body, 20, 3);
      report({tiles + " " + product, label("", dtype_name, sparsity, m, k, n, batch), against, ours, theirs, limit,
              verified});
    };
    row("forward", y_ms, y, y_dense,
        [&] { ok(espalier_cuda_tiles_forward(w.in(), plan.in(), x.in(), none, y.out(), shape), "forward"); });
    row("data grad", dx_ms, dx, dx_dense,
        [&] { ok(espalier_cuda_tiles_data_grad(w.in(), plan.in(), dy.in(), dx.out(), shape), "data grad"); });
    row("weight grad", dw_ms, dw, dw_dense,
        [&] { ok(espalier_cuda_tiles_weight_grad(x.in(), dy.in(), plan.in(), dw.out(), shape), "weight grad"); });
  }
}

}  // namespace

ESPALIER_BENCH(sparse_tiles_64) {
  bench_tiles(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 8192, false, 64, 64, {0.7, 0.8, 0.9, 0.95, 0.98});
  bench_tiles(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 8192, true, 64, 64, {0.5, 0.9});
  bench_tiles(ESPALIER_FLOAT16, "f16", 4096, 4096, 256, true, 64, 64, {0.8, 0.9});
}
ESPALIER_BENCH(sparse_tiles_128) {
  bench_tiles(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 8192, false, 128, 128, {0.5, 0.9});
  bench_tiles(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 8192, true, 128, 64, {0.9});
}
ESPALIER_BENCH(sparse_tiles_32) {
  bench_tiles(ESPALIER_BFLOAT16, "bf16", 4096, 4096, 4096, true, 32, 32, {0.9, 0.95});
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_TF32), "precision");
  bench_tiles(ESPALIER_FLOAT32, "tf32", 4096, 4096, 4096, false, 64, 64, {0.9});
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32), "precision");
}

namespace {

// All three products of single elements. The dense weight gradient is read at the elements that count to compare.
void bench_elements(espalier_dtype dtype, const char* dtype_name, int64_t m, int64_t k, int64_t n, bool batch,
                    std::initializer_list<double> sparsities) {
  Matrix w(m * k, dtype), x(k * n, dtype), dy(m * n, dtype), y(m * n, dtype), dx(k * n, dtype);
  Matrix y_dense(m * n, dtype), dx_dense(k * n, dtype), dw_dense(m * k, dtype), mask(m * k, ESPALIER_UINT8);
  fill(x, 2);
  fill(dy, 3);
  const Dense forward = batch ? Dense{false, true, n, m, k, x, w} : Dense{false, false, m, n, k, w, x};
  const Dense data = batch ? Dense{false, false, n, k, m, dy, w} : Dense{true, false, k, n, m, w, dy};
  const Dense weight = batch ? Dense{true, false, m, k, n, dy, x} : Dense{false, true, m, k, n, dy, x};
  const espalier_cuda_sparse shape{m, k, n, batch, 0};
  const espalier_in none{nullptr, 0, dtype};
  fill(w, 1);
  const double y_ms = time_ms([&] { rival(forward, y_dense, false); }, 10, 3);
  const double dx_ms = time_ms([&] { rival(data, dx_dense, false); }, 10, 3);
  const double dw_ms = time_ms([&] { rival(weight, dw_dense, false); }, 10, 3);
  for (const double sparsity : sparsities) {
    fill(w, 1);
    fill_mask(mask, 1 - sparsity, 5);
    apply_tiles(w, mask, k, 1, 1);
    int64_t count = 0, length = 0;
    ok(espalier_cuda_sparse_count(mask.in(), &count), "count");
    ok(espalier_cuda_sparse_pattern_size(count, shape, &length), "pattern");
    Matrix pattern(length, ESPALIER_INT32), values(count, dtype), dvalues(count, dtype), expected(count, dtype);
    const double made =
        time_ms([&] { ok(espalier_cuda_sparse_pattern(mask.in(), count, pattern.out(), shape), "pattern"); }, 3, 1);
    std::printf("  the pattern of %lld elements: %.3f ms\n", static_cast<long long>(count), made);
    ok(espalier_cuda_sparse_gather(w.in(), pattern.in(), values.out(), shape), "gather");
    const char* const against = rival(forward, y_dense, false);
    rival(data, dx_dense, false);
    rival(weight, dw_dense, false);
    ok(espalier_cuda_sparse_gather(dw_dense.in(), pattern.in(), expected.out(), shape), "gather");
    // At the least: 128 bytes of X a clock and multiprocessor from shared memory, at 1.755 GHz.
    const double element = dtype == ESPALIER_FLOAT32 ? 4 : 2;
    const double limit = 1e3 * static_cast<double>(count) * static_cast<double>(n) * element /
                         (128.0 * 1.755e9 * traits().multiprocessors);
    const auto row = [&](const char* product, double theirs, const Matrix& got, const Matrix& wanted, auto body) {
      body();
      const bool verified = agree(got, wanted, dtype == ESPALIER_FLOAT32 ? 1e-5 : 1e-2);
      const double ours = time_ms(body, 20, 3);
      report({std::string("sparse ") + product, label("", dtype_name, sparsity, m, k, n, batch), against, ours, theirs,
              limit, verified});
    };
    row("forward", y_ms, y, y_dense,
        [&] { ok(espalier_cuda_sparse_forward(values.in(), pattern.in(), x.in(), none, y.out(), shape), "forward"); });
    row("data grad", dx_ms, dx, dx_dense,
        [&] { ok(espalier_cuda_sparse_data_grad(values.in(), pattern.in(), dy.in(), dx.out(), shape), "data grad"); });
    row("weight grad", dw_ms, dvalues, expected, [&] {
      ok(espalier_cuda_sparse_weight_grad(x.in(), dy.in(), pattern.in(), dvalues.out(), shape), "weight grad");
    });
  }
}

}  // namespace

ESPALIER_BENCH(sparse_elements_float32) {
  bench_elements(ESPALIER_FLOAT32, "f32", 8192, 8192, 128, false, {0.7, 0.8, 0.9, 0.95, 0.98});
  bench_elements(ESPALIER_FLOAT32, "f32", 8192, 8192, 128, true, {0.95});
  bench_elements(ESPALIER_FLOAT32, "f32", 4096, 4096, 1024, false, {0.9, 0.95});
  bench_elements(ESPALIER_FLOAT32, "f32", 1024, 1024, 64, true, {0.95});
}
ESPALIER_BENCH(sparse_elements_bfloat16) {
  bench_elements(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 128, false, {0.9, 0.95, 0.98});
}

namespace {

// All three products of a masked matrix beside dense ones of a matrix that was masked before.
void bench_masked(espalier_dtype dtype, const char* dtype_name, int64_t m, int64_t k, int64_t n, bool batch) {
  Matrix w(m * k, dtype), x(k * n, dtype), dy(m * n, dtype), y(m * n, dtype), dx(k * n, dtype), dw(m * k, dtype);
  Matrix y_dense(m * n, dtype), dx_dense(k * n, dtype), dw_dense(m * k, dtype), bytes(m * k, ESPALIER_UINT8);
  Matrix words((m * k + 31) / 32, ESPALIER_INT32), masked(m * k, dtype);
  fill(w, 1);
  fill(masked, 1);
  fill(x, 2);
  fill(dy, 3);
  fill_mask(bytes, 0.5, 6);
  apply_tiles(masked, bytes, k, 1, 1);
  ok(espalier_cuda_masked_pack(bytes.in(), words.out()), "pack");
  const bool tf32 = dtype == ESPALIER_FLOAT32;
  const Dense forward = batch ? Dense{false, true, n, m, k, x, masked} : Dense{false, false, m, n, k, masked, x};
  const Dense data = batch ? Dense{false, false, n, k, m, dy, masked} : Dense{true, false, k, n, m, masked, dy};
  const Dense weight = batch ? Dense{true, false, m, k, n, dy, x} : Dense{false, true, m, k, n, dy, x};
  const espalier_cuda_masked shape{m, k, n, batch};
  const espalier_in none{nullptr, 0, dtype};
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(k) * static_cast<double>(n);
  const double limit = 1e3 * flops / (tf32 ? tensor_peak() / 2 : tensor_peak());
  const auto row = [&](const char* product, const Dense& dense, const Matrix& got, const Matrix& expected, auto body) {
    const double theirs = time_ms([&] { rival(dense, expected, tf32); }, 10, 3);
    const char* const against = rival(dense, expected, tf32);
    if (&expected == &dw_dense) apply_tiles(dw_dense, bytes, k, 1, 1);
    body();
    const bool verified = agree(got, expected, 1e-2);
    report({std::string("masked ") + product, label("", dtype_name, 0.5, m, k, n, batch), against, time_ms(body, 20, 3),
            theirs, tensor_peak() > 0 ? limit : 0, verified});
  };
  row("forward, packed", forward, y, y_dense,
      [&] { ok(espalier_cuda_masked_forward(w.in(), words.in(), x.in(), none, y.out(), shape), "forward"); });
  row("forward, bytes", forward, y, y_dense,
      [&] { ok(espalier_cuda_masked_forward(w.in(), bytes.in(), x.in(), none, y.out(), shape), "forward"); });
  row("data grad, packed", data, dx, dx_dense,
      [&] { ok(espalier_cuda_masked_data_grad(w.in(), words.in(), dy.in(), dx.out(), shape), "data grad"); });
  row("weight grad, packed", weight, dw, dw_dense,
      [&] { ok(espalier_cuda_masked_weight_grad(x.in(), dy.in(), words.in(), dw.out(), shape), "weight grad"); });
}

}  // namespace

ESPALIER_BENCH(sparse_masked) {
  bench_masked(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 8192, false);
  bench_masked(ESPALIER_BFLOAT16, "bf16", 8192, 8192, 8192, true);
  bench_masked(ESPALIER_BFLOAT16, "bf16", 4096, 4096, 256, true);
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_TF32), "precision");
  bench_masked(ESPALIER_FLOAT32, "tf32", 4096, 4096, 4096, true);
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32), "precision");
}
