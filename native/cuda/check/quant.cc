// Fake quantisation and the statistics of scales.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "cuda/check/large.h"
#include "cuda/check/types.h"

using namespace espalier::check;

namespace {

struct View {
  int64_t outer, channels, inner;
  int64_t size() const { return outer * channels * inner; }
};
std::vector<View> views() {
  std::vector<View> result = {{1, 1, 1},    {1, 1, 1000}, {1, 5, 27},   {1, 64, 576}, {4, 3, 1},      {128, 10, 1},
                              {2, 3, 31},   {2, 3, 32},   {3, 7, 33},   {8, 16, 49},  {1, 1, 100001}, {0, 3, 4},
                              {5000, 3, 1}, {2, 700, 36}, {1, 3000, 9}, {6000, 2, 3}};
  for (int i = 0; i < 6; ++i) result.push_back({any(1, 9), any(1, 40), any(1, 150)});
  return result;
}

// Scales of powers of two, so that float32 and float64 divide and round alike.
Array powers(int64_t n, espalier_dtype dtype) {
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(std::ldexp(1.0, static_cast<int>(any(-6, -2))));
  return given(values, dtype);
}

}  // namespace

ESPALIER_CHECK(fake_quant) {
  for (const Type& type : kTypes)
    for (const View& view : views()) {
      const int64_t n = view.size(), c = view.channels;
      Array x = random(n, -1, 1, type.dtype), y = result(n, type.dtype), codes = result(n, ESPALIER_INT32), none;
      Array scale = powers(c, type.statistics), zero = integers(c, -3, 4, type.statistics);
      Array keep = mask(n, 0.6, type.dtype);
      same(type.tolerance, espalier_fake_quant_forward, espalier_cuda_fake_quant_forward, x, scale, none, none,
           view.outer, c, view.inner, -8, 7, y, none);
      same(type.tolerance, espalier_fake_quant_forward, espalier_cuda_fake_quant_forward, x, scale, zero, keep,
           view.outer, c, view.inner, -8, 7, y, codes);
      Array g = random(n, -1, 1, type.dtype), of_x = result(n, type.dtype), of_scale = result(c, type.statistics);
      for (const auto rule : {ESPALIER_ROUNDING_GRADIENT_CLAMP, ESPALIER_ROUNDING_GRADIENT_CLAMP_STE}) {
        // The sum over a channel nearly cancels at times: its size is that of the terms.
        const double near = std::max(2e-5, type.tolerance);
        same(near, espalier_fake_quant_backward, espalier_cuda_fake_quant_backward, g, x, scale, zero, keep, view.outer,
             c, view.inner, -8, 7, rule, of_x, of_scale);
        same(near, espalier_fake_quant_backward, espalier_cuda_fake_quant_backward, g, x, scale, none, none, view.outer,
             c, view.inner, -8, 7, rule, of_x, none);
        same(near, espalier_fake_quant_backward, espalier_cuda_fake_quant_backward, g, x, scale, none, none, view.outer,
             c, view.inner, -8, 7, rule, none, of_scale);
      }
      same(std::max(2e-5, type.tolerance), espalier_fake_quant_backward, espalier_cuda_fake_quant_backward, g, x, scale,
           none, none, view.outer, c, view.inner, 0, 15, ESPALIER_ROUNDING_GRADIENT_CLAMP_POSITIVE, of_x, of_scale);
    }
}

ESPALIER_CHECK(fake_quant_matches_to_the_bit) {
  // Any scale: against the CPU in float32 itself.
  for (const View& view : views()) {
    const int64_t n = view.size(), c = view.channels;
    const Array x = random(n), scale = random(c, 0.01, 0.2), zero = integers(c, -3, 4, ESPALIER_FLOAT32);
    const Array y = result(n), codes = result(n, ESPALIER_INT32);
    ok(espalier_cuda_fake_quant_forward(x.in(), scale.in(), zero.in(), {}, view.outer, c, view.inner, -128, 127,
                                        y.out(), codes.out()),
       "device");
    const auto floats = [](const Array& a) { return std::vector<float>(a.host().begin(), a.host().end()); };
    const std::vector<float> from = floats(x), scales = floats(scale), zeros = floats(zero);
    std::vector<float> to(from.size());
    std::vector<int32_t> integers(from.size());
    ok(espalier_fake_quant_forward({from.data(), n, ESPALIER_FLOAT32}, {scales.data(), c, ESPALIER_FLOAT32},
                                   {zeros.data(), c, ESPALIER_FLOAT32}, {}, view.outer, c, view.inner, -128, 127,
                                   {to.data(), n, ESPALIER_FLOAT32}, {integers.data(), n, ESPALIER_INT32}),
       "host");
    close(y.fetch(), {to.begin(), to.end()}, 0, "y");
    close(codes.fetch(), {integers.begin(), integers.end()}, 0, "codes");
  }
}

ESPALIER_CHECK(fake_quant_edges) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const Type& type : kTypes) {
    Array x = given({nan, infinity, -infinity, 0.125, 0.375, -0.125, -0.375}, type.dtype), y = result(7, type.dtype);
    Array codes = result(7, ESPALIER_INT32), scale = given({0.25}, type.statistics), none;
    same(0, espalier_fake_quant_forward, espalier_cuda_fake_quant_forward, x, scale, none, none, 1, 1, 7, -4, 3, y,
         codes);
    same(0, espalier_fake_quant_forward, espalier_cuda_fake_quant_forward, x, scale, none, none, 1, 1, 7, -4, 3, x,
         none);
  }
  for (const double bad : {0.0, -1.0, infinity, nan}) {
    Array x = random(4), y = result(4), scale = given({1, bad}), none;
    ok(espalier_cuda_fake_quant_forward(x.in(), scale.in(), {}, {}, 1, 2, 2, -4, 3, y.out(), {}), "is queued");
    require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a bad scale is an error");
    require(std::string(espalier_last_error()).find("fake_quant_forward") != std::string::npos, "it names the call");
  }
  Array x = random(4), y = result(4), scale = given({1});
  require(espalier_cuda_fake_quant_forward(x.in(), scale.in(), {}, {}, 1, 1, 4, 3, -4, y.out(), {}) ==
              ESPALIER_INVALID_ARGUMENT,
          "qmin above qmax is refused");
}

ESPALIER_CHECK(abs_max) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const Type& type : kTypes)
    for (const View& view : views()) {
      const int64_t n = view.size(), c = view.channels;
      Array value = result(c, type.statistics), index = result(c, ESPALIER_INT32), none;
      // Few distinct values: the first of many places counts.
      Array x = integers(n, -5, 6, type.dtype), keep = mask(n, 0.5, type.dtype);
      same(0, espalier_abs_max, espalier_cuda_abs_max, x, none, view.outer, c, view.inner, value, index);
      same(0, espalier_abs_max, espalier_cuda_abs_max, x, keep, view.outer, c, view.inner, value, index);
      same(0, espalier_abs_max, espalier_cuda_abs_max, x, none, view.outer, c, view.inner, value, none);
      if (n == 0) continue;
      std::vector<double> holed = x.host();
      for (int i = 0; i < 3; ++i) holed[static_cast<size_t>(any(0, n - 1))] = nan;
      Array with_nan = given(holed, type.dtype);
      same(0, espalier_abs_max, espalier_cuda_abs_max, with_nan, none, view.outer, c, view.inner, value, index);
    }
}

ESPALIER_BENCH(fake_quant) {
  // 256 images of 64 channels, each with its scale; the small one is the last image.
  const int64_t channels = 64, inner = 1 << 14, images = 256, piece = channels * inner;
  Array x = random(piece), g = random(piece), y = result(piece), dx = result(piece);
  Array scale = random(channels, 0.01, 0.1), of_scale = result(channels), value = result(channels);
  const Large many_x(x, images), many_g(g, images), many_y(y, images), many_dx(dx, images);
  const auto forward = [&](const auto& from, const auto& to, int64_t outer) {
    ok(espalier_cuda_fake_quant_forward(from.in(), scale.in(), {}, {}, outer, channels, inner, -8, 7, to.out(), {}),
       "forward");
  };
  const auto backward = [&](const auto& gradient, const auto& from, const auto& to, int64_t outer) {
    ok(espalier_cuda_fake_quant_backward(gradient.in(), from.in(), scale.in(), {}, {}, outer, channels, inner, -8, 7,
                                         ESPALIER_ROUNDING_GRADIENT_CLAMP, to.out(), of_scale.out()),
       "backward");
  };
  const auto largest = [&](const auto& from, int64_t outer) {
    ok(espalier_cuda_abs_max(from.in(), {}, outer, channels, inner, value.out(), {}), "abs_max");
  };
  forward(x, y, 1);
  backward(g, x, dx, 1);
  largest(x, 1);
  const std::vector<double> most = value.fetch();
  forward(many_x, many_y, images);
  backward(many_g, many_x, many_dx, images);
  largest(many_x, images);
  close(many_y.tail(), y.fetch(), 0, "y");
  close(many_dx.tail(), dx.fetch(), 0, "dx");
  close(value.fetch(), most, 0, "the largest");
  const double pass = 4e3 * static_cast<double>(piece * images) / copy_bandwidth();
  report({"fake_quant", "forward, 256 M", "", time_ms([&] { forward(many_x, many_y, images); }), 0, 2 * pass, true});
  report({"fake_quant", "backward, scales too, 256 M", "", time_ms([&] { backward(many_g, many_x, many_dx, images); }),
          0, 3 * pass, true});
  report({"fake_quant", "abs_max, 256 M", "", time_ms([&] { largest(many_x, images); }), 0, pass, true});
}
