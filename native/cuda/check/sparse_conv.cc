// Convolutions by kept elements against dense ones of the masked weight, computed in float64 on the CPU.
#include "cuda/sparse_conv.h"

#include "cuda/check/conv_cases.h"
#include "cuda/check/sparse_cases.h"

using namespace espalier::check;
using namespace espalier::check::conv;
using espalier::cuda::sparse_conv::Tiles;
using espalier::cuda::sparse_conv::tiles_for;
using espalier::cuda::sparse_conv::tiles_wanted;

namespace {

// Chooses the tiles for a scope.
struct Choosing {
  explicit Choosing(Tiles tiles) { tiles_wanted() = tiles; }
  ~Choosing() { tiles_wanted() = Tiles::kChosen; }
};

espalier_in as_input(const std::vector<double>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), ESPALIER_FLOAT64};
}
espalier_out as_output(std::vector<double>& values) {
  return {values.data(), static_cast<int64_t>(values.size()), ESPALIER_FLOAT64};
}

// Whether a tile of one channel is larger than shared memory, of the cases here: by the planes that steps cut x into
// (dy, which the gradient of x reads, has one), or by the rows that taps reach.
bool too_large(const Case& c, bool back) {
  const int64_t planes = back ? 1 : c.stride_height * c.stride_width;
  const int64_t reach = (c.kernel_height - 1) * c.dilation_height * c.width;
  return planes >= (tiles_wanted() == Tiles::kMany ? 11 * 11 : 40 * 40) || reach >= 32 * 1024;
}

// That the tiles are the wanted ones, and no convolution is dense that need not be.
void require_tiles(const Case& c, espalier_dtype dtype) {
  for (const bool back : {false, true}) {
    const Tiles found = tiles_for(shape_of(c), dtype, back);
    if (too_large(c, back)) require(found == Tiles::kNone, "what does not fit is dense");
    else if (tiles_wanted() == Tiles::kChosen) require(found != Tiles::kNone, "there are tiles where they fit");
    else require(found == tiles_wanted(), "tiles are the wanted ones");
  }
}

// All three directions of a convolution with a mask of its weight. fan_in: of each row, or 0.
void check_case(const Case& c, espalier_dtype dtype, const std::vector<double>& mask, bool with_bias,
                int64_t fan_in = 0) {
  const espalier_conv2d shape = shape_of(c);
  const espalier_cuda_sparse matrix{c.out, c.in / c.groups * c.kernel_height * c.kernel_width, 0, 0, fan_in};
  const double tolerance = sparse_tolerance(dtype);
  require_tiles(c, dtype);
  int64_t count = 0, length = 0;
  for (const double element : mask) count += element != 0;
  Array kept = given(mask, ESPALIER_UINT8);
  ok(espalier_cuda_sparse_pattern_size(count, matrix, &length), "pattern size");
  Array pattern = result(length, ESPALIER_INT32);
  pattern.poison();
  ok(espalier_cuda_sparse_pattern(kept.in(), count, pattern.out(), matrix), "pattern");

  Array weight = random(size_weight(c), -1, 1, dtype), x = random(size_x(c), -1, 1, dtype);
  Array dy = random(size_y(c), -1, 1, dtype), bias = with_bias ? random(c.out, -1, 1, dtype) : absent();
  std::vector<double> masked = weight.host(), of_values;
  for (size_t i = 0; i < masked.size(); ++i) {
    if (mask[i] == 0) masked[i] = 0;
    else of_values.push_back(masked[i]);
  }
  Array values = given(of_values, dtype);
  Array y = result(size_y(c), dtype), dx = result(size_x(c), dtype), dvalues = result(count, dtype);
  y.poison();
  dx.poison();
  dvalues.poison();

  ok(espalier_cuda_sparse_convolution_forward(values.in(), pattern.in(), x.in(), bias.in(), y.out(), fan_in, shape),
     "forward");
  std::vector<double> expected(y.host().size());
  const espalier_in plus = with_bias ? as_input(bias.host()) : espalier_in{nullptr, 0, ESPALIER_FLOAT64};
  ok(espalier_conv2d_forward(as_input(x.host()), as_input(masked), plus, 0, as_output(expected), shape), "host");
  close_to(y, expected, tolerance, "forward");

  ok(espalier_cuda_sparse_convolution_data_grad(values.in(), pattern.in(), dy.in(), dx.out(), fan_in, shape),
     "data grad");
  expected.assign(dx.host().size(), 0);
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT64};
  ok(espalier_conv2d_data_grad(as_input(masked), as_input(dy.host()), none, as_output(expected), shape), "host");
  close_to(dx, expected, tolerance, "data gradient");

  ok(espalier_cuda_sparse_convolution_weight_grad(x.in(), dy.in(), pattern.in(), dvalues.out(), fan_in, shape),
     "weight grad");
  std::vector<double> whole(masked.size()), of_kept;
  ok(espalier_conv2d_weight_grad(as_input(x.host()), as_input(dy.host()), as_output(whole), shape), "host");
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) of_kept.push_back(whole[i]);
  close_to(dvalues, of_kept, tolerance, "weight gradient");
}

constexpr int64_t kAll = int64_t{1} << 40, kSmall = 20000;

// The cases of up to so many elements of y and of the weight, with masks that keep some, all, nothing, the last
// element, or every third row.
void check_cases(espalier_dtype dtype, int64_t most) {
  int number = 0;
  each_case([&](const Case& c) {
    const int kind = number++;
    if (size_y(c) > most || size_weight(c) > most) return;
    const int64_t size = size_weight(c), columns = c.out == 0 ? 0 : size / c.out;
    std::vector<double> mask = tile_mask(size, kind % 2 == 0 ? 0.1 : 0.4);
    if (kind % 5 == 1) mask = tile_mask(size, 1);
    if (kind % 5 == 2) mask = kind % 2 == 0 ? tile_mask(size, 0) : last_alone(size);
    if (kind % 5 == 3)
      for (int64_t i = 0; i < size; ++i)
        if (i / columns % 3 != 0) mask[static_cast<size_t>(i)] = 0;
    check_case(c, dtype, mask, kind % 3 == 0);
  });
}

}  // namespace

ESPALIER_CHECK(sparse_conv_float32) { check_cases(ESPALIER_FLOAT32, kAll); }
ESPALIER_CHECK(sparse_conv_float64) { check_cases(ESPALIER_FLOAT64, kSmall); }
ESPALIER_CHECK(sparse_conv_sixteen_bits) {
  check_cases(ESPALIER_FLOAT16, kSmall);
  check_cases(ESPALIER_BFLOAT16, kSmall);
}
ESPALIER_CHECK(sparse_conv_many_pixels) {
  const Choosing tiles(Tiles::kMany);
  check_cases(ESPALIER_FLOAT32, kSmall);
}
ESPALIER_CHECK(sparse_conv_many_pixels_float64) {
  const Choosing tiles(Tiles::kMany);
  check_cases(ESPALIER_FLOAT64, kSmall);
}
ESPALIER_CHECK(sparse_conv_few_pixels) {
  const Choosing tiles(Tiles::kFew);
  check_cases(ESPALIER_FLOAT32, kSmall);
}
ESPALIER_CHECK(sparse_conv_one_pixel) {
  const Choosing tiles(Tiles::kOne);
  check_cases(ESPALIER_FLOAT32, kSmall);
}
ESPALIER_CHECK(sparse_conv_densely) {
  const Choosing tiles(Tiles::kNone);
  check_cases(ESPALIER_FLOAT32, 1000);
}

// Several chunks of channels, several batches of a row's elements in a chunk, several blocks of rows, many tiles.
ESPALIER_CHECK(sparse_conv_large) {
  for (const Tiles tiles : {Tiles::kMany, Tiles::kFew}) {
    const Choosing choosing(tiles);
    const Case c = square(3, 160, 13, 11, 70, 3, 1, 1), back = square(2, 70, 13, 11, 160, 3, 2, 1);
    for (const Case& one : {c, back})
      for (const double density : {0.03, 0.2, 1.0})
        check_case(one, ESPALIER_FLOAT32, tile_mask(size_weight(one), density), true);
  }
}
ESPALIER_CHECK(sparse_conv_fan_in) {
  for (const int64_t groups : {1, 2}) {
    const Case c = square(2, 8, 9, 7, 12, 3, 1, 1, 1, groups);
    const int64_t columns = size_weight(c) / c.out;
    check_case(c, ESPALIER_FLOAT32, fan_in_mask(c.out, columns, 5), true, 5);
    check_case(c, ESPALIER_FLOAT32, fan_in_mask(c.out, columns, columns), false, columns);
  }
}
// Steps of so many planes that tiles are narrow, and of more than fit; more rows than fit.
ESPALIER_CHECK(sparse_conv_long_steps) {
  for (const int64_t step : {16, 40}) {
    const Case c = square(1, 2, 3 * step, 2 * step, 3, step, step);
    check_case(c, ESPALIER_FLOAT32, tile_mask(size_weight(c), 0.1), true);
  }
  const Case far{1, 1, 33, 1024, 1, 1, 992, 5, 5, 1, 1, 0, 0, 8, 8, 1};
  check_case(far, ESPALIER_FLOAT32, tile_mask(size_weight(far), 0.3), true);
}
ESPALIER_CHECK(sparse_conv_any_geometry) {
  for (int i = 0; i < 60; ++i) {
    const int64_t groups = any(1, 3);
    Case c{any(1, 3), groups * any(1, 5), any(1, 12), any(1, 12), groups * any(1, 5), any(1, 12), any(1, 12), any(1, 4),
           any(1, 4), any(1, 3),          any(1, 3),  any(0, 5),  any(0, 5),          any(1, 3),  any(1, 3),  groups};
    try {
      check_case(c, ESPALIER_FLOAT32, tile_mask(size_weight(c), 0.3), i % 2 == 0);
    } catch (const Mismatch& found) {
      mismatch("%s: %s", text(c).c_str(), found.message.c_str());
    }
  }
}

ESPALIER_CHECK(sparse_conv_refuses) {
  const espalier_conv2d shape = shape_of(square(1, 4, 3, 3, 2, 3, 1, 1));
  const espalier_cuda_sparse matrix{2, 36, 0, 0, 0};
  int64_t length = 0;
  ok(espalier_cuda_sparse_pattern_size(3, matrix, &length), "size");
  Array pattern = result(length, ESPALIER_INT32), values = random(3), x = random(36), y = result(18), bias = random(2);
  const auto forward = [&](const Array& of, const Array& from, const Array& to, int64_t fan_in,
                           const espalier_conv2d& by) {
    return espalier_cuda_sparse_convolution_forward(of.in(), pattern.in(), from.in(), bias.in(), to.out(), fan_in, by);
  };
  Array more = random(4), wide = random(36, -1, 1, ESPALIER_FLOAT64), longer = result(19);
  require(forward(more, x, y, 0, shape) == ESPALIER_SHAPE_MISMATCH, "values of another pattern are refused");
  require(forward(values, wide, y, 0, shape) == ESPALIER_DTYPE_MISMATCH, "x of another type is refused");
  require(forward(values, x, longer, 0, shape) == ESPALIER_SHAPE_MISMATCH, "y of another length is refused");
  require(forward(values, x, y, 1, shape) == ESPALIER_SHAPE_MISMATCH, "a fan-in that is not the pattern's is refused");
  require(forward(values, x, y, 37, shape) == ESPALIER_INVALID_ARGUMENT, "a fan-in beyond a row is refused");
  espalier_conv2d other = shape;
  other.groups = 3;
  require(forward(values, x, y, 0, other) == ESPALIER_INVALID_ARGUMENT, "groups that do not divide are refused");
  Array of_73 = random(73);
  require(forward(of_73, x, y, 0, shape) == ESPALIER_INVALID_ARGUMENT, "more values than weights are refused");

  const auto with = [&](const Array& places, const Array& added) {
    return espalier_cuda_sparse_convolution_forward(values.in(), places.in(), x.in(), added.in(), y.out(), 0, shape);
  };
  Array of_three = random(3), floats = random(length), shorter = result(length - 1, ESPALIER_INT32);
  require(with(pattern, of_three) == ESPALIER_SHAPE_MISMATCH, "a bias of another length is refused");
  require(with(floats, bias) == ESPALIER_DTYPE_MISMATCH, "a pattern of another type is refused");
  require(with(shorter, bias) == ESPALIER_SHAPE_MISMATCH, "a pattern of another length is refused");

  const auto data_grad = [&](const Array& of, const Array& from, const Array& to) {
    return espalier_cuda_sparse_convolution_data_grad(of.in(), pattern.in(), from.in(), to.out(), 0, shape);
  };
  Array dy = random(18), dx = result(36), wide_dy = random(18, -1, 1, ESPALIER_FLOAT64), dy_19 = random(19);
  Array dx_35 = result(35), wide_dx = result(36, ESPALIER_FLOAT64);
  require(data_grad(more, dy, dx) == ESPALIER_SHAPE_MISMATCH, "values of another pattern are refused");
  require(data_grad(values, dy_19, dx) == ESPALIER_SHAPE_MISMATCH, "dy of another length is refused");
  require(data_grad(values, wide_dy, dx) == ESPALIER_DTYPE_MISMATCH, "dy of another type is refused");
  require(data_grad(values, dy, dx_35) == ESPALIER_SHAPE_MISMATCH, "dx of another length is refused");
  require(data_grad(values, dy, wide_dx) == ESPALIER_DTYPE_MISMATCH, "dx of another type is refused");

  const auto weight_grad = [&](const Array& seen, const Array& from, const Array& to) {
    return espalier_cuda_sparse_convolution_weight_grad(seen.in(), from.in(), pattern.in(), to.out(), 0, shape);
  };
  Array dvalues = result(3), of_four = result(4), wide_dvalues = result(3, ESPALIER_FLOAT64), x_35 = random(35);
  require(weight_grad(x, dy, of_four) == ESPALIER_SHAPE_MISMATCH, "gradients of another pattern are refused");
  require(weight_grad(x_35, dy, dvalues) == ESPALIER_SHAPE_MISMATCH, "x of another length is refused");
  require(weight_grad(x, dy_19, dvalues) == ESPALIER_SHAPE_MISMATCH, "dy of another length is refused");
  require(weight_grad(x, wide_dy, dvalues) == ESPALIER_DTYPE_MISMATCH, "dy of another type is refused");
  require(weight_grad(x, dy, wide_dvalues) == ESPALIER_DTYPE_MISMATCH, "gradients of another type are refused");
}
