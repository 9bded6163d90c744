// Batch and layer normalisation.
#include <string>

#include "cuda/check/large.h"
#include "cuda/check/types.h"

using namespace espalier::check;

namespace {

// Few channels and many, long runs and short ones, single columns; sizes that fit no pack.
std::vector<espalier_channels> channel_shapes() {
  std::vector<espalier_channels> shapes = {{2, 1, 1},     {1, 1, 2},    {5, 3, 1},    {64, 33, 1},   {300, 257, 1},
                                           {2, 3, 4},     {7, 5, 31},   {7, 5, 32},   {3, 2, 33},    {8, 16, 49},
                                           {4, 64, 56},   {1, 2, 1000}, {2, 3, 4096}, {16, 8, 1024}, {3, 1, 20000},
                                           {40000, 3, 1}, {9000, 2, 5}, {1, 3000, 7}, {2, 700, 36}};
  for (int i = 0; i < 8; ++i) shapes.push_back({any(2, 9), any(1, 70), any(1, 200)});
  return shapes;
}
// Results are of order 1 where what enters them is of order 10; results of 16 bits are rounded once.
double near_of(const Type& type) { return (type.dtype == type.statistics ? 30 : 1.5) * type.tolerance; }

int64_t size_of(const espalier_channels& s) { return s.batch * s.channels * s.size; }

}  // namespace

ESPALIER_CHECK(batch_norm) {
  for (const Type& type : kTypes)
    for (const espalier_channels& shape : channel_shapes()) {
      const int64_t n = size_of(shape), c = shape.channels;
      // A mean far from 0: the variance must survive it.
      Array x = random(n, 9, 11, type.dtype), y = result(n, type.dtype), dy = random(n, -1, 1, type.dtype);
      Array weight = random(c, 0.5, 2, type.statistics), bias = random(c, -1, 1, type.statistics);
      Array mean = result(c, type.statistics), scale = result(c, type.statistics);
      Array running_mean = random(c, -1, 1, type.statistics), running_var = random(c, 0.5, 2, type.statistics);
      Array dx = result(n, type.dtype), dweight = result(c, type.statistics), dbias = result(c, type.statistics);
      const double near = near_of(type);
      same(near, espalier_batch_norm_train, espalier_cuda_batch_norm_train, x, weight, bias, 0.1, 1e-5, running_mean,
           running_var, mean, scale, y, shape);
      same(near, espalier_batch_norm_train, espalier_cuda_batch_norm_train, x, absent(), absent(), 0.1, 1e-5, absent(),
           absent(), mean, scale, y, shape);
      same(near, espalier_batch_norm_eval, espalier_cuda_batch_norm_eval, x, weight, bias, running_mean, running_var,
           1e-5, y, shape);
      Array given_mean = random(c, 9.9, 10.1, type.statistics), given_scale = random(c, 0.5, 2, type.statistics);
      same(near, espalier_batch_norm_train_backward, espalier_cuda_batch_norm_train_backward, dy, x, weight, given_mean,
           given_scale, dx, dweight, dbias, shape);
      same(near, espalier_batch_norm_train_backward, espalier_cuda_batch_norm_train_backward, dy, x, absent(),
           given_mean, given_scale, dx, absent(), absent(), shape);
      same(near, espalier_batch_norm_eval_backward, espalier_cuda_batch_norm_eval_backward, dy, x, weight, given_mean,
           given_scale, 1e-5, dx, dweight, dbias, shape);
      same(near, espalier_batch_norm_eval_backward, espalier_cuda_batch_norm_eval_backward, dy, x, weight, given_mean,
           given_scale, 1e-5, dx, absent(), absent(), shape);
    }
}

ESPALIER_CHECK(batch_norm_edges) {
  Array none = given({}), c = random(3), d = result(3), e = result(3);
  const espalier_channels empty{0, 3, 4};
  same(0, espalier_batch_norm_train_backward, espalier_cuda_batch_norm_train_backward, none, none, absent(), c, c,
       absent(), d, e, empty);
  Array x = random(3), mean = result(3), scale = result(3), y = result(3);
  require(
      espalier_cuda_batch_norm_train(x.in(), absent().in(), absent().in(), 0.1, 1e-5, absent().out(), absent().out(),
                                     mean.out(), scale.out(), y.out(), {1, 3, 1}) == ESPALIER_SHAPE_MISMATCH,
      "a channel of a single value is refused");
}

ESPALIER_CHECK(batch_norm_unaligned) {
  // The arrays begin one element behind an aligned address.
  Array x = random(2 * 3 * 64 + 1), y = result(2 * 3 * 64 + 1), mean = random(3), var = random(3, 1, 2);
  const espalier_channels shape{2, 3, 64};
  const int64_t n = 2 * 3 * 64;
  ok(espalier_cuda_batch_norm_eval({x.device<float>() + 1, n, ESPALIER_FLOAT32}, {}, {}, mean.in(), var.in(), 1e-5,
                                   {y.device<float>() + 1, n, ESPALIER_FLOAT32}, shape),
     "eval");
  const std::vector<double> whole = y.fetch();
  const std::vector<double> x_tail(x.host().begin() + 1, x.host().end());
  Array tail = given(x_tail), aligned = result(n);
  ok(espalier_cuda_batch_norm_eval(tail.in(), {}, {}, mean.in(), var.in(), 1e-5, aligned.out(), shape), "eval");
  close({whole.begin() + 1, whole.end()}, aligned.fetch(), 0, "unaligned arrays");
}

ESPALIER_CHECK(layer_norm) {
  std::vector<espalier_rows> shapes = {{1, 1},    {3, 2},    {1, 31},      {5, 32},    {7, 33},
                                       {64, 128}, {9, 129},  {10, 768},    {3, 1023},  {4, 1024},
                                       {5, 1025}, {2, 5000}, {300, 257},   {2000, 40}, {1, 70000},
                                       {0, 5},    {4, 0},    {1000, 1000}, {257, 2048}};
  for (int i = 0; i < 6; ++i) shapes.push_back({any(1, 50), any(1, 3000)});
  for (const Type& type : kTypes)
    for (const espalier_rows& shape : shapes) {
      const int64_t n = shape.rows * shape.size;
      Array x = random(n, 2, 4, type.dtype), y = result(n, type.dtype), dy = random(n, -1, 1, type.dtype);
      Array weight = random(shape.size, 0.5, 2, type.statistics), bias = random(shape.size, -1, 1, type.statistics);
      Array mean = result(shape.rows, type.statistics), scale = result(shape.rows, type.statistics);
      Array dx = result(n, type.dtype), dweight = result(shape.size, type.statistics);
      Array dbias = result(shape.size, type.statistics);
      const double near = near_of(type);
      // Of a row of one value y is its bias and nothing else matters: 1 / sqrt(eps) magnifies what is left.
      const double eps = shape.size == 1 ? 1e-2 : 1e-5;
      same(near, espalier_layer_norm_forward, espalier_cuda_layer_norm_forward, x, weight, bias, eps, mean, scale, y,
           shape);
      same(near, espalier_layer_norm_forward, espalier_cuda_layer_norm_forward, x, absent(), absent(), eps, mean, scale,
           y, shape);
      Array given_mean = random(shape.rows, 2.9, 3.1, type.statistics);
      Array given_scale = random(shape.rows, 1, 2, type.statistics);
      same(near, espalier_layer_norm_backward, espalier_cuda_layer_norm_backward, dy, x, weight, given_mean,
           given_scale, dx, dweight, dbias, shape);
      same(near, espalier_layer_norm_backward, espalier_cuda_layer_norm_backward, dy, x, absent(), given_mean,
           given_scale, dx, absent(), absent(), shape);
    }
}

namespace {
// `piece` is a part of the batch, which is it `times` over: then both have the same statistics.
void bench_batch_norm_of(const char* name, espalier_channels piece, int64_t times, espalier_dtype dtype, double near) {
  const espalier_channels shape{piece.batch * times, piece.channels, piece.size};
  const int64_t c = shape.channels, bytes = dtype == ESPALIER_FLOAT32 ? 4 : 2;
  Array small_x = random(size_of(piece), -1, 1, dtype), small_dy = random(size_of(piece), -1, 1, dtype);
  Array small_y = result(size_of(piece), dtype), small_dx = result(size_of(piece), dtype);
  const Large x(small_x, times), dy(small_dy, times), y(small_y, times), dx(small_dx, times);
  Array weight = random(c, 0.5, 2), bias = random(c), mean = result(c), scale = result(c);
  Array running_mean = random(c), running_var = random(c, 0.5, 2), dweight = result(c), dbias = result(c);
  const auto forward = [&](const auto& from, const auto& to, const espalier_channels& of) {
    ok(espalier_cuda_batch_norm_train(from.in(), weight.in(), bias.in(), 0.1, 1e-5, running_mean.out(),
                                      running_var.out(), mean.out(), scale.out(), to.out(), of),
       "train");
  };
  const auto backward = [&](const auto& gradient, const auto& from, const auto& to, const espalier_channels& of) {
    ok(espalier_cuda_batch_norm_train_backward(gradient.in(), from.in(), weight.in(), mean.in(), scale.in(), to.out(),
                                               dweight.out(), dbias.out(), of),
       "backward");
  };
  forward(small_x, small_y, piece);
  backward(small_dy, small_x, small_dx, piece);
  forward(x, y, shape);
  backward(dy, x, dx, shape);
  close(y.tail(), small_y.fetch(), near, "y");
  close(dx.tail(), small_dx.fetch(), near, "dx");
  // x is read twice forward, x and dy twice backward; each pass writes once.
  const double pass = static_cast<double>(size_of(shape) * bytes) / copy_bandwidth() * 1e3;
  report({"batch_norm", std::string(name) + " forward", "", time_ms([&] { forward(x, y, shape); }), 0, 3 * pass, true});
  report({"batch_norm", std::string(name) + " backward", "", time_ms([&] { backward(dy, x, dx, shape); }), 0, 5 * pass,
          true});
}
}  // namespace

ESPALIER_BENCH(batch_norm) {
  bench_batch_norm_of("256x64x56x56 float32", {4, 64, 56 * 56}, 64, ESPALIER_FLOAT32, 1e-5);
  bench_batch_norm_of("256x64x56x56 bfloat16", {4, 64, 56 * 56}, 64, ESPALIER_BFLOAT16, 8e-3);
  bench_batch_norm_of("256x512x7x7 float32", {4, 512, 49}, 64, ESPALIER_FLOAT32, 1e-5);
  bench_batch_norm_of("65536x512 float32", {1024, 512, 1}, 64, ESPALIER_FLOAT32, 1e-5);
}

namespace {
void bench_layer_norm_of(const char* name, espalier_rows piece, int64_t times, espalier_dtype dtype, double near) {
  const espalier_rows shape{piece.rows * times, piece.size};
  const int64_t bytes = dtype == ESPALIER_FLOAT32 ? 4 : 2;
  Array small_x = random(piece.rows * piece.size, -1, 1, dtype),
        small_dy = random(piece.rows * piece.size, -1, 1, dtype);
  Array small_y = result(piece.rows * piece.size, dtype), small_dx = result(piece.rows * piece.size, dtype);
  Array small_mean = result(piece.rows), small_scale = result(piece.rows);
  const Large x(small_x, times), dy(small_dy, times), y(small_y, times), dx(small_dx, times);
  const Large mean(small_mean, times), scale(small_scale, times);
  Array weight = random(shape.size, 0.5, 2), bias = random(shape.size);
  Array dweight = result(shape.size), dbias = result(shape.size);
  const auto forward = [&](const auto& from, const auto& of_mean, const auto& of_scale, const auto& to,
                           const espalier_rows& of) {
    ok(espalier_cuda_layer_norm_forward(from.in(), weight.in(), bias.in(), 1e-5, of_mean.out(), of_scale.out(),
                                        to.out(), of),
       "forward");
  };
  const auto backward = [&](const auto& gradient, const auto& from, const auto& of_mean, const auto& of_scale,
                            const auto& to, const espalier_rows& of) {
    ok(espalier_cuda_layer_norm_backward(gradient.in(), from.in(), weight.in(), of_mean.in(), of_scale.in(), to.out(),
                                         dweight.out(), dbias.out(), of),
       "backward");
  };
  forward(small_x, small_mean, small_scale, small_y, piece);
  backward(small_dy, small_x, small_mean, small_scale, small_dx, piece);
  forward(x, mean, scale, y, shape);
  backward(dy, x, mean, scale, dx, shape);
  close(y.tail(), small_y.fetch(), near, "y");
  close(dx.tail(), small_dx.fetch(), near, "dx");
  // A row is read once forward; backward once for dx and once for the sums of columns.
  const double pass = static_cast<double>(shape.rows * shape.size * bytes) / copy_bandwidth() * 1e3;
  report({"layer_norm", std::string(name) + " forward", "", time_ms([&] { forward(x, mean, scale, y, shape); }), 0,
          2 * pass, true});
  report({"layer_norm", std::string(name) + " backward", "", time_ms([&] { backward(dy, x, mean, scale, dx, shape); }),
          0, 5 * pass, true});
}
}  // namespace

ESPALIER_BENCH(layer_norm) {
  bench_layer_norm_of("32768x1024 float32", {512, 1024}, 64, ESPALIER_FLOAT32, 0);
  bench_layer_norm_of("32768x4096 float32", {256, 4096}, 128, ESPALIER_FLOAT32, 0);
  bench_layer_norm_of("32768x4096 bfloat16", {256, 4096}, 128, ESPALIER_BFLOAT16, 0);
}
