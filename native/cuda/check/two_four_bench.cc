// 2:4 products beside cuBLAS's dense one of the same size, in one run on the same random data.
#include <functional>
#include <string>

#include "cuda/blas.h"
#include "cuda/check/gemm.h"
#include "cuda/check/matrix.h"
#include "cuda/core/device.h"

using namespace espalier;
using namespace espalier::check;

namespace {

// Y = X·Wᵀ as in a linear layer. The rival multiplies the dense W with its zeros (bfloat16 for int8, which
// cuBLAS's plain interface does not take in these layouts).
void bench(const char* name, espalier_dtype dtype, int64_t size) {
  const espalier_cuda_two_four shape{size, size, size, 1};
  const espalier_dtype sums = dtype == ESPALIER_INT8 ? ESPALIER_INT32 : dtype;
  const espalier_dtype theirs_type = dtype == ESPALIER_INT8 ? ESPALIER_BFLOAT16 : dtype;
  int64_t length = 0;
  ok(espalier_cuda_two_four_places_size(shape, &length), "places_size");
  const Matrix w(size * size, dtype), x(size * size, dtype), dense(size * size, dtype);
  const Matrix values(size * size / 2, dtype), places(length, ESPALIER_INT32), y(size * size, sums);
  const Matrix theirs_w(size * size, theirs_type), theirs_x(size * size, theirs_type), theirs(size * size, theirs_type);
  fill(w, 1);
  fill(x, 2);
  ok(espalier_cuda_two_four_compress(w.in(), values.out(), places.out(), shape), "compress");
  ok(espalier_cuda_two_four_expand(values.in(), places.in(), dense.out(), shape), "expand");
  ok(espalier_cuda_cast(dense.in(), theirs_w.out()), "cast");
  ok(espalier_cuda_cast(x.in(), theirs_x.out()), "cast");
  poison(y);
  poison(theirs);
  auto run = [&] {
    ok(espalier_cuda_two_four_forward(values.in(), places.in(), x.in(), {nullptr, 0, sums}, y.out(), shape), "forward");
  };
  auto rival = [&] {
    return cuda::blas_product(theirs_type, false, false, true, size, size, size, 1, theirs_x.data, size, theirs_w.data,
                              size, 0, theirs.data, size);
  };
  run();
  ok(espalier_cuda_synchronize(), "synchronize");
  Row row{"2:4", name, "cuBLAS dense"};
  const bool there = rival();
  if (there) row.verified = agree(y, theirs, 6e-3);
  by_turns(row, run, there ? std::function<void()>([&] { rival(); }) : nullptr);
  if (cuda::traits().capability == 90)
    row.limit = 2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size) /
                (dtype == ESPALIER_INT8 ? 3958e12 : 1979e12) * 1e3;
  report(row);
}

}  // namespace

ESPALIER_BENCH(two_four) {
  bench("bf16 8192x8192x8192", ESPALIER_BFLOAT16, 8192);
  bench("f16 8192x8192x8192", ESPALIER_FLOAT16, 8192);
  bench("int8 8192x8192x8192 (rival bf16)", ESPALIER_INT8, 8192);
  bench("bf16 4096x4096x4096", ESPALIER_BFLOAT16, 4096);
}
