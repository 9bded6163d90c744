// Dense products beside cuBLAS, in one run on the same random data. The results are compared first.
#include <functional>
#include <optional>
#include <string>

#include "cuda/blas.h"
#include "cuda/check/gemm.h"
#include "cuda/check/matrix.h"

using namespace espalier::check;

namespace {

// What the tensor cores, or for exact float32 the CUDA cores, of one H100 or H200 do at most, in FLOP/s, by
// NVIDIA's data sheet; of other chips nothing is said here.
double peak(espalier_dtype dtype, bool tf32) {
  espalier_cuda_properties properties;
  ok(espalier_cuda_describe(0, &properties), "describe");
  if (properties.capability != 90) return 0;
  return dtype == ESPALIER_FLOAT32 ? (tf32 ? 495e12 : 67e12) : 989e12;
}

void bench(const char* name, espalier_dtype dtype, int64_t m, int64_t n, int64_t k, int64_t transpose_a,
           int64_t transpose_b, espalier_cuda_precision precision = ESPALIER_CUDA_PRECISION_FLOAT32,
           bool with_bias = false) {
  const espalier_product shape{m, n, k, transpose_a, transpose_b, transpose_a ? m : k, transpose_b ? k : n, n};
  const bool tf32 = precision == ESPALIER_CUDA_PRECISION_TF32;
  const Matrix a(m * k, dtype), b(k * n, dtype), ours(m * n, dtype), theirs(m * n, dtype);
  fill(a, 1);
  fill(b, 2);
  poison(ours);
  poison(theirs);
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT32};
  ok(espalier_cuda_set_precision(precision), "precision");
  // The kernels here; with a bias (of zeros, so that the rival's result is the same) whatever the library takes.
  const Matrix zeros(n, dtype);
  ok(espalier_cuda_fill_bytes(zeros.data, 0, zeros.bytes()), "fill");
  auto run = [&] {
    std::optional<WithoutBlas> own;
    if (!with_bias) own.emplace();
    ok(espalier_cuda_gemm(1, a.in(), b.in(), 0, none, with_bias ? zeros.in() : none, ESPALIER_FINISH_NONE, ours.out(),
                          shape),
       "gemm");
  };
  auto rival = [&] {
    return espalier::cuda::blas_product(dtype, tf32, transpose_a == 1, transpose_b == 1, m, n, k, 1, a.data, shape.lda,
                                        b.data, shape.ldb, 0, theirs.data, n);
  };
  run();
  ok(espalier_cuda_synchronize(), "synchronize");
  Row row{"gemm", name, "cuBLAS"};
  const bool there = rival();
  // On tensor cores the order of sums and where they are cut off differ.
  if (there) row.verified = agree(ours, theirs, dtype == ESPALIER_FLOAT32 ? (tf32 ? 1e-3 : 1e-5) : 6e-3);
  else row.rival = "(no cuBLAS)";
  by_turns(row, run, there ? std::function<void()>([&] { rival(); }) : nullptr);
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32), "precision");
  const double most = peak(dtype, tf32), operations = 2.0 * static_cast<double>(m) * static_cast<double>(n) * k;
  if (most > 0) row.limit = operations / most * 1e3;
  report(row);
}

}  // namespace

ESPALIER_BENCH(gemm_dense) {
  bench("bf16 8192x8192x8192, B transposed", ESPALIER_BFLOAT16, 8192, 8192, 8192, 0, 1);
  bench("bf16 8192x8192x8192", ESPALIER_BFLOAT16, 8192, 8192, 8192, 0, 0);
  bench("bf16 8192x8192x8192, A transposed", ESPALIER_BFLOAT16, 8192, 8192, 8192, 1, 0);
  bench("f16 8192x8192x8192, B transposed", ESPALIER_FLOAT16, 8192, 8192, 8192, 0, 1);
  bench("bf16 4096x4096x4096, B transposed", ESPALIER_BFLOAT16, 4096, 4096, 4096, 0, 1);
  bench("bf16 128x8192x8192, B transposed", ESPALIER_BFLOAT16, 128, 8192, 8192, 0, 1);
  bench("bf16 8192x128x8192, B transposed", ESPALIER_BFLOAT16, 8192, 128, 8192, 0, 1);
  bench("bf16 1024x1024x65536, A transposed", ESPALIER_BFLOAT16, 1024, 1024, 65536, 1, 0);
  bench("tf32 4096x4096x4096, B transposed", ESPALIER_FLOAT32, 4096, 4096, 4096, 0, 1, ESPALIER_CUDA_PRECISION_TF32);
  bench("f32 4096x4096x4096, B transposed", ESPALIER_FLOAT32, 4096, 4096, 4096, 0, 1);
  bench("f32 4096x4096x4096", ESPALIER_FLOAT32, 4096, 4096, 4096, 0, 0);
  constexpr espalier_cuda_precision kExact = ESPALIER_CUDA_PRECISION_FLOAT32;
  bench("f32 4096x4096x4096, B transposed, with a bias", ESPALIER_FLOAT32, 4096, 4096, 4096, 0, 1, kExact, true);
  bench("f32 128x4096x4096, B transposed, with a bias", ESPALIER_FLOAT32, 128, 4096, 4096, 0, 1, kExact, true);
  bench("f32 1x4096x4096, B transposed, with a bias", ESPALIER_FLOAT32, 1, 4096, 4096, 0, 1, kExact, true);
  bench("f32 64x1024x784, B transposed, with a bias", ESPALIER_FLOAT32, 64, 1024, 784, 0, 1, kExact, true);
}
