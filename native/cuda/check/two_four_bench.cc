// 2:4 products beside cuBLAS's dense one of the same size, in one run on the same random data.
#include <functional>
#include <string>

#include "cuda/blas.h"
#include "cuda/check/gemm.h"
#include "cuda/core/device.h"

using namespace espalier;
using namespace espalier::check;

namespace {

Array filled(int64_t n, espalier_dtype dtype, int64_t seed) {
  Array values = result(n, dtype), wide = result(n);
  int64_t used = 0;
  const double most = dtype == ESPALIER_INT8 ? 127 : 1;
  ok(espalier_cuda_random_uniform(seed, 0, -most, most, wide.out(), &used), "random");
  ok(espalier_cuda_cast(wide.in(), values.out()), "cast");
  return values;
}

// Y = X·Wᵀ as in a linear layer. The rival multiplies the dense W with its zeros (bfloat16 for int8, which
// cuBLAS's plain interface does not take in these layouts).
void bench(const char* name, espalier_dtype dtype, int64_t size) {
  const espalier_cuda_two_four shape{size, size, size, 1};
  const espalier_dtype sums = dtype == ESPALIER_INT8 ? ESPALIER_INT32 : dtype;
  const espalier_dtype theirs_type = dtype == ESPALIER_INT8 ? ESPALIER_BFLOAT16 : dtype;
  int64_t length = 0;
  ok(espalier_cuda_two_four_places_size(shape, &length), "places_size");
  const Array w = filled(size * size, dtype, 1), x = filled(size * size, dtype, 2);
  Array values = result(size * size / 2, dtype), places = result(length, ESPALIER_INT32);
  Array y = result(size * size, sums), theirs = result(size * size, theirs_type);
  Array dense = result(size * size, dtype), theirs_w = result(size * size, theirs_type),
        theirs_x = result(size * size, theirs_type);
  ok(espalier_cuda_two_four_compress(w.in(), values.out(), places.out(), shape), "compress");
  ok(espalier_cuda_two_four_expand(values.in(), places.in(), dense.out(), shape), "expand");
  ok(espalier_cuda_cast(dense.in(), theirs_w.out()), "cast");
  ok(espalier_cuda_cast(x.in(), theirs_x.out()), "cast");
  y.poison();
  theirs.poison();
  auto run = [&] {
    ok(espalier_cuda_two_four_forward(values.in(), places.in(), x.in(), {nullptr, 0, sums}, y.out(), shape), "forward");
  };
  auto rival = [&] {
    return cuda::blas_product(theirs_type, false, false, true, size, size, size, 1, theirs_x.in().data, size,
                              theirs_w.in().data, size, 0, theirs.out().data, size);
  };
  run();
  ok(espalier_cuda_synchronize(), "synchronize");
  Row row{"2:4", name, "cuBLAS dense"};
  const bool there = rival();
  if (there) {
    close(y.fetch(), theirs.fetch(), 6e-3, "the product");
    row.verified = true;
  }
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
