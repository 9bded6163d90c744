// Convolutions by kept elements beside dense ones of the same shapes, in exact float32.
#include "cuda/check/conv_cases.h"
#include "cuda/check/matrix.h"
#include "cuda/core/device.h"

using namespace espalier::check;

namespace {

void bench(const char* name, const conv::Case& c, std::initializer_list<double> sparsities) {
  const espalier_conv2d shape = conv::shape_of(c);
  const espalier_cuda_sparse matrix{c.out, conv::size_weight(c) / c.out, 0, 0, 0};
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT32};
  Matrix weight(conv::size_weight(c), ESPALIER_FLOAT32), x(conv::size_x(c), ESPALIER_FLOAT32);
  Matrix dy(conv::size_y(c), ESPALIER_FLOAT32), y(conv::size_y(c), ESPALIER_FLOAT32), dx(x.count, ESPALIER_FLOAT32);
  Matrix dense_y(y.count, ESPALIER_FLOAT32), dense_dx(x.count, ESPALIER_FLOAT32);
  Matrix dense_dw(weight.count, ESPALIER_FLOAT32), mask(weight.count, ESPALIER_UINT8);
  fill(x, 2);
  fill(dy, 3);
  for (const double sparsity : sparsities) {
    fill(weight, 1);
    fill_mask(mask, 1 - sparsity, 4);
    apply_tiles(weight, mask, matrix.k, 1, 1);
    int64_t count = 0, length = 0;
    ok(espalier_cuda_sparse_count(mask.in(), &count), "count");
    ok(espalier_cuda_sparse_pattern_size(count, matrix, &length), "size");
    Matrix pattern(length, ESPALIER_INT32), values(count, ESPALIER_FLOAT32), dvalues(count, ESPALIER_FLOAT32);
    Matrix expected(count, ESPALIER_FLOAT32);
    ok(espalier_cuda_sparse_pattern(mask.in(), count, pattern.out(), matrix), "pattern");
    ok(espalier_cuda_sparse_gather(weight.in(), pattern.in(), values.out(), matrix), "gather");

    // At the least: 128 bytes a clock and multiprocessor from shared memory, at 1.755 GHz.
    const double limit = 1e3 * static_cast<double>(count) * static_cast<double>(c.n * c.out_height * c.out_width) * 4 /
                         (128.0 * 1.755e9 * espalier::cuda::traits().multiprocessors);
    const auto row = [&](const char* direction, const Matrix& got, const Matrix& wanted, auto dense, auto sparse) {
      dense();
      if (&wanted == &expected)
        ok(espalier_cuda_sparse_gather(dense_dw.in(), pattern.in(), expected.out(), matrix), "gather");
      poison(got);
      sparse();
      const bool verified = agree(got, wanted, 1e-5);
      char label[96];
      std::snprintf(label, sizeof label, "%s f32 %.0f%%", name, 100 * sparsity);
      report({std::string("sparse conv ") + direction, label, "own dense", time_ms(sparse, 10, 3),
              time_ms(dense, 10, 3), limit, verified});
    };
    row(
        "forward", y, dense_y,
        [&] { ok(espalier_cuda_conv2d_forward(x.in(), weight.in(), none, 0, dense_y.out(), shape), "dense"); },
        [&] {
          ok(espalier_cuda_sparse_convolution_forward(values.in(), pattern.in(), x.in(), none, y.out(), 0, shape),
             "sparse");
        });
    row(
        "data grad", dx, dense_dx,
        [&] { ok(espalier_cuda_conv2d_data_grad(weight.in(), dy.in(), none, dense_dx.out(), shape), "dense"); },
        [&] {
          ok(espalier_cuda_sparse_convolution_data_grad(values.in(), pattern.in(), dy.in(), dx.out(), 0, shape),
             "sparse");
        });
    row(
        "weight grad", dvalues, expected,
        [&] { ok(espalier_cuda_conv2d_weight_grad(x.in(), dy.in(), dense_dw.out(), shape), "dense"); },
        [&] {
          ok(espalier_cuda_sparse_convolution_weight_grad(x.in(), dy.in(), pattern.in(), dvalues.out(), 0, shape),
             "sparse");
        });
  }
}

}  // namespace

ESPALIER_BENCH(sparse_conv) {
  bench("3x3 64-64 56x56 N=64", conv::square(64, 64, 56, 56, 64, 3, 1, 1), {0.8, 0.9, 0.95});
  bench("3x3 256-256 14x14 N=64", conv::square(64, 256, 14, 14, 256, 3, 1, 1), {0.8, 0.9, 0.95});
  bench("3x3 512-512 7x7 N=64", conv::square(64, 512, 7, 7, 512, 3, 1, 1), {0.9});
  bench("3x3 stride 2 128-256 28x28 N=64", conv::square(64, 128, 28, 28, 256, 3, 2, 1), {0.9});
}
