// Dense products against the CPU's in float64: every transpose, odd sizes, leading dimensions, batches.
#include "cuda/check/gemm.h"

using namespace espalier::check;

namespace {

const Case kSmall[] = {{1, 1, 1},       {1, 7, 3},       {8, 8, 16},     {16, 8, 32},   {64, 64, 32},
                       {64, 64, 64},    {3, 65, 17},     {65, 3, 100},   {63, 127, 31}, {128, 128, 128},
                       {129, 130, 131}, {100, 1, 1000},  {1, 100, 77},   {33, 257, 65}, {256, 64, 33, 8},
                       {40, 72, 48, 3}, {17, 19, 23, 1}, {96, 200, 4096}};

void every(espalier_dtype ab, espalier_dtype c) {
  for (const int64_t transpose_a : {0, 1})
    for (const int64_t transpose_b : {0, 1})
      for (const Case& of : kSmall) product(of, transpose_a, transpose_b, ab, c);
  for (const Case& of : kSmall) {
    product(of, 0, 0, ab, c, 0.5, 0.25, true, ESPALIER_FINISH_RELU);
    product(of, 0, 1, ab, c, -2, 1, false, ESPALIER_FINISH_RELU);
    product(of, 1, 0, ab, c, 1, 0, true);
  }
  product({5, 6, 0}, 0, 0, ab, c, 1, 0.5, true);  // no products: β·C and biases are left
  product({5, 6, 7}, 0, 0, ab, c, 0, 2, true);
  product({0, 6, 7}, 0, 0, ab, c);
  product({6, 0, 7}, 0, 0, ab, c);
}

struct Precision {
  explicit Precision(espalier_cuda_precision value) { ok(espalier_cuda_set_precision(value), "precision"); }
  ~Precision() { espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32); }
};

void batched(std::vector<int64_t> batch_a, std::vector<int64_t> batch_b, std::vector<int64_t> batch_c, int64_t m,
             int64_t n, int64_t k, int64_t transpose_a, int64_t transpose_b, espalier_dtype ab, espalier_dtype c) {
  auto count = [](const std::vector<int64_t>& shape) {
    int64_t all = 1;
    for (const int64_t size : shape) all *= size;
    return all;
  };
  Array a = random(count(batch_a) * m * k, -1, 1, ab), b = random(count(batch_b) * k * n, -1, 1, ab);
  Array to = result(count(batch_c) * m * n, c);
  same(tolerance(ab, c), espalier_matmul, espalier_cuda_matmul, m, n, k, transpose_a, transpose_b,
       dims(std::move(batch_a)), dims(std::move(batch_b)), dims(std::move(batch_c)), a, b, to);
}

}  // namespace

ESPALIER_CHECK(gemm_float32) { every(ESPALIER_FLOAT32, ESPALIER_FLOAT32); }
ESPALIER_CHECK(gemm_float64) { every(ESPALIER_FLOAT64, ESPALIER_FLOAT64); }
ESPALIER_CHECK(gemm_float16) { every(ESPALIER_FLOAT16, ESPALIER_FLOAT16); }
ESPALIER_CHECK(gemm_float16_to_float32) { every(ESPALIER_FLOAT16, ESPALIER_FLOAT32); }
ESPALIER_CHECK(gemm_bfloat16) { every(ESPALIER_BFLOAT16, ESPALIER_BFLOAT16); }
ESPALIER_CHECK(gemm_bfloat16_to_float32) { every(ESPALIER_BFLOAT16, ESPALIER_FLOAT32); }

ESPALIER_CHECK(gemm_float32_large_tiles) {
  for (const int64_t transposes : {0, 1, 2, 3})
    product({1500, 1601, 130, transposes}, transposes & 1, transposes >> 1, ESPALIER_FLOAT32, ESPALIER_FLOAT32);
}
ESPALIER_CHECK(gemm_bfloat16_large_tiles) {  // k too short for Hopper's kernel: mma.sync's 128×128 tiles
  for (const int64_t transposes : {0, 1, 2, 3})
    product({1500, 1601, 130, transposes}, transposes & 1, transposes >> 1, ESPALIER_BFLOAT16, ESPALIER_FLOAT32);
}
ESPALIER_CHECK(gemm_tf32) {
  const Precision tf32(ESPALIER_CUDA_PRECISION_TF32);
  for (const int64_t transposes : {0, 1, 2, 3})
    for (const Case& of : kSmall)
      product(of, transposes & 1, transposes >> 1, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, true, ESPALIER_FINISH_NONE,
              2e-3);
  product({1500, 1601, 130}, 0, 0, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, false, ESPALIER_FINISH_NONE, 1e-3);
}
ESPALIER_CHECK(gemm_float32_as_bfloat16) {
  const Precision bfloat16(ESPALIER_CUDA_PRECISION_BFLOAT16);
  for (const int64_t transposes : {0, 1, 2, 3})
    for (const Case& of : kSmall)
      product(of, transposes & 1, transposes >> 1, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0.5, true,
              ESPALIER_FINISH_RELU, 1.5e-2);
}

ESPALIER_CHECK(gemm_by_cublas) {
  if (!espalier::cuda::blas_found()) return;
  for (const espalier_dtype type : {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const int64_t transposes : {0, 1, 2, 3})
      for (const Case& of : kSmall)
        product(of, transposes & 1, transposes >> 1, type, type, 0.5, 0.25, false, ESPALIER_FINISH_NONE, 0, true);
}

ESPALIER_CHECK(gemm_by_cublas_finished) {  // biases and ReLU by a pass of their own
  if (!espalier::cuda::blas_found()) return;
  for (const espalier_dtype type : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
    for (const int64_t transposes : {0, 1, 2, 3})
      for (const Case& of : {Case{1, 4100, 260}, Case{300, 257, 256, 3}, Case{4100, 1, 300, 1}, Case{96, 200, 4096}}) {
        product(of, transposes & 1, transposes >> 1, type, type, 0.5, 0.25, true, ESPALIER_FINISH_RELU, 0, true);
        product(of, transposes & 1, transposes >> 1, type, type, 1, 0, true, ESPALIER_FINISH_NONE, 0, true);
        product(of, transposes & 1, transposes >> 1, type, type, 1, 0, false, ESPALIER_FINISH_RELU, 0, true);
      }
}

ESPALIER_CHECK(matmul_batches) {
  const WithoutBlas ours;
  for (const espalier_dtype type : {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const int64_t ta : {0, 1})
      for (const int64_t tb : {0, 1}) {
        batched({}, {}, {}, 5, 6, 7, ta, tb, type, type);
        batched({3}, {3}, {3}, 17, 33, 20, ta, tb, type, type);
        batched({3}, {1}, {3}, 17, 33, 20, ta, tb, type, type);
        batched({1}, {3}, {3}, 17, 33, 20, ta, tb, type, type);
        batched({3}, {3}, {1}, 17, 33, 20, ta, tb, type, type);
        batched({3}, {1}, {1}, 9, 8, 7, ta, tb, type, type);
        batched({2, 1, 4}, {1, 3, 4}, {2, 3, 4}, 10, 11, 12, ta, tb, type, type);
        batched({2, 3, 4}, {2, 1, 4}, {2, 3, 1}, 10, 11, 12, ta, tb, type, type);
        batched({2, 3, 4}, {1, 3, 1}, {1, 3, 4}, 16, 8, 24, ta, tb, type, type);
        batched({40}, {40}, {1}, 70, 65, 129, ta, tb, type, type);
        batched({0}, {1}, {0}, 3, 4, 5, ta, tb, type, type);
        batched({0}, {0}, {1}, 3, 4, 5, ta, tb, type, type);
        batched({3}, {3}, {3}, 4, 5, 0, ta, tb, type, type);
      }
  batched({3}, {3}, {1}, 17, 33, 20, 0, 1, ESPALIER_BFLOAT16, ESPALIER_FLOAT32);
}

ESPALIER_CHECK(gemm_refuses) {
  Array a = random(12), b = random(12), c = result(9), narrow = random(12, -1, 1, ESPALIER_BFLOAT16);
  const espalier_product shape{3, 3, 4, 0, 0, 4, 3, 3};
  auto with = [&](const Array& left, const Array& right, espalier_product of) {
    return espalier_cuda_gemm(1, left.in(), right.in(), 0, {nullptr, 0, ESPALIER_FLOAT32},
                              {nullptr, 0, ESPALIER_FLOAT32}, ESPALIER_FINISH_NONE, c.out(), of);
  };
  require(with(a, b, shape) == ESPALIER_OK, "a good product is computed");
  require(with(a, narrow, shape) == ESPALIER_DTYPE_MISMATCH, "A and B of two types are refused");
  require(with(a, b, {3, 3, 5, 0, 0, 5, 3, 3}) == ESPALIER_SHAPE_MISMATCH, "an A that is too short is refused");
  require(with(a, b, {3, 3, 4, 0, 0, 3, 3, 3}) == ESPALIER_INVALID_ARGUMENT, "rows that overlap are refused");
  require(with(a, b, {3, 3, 4, 2, 0, 4, 3, 3}) == ESPALIER_INVALID_ARGUMENT, "a transpose of 2 is refused");
}
