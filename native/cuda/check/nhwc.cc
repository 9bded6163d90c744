// Functions on images with channels last, against the CPU's on the same values with their channels first.
#include <cmath>
#include <cstdio>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

using Values = std::vector<double>;

// [n, plane, channels] as [n, channels, plane], and back.
Values first(const Values& from, int64_t n, int64_t channels, int64_t plane) {
  Values to(from.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t p = 0; p < plane; ++p)
      for (int64_t c = 0; c < channels; ++c)
        to[static_cast<size_t>((i * channels + c) * plane + p)] =
            from[static_cast<size_t>((i * plane + p) * channels + c)];
  return to;
}
Values last(const Values& from, int64_t n, int64_t channels, int64_t plane) { return first(from, n, plane, channels); }

espalier_in in(const Values& values) { return {values.data(), static_cast<int64_t>(values.size()), ESPALIER_FLOAT64}; }
espalier_out out(Values& values) { return {values.data(), static_cast<int64_t>(values.size()), ESPALIER_FLOAT64}; }

struct Type {
  espalier_dtype dtype;
  double tolerance;
};
const Type kTypes[] = {{ESPALIER_FLOAT32, 2e-6}, {ESPALIER_BFLOAT16, 1e-2}, {ESPALIER_FLOAT16, 2e-3}};

espalier_conv2d conv(int64_t n, int64_t in_channels, int64_t height, int64_t width, int64_t out_channels,
                     int64_t kernel, int64_t stride, int64_t padding, int64_t dilation = 1, int64_t groups = 1) {
  const auto size = [&](int64_t from) { return (from + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; };
  return {n,      in_channels, height, width,   out_channels, size(height), size(width), kernel,
          kernel, stride,      stride, padding, padding,      dilation,     dilation,    groups};
}

std::vector<espalier_conv2d> convolutions() {
  return {
      conv(2, 64, 8, 8, 64, 1, 1, 0),
      conv(2, 64, 14, 14, 64, 3, 1, 1),
      conv(2, 64, 15, 13, 128, 3, 2, 1),
      conv(2, 64, 14, 14, 128, 1, 2, 0),
      conv(2, 128, 9, 9, 72, 3, 1, 1),
      conv(1, 3, 32, 32, 64, 7, 2, 3),
      conv(2, 24, 11, 11, 40, 3, 1, 2, 2),
      conv(2, 16, 10, 10, 32, 3, 1, 1, 1, 2),
      conv(2, 12, 10, 10, 20, 3, 2, 1, 1, 4),
      conv(1, 8, 6, 6, 8, 5, 3, 2),
      conv(2, 8, 9, 9, 8, 3, 1, 1, 1, 8),
      conv(3, 10, 7, 7, 6, 3, 1, 1),
      conv(4, 32, 12, 12, 16, 3, 1, 1),
      conv(2, 256, 7, 7, 136, 3, 1, 1),
      conv(2, 24, 9, 9, 24, 3, 1, 1, 1, 24),
      conv(3, 64, 11, 10, 64, 3, 2, 1, 1, 64),
      conv(2, 16, 12, 12, 16, 5, 1, 4, 2, 16),
      conv(1, 136, 7, 7, 136, 7, 1, 3, 1, 136),
      conv(2, 8, 9, 9, 8, 2, 2, 0, 1, 8),
      conv(2, 4, 20, 21, 16, 5, 2, 2),
      conv(2, 1, 23, 22, 8, 5, 4, 3),
      conv(2, 3, 12, 13, 8, 2, 2, 1),
      conv(1, 1, 5, 5, 1, 1, 1, 0),
      conv(5, 16, 1, 33, 16, 1, 1, 0),
  };
}

int64_t size_x(const espalier_conv2d& s) { return s.n * s.in_channels * s.in_height * s.in_width; }
int64_t size_y(const espalier_conv2d& s) { return s.n * s.out_channels * s.out_height * s.out_width; }
int64_t size_weight(const espalier_conv2d& s) {
  return s.out_channels * (s.in_channels / s.groups) * s.kernel_height * s.kernel_width;
}
Values x_first(const espalier_conv2d& s, const Array& x) {
  return first(x.host(), s.n, s.in_channels, s.in_height * s.in_width);
}
Values y_first(const espalier_conv2d& s, const Array& y) {
  return first(y.host(), s.n, s.out_channels, s.out_height * s.out_width);
}
Values weight_first(const espalier_conv2d& s, const Array& weight) {
  return first(weight.host(), s.out_channels, s.in_channels / s.groups, s.kernel_height * s.kernel_width);
}

// Names the convolution and the type in what body finds.
template <class Body>
void each_convolution(Body body) {
  int failed = 0, all = 0;
  for (const espalier_conv2d& s : convolutions())
    for (const Type& type : kTypes) {
      ++all;
      try {
        body(s, type, all);
      } catch (const Mismatch& found) {
        if (failed++ < 6)
          std::printf("    x [%d, %d, %d, %d], %d channels, kernel %d, stride %d, %d groups, type %d:\n      %s\n",
                      int(s.n), int(s.in_height), int(s.in_width), int(s.in_channels), int(s.out_channels),
                      int(s.kernel_height), int(s.stride_height), int(s.groups), int(type.dtype),
                      found.message.c_str());
      }
    }
  if (failed > 0) mismatch("%d of %d cases", failed, all);
}

}  // namespace

ESPALIER_CHECK(nhwc_conv_forward) {
  each_convolution([](const espalier_conv2d& s, const Type& type, int number) {
    Array x = random(size_x(s), -1, 1, type.dtype), weight = random(size_weight(s), -1, 1, type.dtype);
    Array bias = number % 2 == 0 ? absent() : random(s.out_channels, -1, 1, type.dtype),
          y = result(size_y(s), type.dtype);
    const espalier_nhwc rows{s.n * s.out_height * s.out_width, s.out_channels};
    const int64_t tiles = (rows.rows + 127) / 128, relu = number / 2 % 2;
    Array moments = result(2 * tiles * s.out_channels);
    y.poison(), moments.poison();
    ok(espalier_cuda_conv2d_forward_nhwc(x.in(), weight.in(), bias.in(), relu, y.out(), moments.out(), s), "device");
    Values to(y.host().size());
    ok(espalier_conv2d_forward(in(x_first(s, x)), in(weight_first(s, weight)),
                               bias.size() > 0 ? in(bias.host()) : espalier_in{}, relu, out(to), s),
       "host");
    const Values got = y.fetch(), described = moments.fetch();
    close(got, last(to, s.n, s.out_channels, s.out_height * s.out_width), type.tolerance, "y");
    // The moments are those of y as it is stored.
    Values expected(described.size());
    for (int64_t tile = 0; tile < tiles; ++tile)
      for (int64_t c = 0; c < s.out_channels; ++c) {
        const int64_t begin = 128 * tile, end = std::min<int64_t>(begin + 128, rows.rows);
        double mean = 0, squares = 0;
        for (int64_t r = begin; r < end; ++r)
          mean += got[static_cast<size_t>(r * s.out_channels + c)] / static_cast<double>(end - begin);
        for (int64_t r = begin; r < end; ++r)
          squares += std::pow(got[static_cast<size_t>(r * s.out_channels + c)] - mean, 2);
        expected[static_cast<size_t>(2 * (tile * s.out_channels + c))] = mean;
        expected[static_cast<size_t>(2 * (tile * s.out_channels + c) + 1)] = squares;
      }
    close(described, expected, 1e-5, "moments");
  });
}

ESPALIER_CHECK(nhwc_conv_data_grad) {
  each_convolution([](const espalier_conv2d& s, const Type& type, int number) {
    Array weight = random(size_weight(s), -1, 1, type.dtype), dy = random(size_y(s), -1, 1, type.dtype);
    Array add = number % 2 == 0 ? absent() : random(size_x(s), -1, 1, type.dtype), dx = result(size_x(s), type.dtype);
    dx.poison();
    ok(espalier_cuda_conv2d_data_grad_nhwc(weight.in(), dy.in(), add.in(), dx.out(), s), "device");
    Values to(dx.host().size());
    ok(espalier_conv2d_data_grad(in(weight_first(s, weight)), in(y_first(s, dy)), {}, out(to), s), "host");
    to = last(to, s.n, s.in_channels, s.in_height * s.in_width);
    for (size_t i = 0; i < static_cast<size_t>(add.size()); ++i) to[i] += add.host()[i];
    close(dx.fetch(), to, type.tolerance, "dx");
  });
}

ESPALIER_CHECK(nhwc_conv_weight_grad) {
  each_convolution([](const espalier_conv2d& s, const Type& type, int number) {
    Array x = random(size_x(s), -1, 1, type.dtype), dy = random(size_y(s), -1, 1, type.dtype);
    Array dweight = result(size_weight(s), number % 2 == 0 ? ESPALIER_FLOAT32 : type.dtype);
    dweight.poison();
    ok(espalier_cuda_conv2d_weight_grad_nhwc(x.in(), dy.in(), dweight.out(), s), "device");
    Values to(dweight.host().size());
    ok(espalier_conv2d_weight_grad(in(x_first(s, x)), in(y_first(s, dy)), out(to), s), "host");
    close(dweight.fetch(), last(to, s.out_channels, s.in_channels / s.groups, s.kernel_height * s.kernel_width),
          type.tolerance, "dweight");
  });
}

ESPALIER_CHECK(nhwc_batch_norm) {
  int number = 0;
  for (const espalier_nhwc& shape : {espalier_nhwc{2, 8},
                                     {1000, 8},
                                     {77, 64},
                                     {4096, 64},
                                     {129, 128},
                                     {513, 24},
                                     {300, 512},
                                     {20000, 16},
                                     {70, 2048}})
    for (const Type& type : kTypes) {
      const int64_t length = shape.rows * shape.channels, channels = shape.channels, relu = number % 3 != 0;
      const bool adds = number % 2 != 0;
      ++number;
      Array x = random(length, -1, 3, type.dtype), dy = random(length, -1, 1, type.dtype);
      Array residual = adds ? random(length, -1, 1, type.dtype) : absent();
      Array weight = random(channels, 0.5, 2), bias = random(channels), running_mean = random(channels),
            running_var = random(channels, 1, 2), mean = result(channels), scale = result(channels);
      Array y = result(length, type.dtype), signs = relu != 0 ? result(length / 8, ESPALIER_UINT8) : absent();
      y.poison();
      ok(espalier_cuda_batch_norm_train_nhwc(x.in(), {}, weight.in(), bias.in(), residual.in(), relu, 0.1, 1e-5,
                                             running_mean.out(), running_var.out(), mean.out(), scale.out(), y.out(),
                                             signs.out(), shape),
         "forward");
      const espalier_channels rows{shape.rows, channels, 1};
      Values to(x.host().size()), middle(static_cast<size_t>(channels)), inverse = middle;
      Values moving_mean = running_mean.host(), moving_var = running_var.host();
      ok(espalier_batch_norm_train(in(x.host()), in(weight.host()), in(bias.host()), 0.1, 1e-5, out(moving_mean),
                                   out(moving_var), out(middle), out(inverse), out(to), rows),
         "host");
      for (size_t i = 0; i < to.size(); ++i) {
        if (adds) to[i] += residual.host()[i];
        if (relu != 0) to[i] = std::max(to[i], 0.0);
      }
      close(mean.fetch(), middle, 1e-5, "mean");
      close(scale.fetch(), inverse, 1e-5, "scale");
      close(running_mean.fetch(), moving_mean, 1e-5, "running_mean");
      close(running_var.fetch(), moving_var, 1e-5, "running_var");
      close(y.fetch(), to, type.tolerance, "y");

      Array dx = result(length, type.dtype), dresidual = adds ? result(length, type.dtype) : absent();
      Array dweight = result(channels), dbias = result(channels);
      dx.poison(), dweight.poison(), dbias.poison();
      if (adds) dresidual.poison();
      ok(espalier_cuda_batch_norm_train_backward_nhwc(dy.in(), x.in(), signs.in(), weight.in(), mean.in(), scale.in(),
                                                      dx.out(), dresidual.out(), dweight.out(), dbias.out(), shape),
         "backward");
      Values g = dy.host();
      if (relu != 0) {
        const Values bits = signs.fetch(), y_got = y.fetch();
        for (size_t i = 0; i < g.size(); ++i) {
          const bool positive = (static_cast<int>(bits[i / 8]) >> (i % 8) & 1) != 0;
          require(positive == (y_got[i] > 0) || std::fabs(to[i]) < 1e-5, "a sign is that of y");
          if (!positive) g[i] = 0;
        }
      }
      Values dx_to(g.size()), dweight_to(static_cast<size_t>(channels)), dbias_to = dweight_to;
      ok(espalier_batch_norm_train_backward(in(g), in(x.host()), in(weight.host()), in(middle), in(inverse), out(dx_to),
                                            out(dweight_to), out(dbias_to), rows),
         "host");
      if (adds) close(dresidual.fetch(), g, 0, "dresidual");
      close(dbias.fetch(), dbias_to, 1e-4, "dbias");
      close(dweight.fetch(), dweight_to, 1e-4, "dweight");
      // Two rows cancel: what is left is rounding.
      if (shape.rows > 2) close(dx.fetch(), dx_to, 4 * type.tolerance, "dx");
    }
}

ESPALIER_CHECK(nhwc_pools) {
  for (const espalier_nhwc_pool2d& s : {espalier_nhwc_pool2d{2, 64, 12, 12, 6, 6, 3, 3, 2, 2, 1, 1},
                                        {1, 8, 5, 7, 5, 7, 3, 3, 1, 1, 1, 1},
                                        {3, 16, 9, 9, 3, 3, 3, 3, 3, 3, 0, 0},
                                        {2, 24, 8, 11, 4, 5, 2, 3, 2, 2, 0, 0},
                                        {1, 8, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},
                                        {2, 8, 13, 10, 6, 4, 2, 3, 2, 3, 0, 1}})
    for (const Type& type : kTypes) {
      const int64_t plane = s.height * s.width, out_plane = s.out_height * s.out_width;
      Array x = random(s.images * plane * s.channels, -1, 1, type.dtype);
      Array dy = random(s.images * out_plane * s.channels, -1, 1, type.dtype);
      Array y = result(dy.size(), type.dtype), taps = result(dy.size(), ESPALIER_UINT8),
            dx = result(x.size(), type.dtype);
      y.poison(), dx.poison();
      ok(espalier_cuda_max_pool2d_forward_nhwc(x.in(), y.out(), taps.out(), s), "max_pool");
      ok(espalier_cuda_max_pool2d_backward_nhwc(dy.in(), taps.in(), dx.out(), s), "max_pool_backward");
      const espalier_pool2d planes{s.images * s.channels,
                                   s.height,
                                   s.width,
                                   s.out_height,
                                   s.out_width,
                                   s.kernel_height,
                                   s.kernel_width,
                                   s.stride_height,
                                   s.stride_width,
                                   s.padding_height,
                                   s.padding_width,
                                   1,
                                   1};
      Values to(dy.host().size()), dx_to(x.host().size());
      std::vector<int32_t> indices(to.size());
      ok(espalier_max_pool2d_forward(in(first(x.host(), s.images, s.channels, plane)), out(to),
                                     {indices.data(), static_cast<int64_t>(indices.size()), ESPALIER_INT32}, planes),
         "host");
      ok(espalier_max_pool_backward(in(first(dy.host(), s.images, s.channels, out_plane)),
                                    {indices.data(), static_cast<int64_t>(indices.size()), ESPALIER_INT32}, out(dx_to),
                                    planes.planes, plane, out_plane),
         "host");
      close(y.fetch(), last(to, s.images, s.channels, out_plane), 0, "the largest");
      close(dx.fetch(), last(dx_to, s.images, s.channels, plane), type.tolerance, "their gradient");

      Array mean = result(s.images * s.channels, type.dtype), dmean = random(s.images * s.channels, -1, 1, type.dtype);
      Array spread = result(x.size(), type.dtype);
      ok(espalier_cuda_mean_pool_nhwc(s.images, plane, s.channels, x.in(), mean.out()), "mean_pool");
      ok(espalier_cuda_mean_pool_backward_nhwc(s.images, plane, s.channels, dmean.in(), spread.out()), "its gradient");
      Values mean_to(mean.host().size()), spread_to(x.host().size());
      for (size_t i = 0; i < spread_to.size(); ++i) {
        const size_t channels = static_cast<size_t>(s.channels), positions = static_cast<size_t>(plane);
        const size_t at = i / channels / positions * channels + i % channels;
        mean_to[at] += x.host()[i] / static_cast<double>(plane);
        spread_to[i] = dmean.host()[at] / static_cast<double>(plane);
      }
      close(mean.fetch(), mean_to, type.tolerance, "the mean");
      close(spread.fetch(), spread_to, type.tolerance, "the mean's gradient");
    }
}

ESPALIER_CHECK(nhwc_batch_norm_max_pool) {
  for (const espalier_nhwc_pool2d& s : {espalier_nhwc_pool2d{2, 64, 12, 12, 6, 6, 3, 3, 2, 2, 1, 1},
                                        {3, 8, 9, 7, 5, 4, 3, 3, 2, 2, 1, 1},
                                        {2, 24, 10, 11, 5, 5, 2, 2, 2, 2, 0, 0},
                                        {5, 136, 6, 6, 6, 6, 3, 3, 1, 1, 1, 1}})
    for (const Type& type : kTypes) {
      const int64_t plane = s.height * s.width, out_plane = s.out_height * s.out_width, channels = s.channels;
      const espalier_nhwc rows{s.images * plane, channels};
      const espalier_channels rows_first{rows.rows, channels, 1};
      Array x = random(s.images * plane * channels, -1, 2, type.dtype);
      Array dy = random(s.images * out_plane * channels, -1, 1, type.dtype);
      Array weight = random(channels, -1, 1), bias = random(channels), mean = result(channels),
            scale = result(channels);
      Array y = result(dy.size(), type.dtype), taps = result(dy.size(), ESPALIER_UINT8);
      Array dx = result(x.size(), type.dtype), dweight = result(channels), dbias = result(channels);
      y.poison(), dx.poison();
      ok(espalier_cuda_batch_norm_max_pool_train_nhwc(x.in(), {}, weight.in(), bias.in(), 0.1, 1e-5, {}, {}, mean.out(),
                                                      scale.out(), y.out(), taps.out(), s),
         "forward");
      ok(espalier_cuda_batch_norm_max_pool_train_backward_nhwc(dy.in(), x.in(), taps.in(), weight.in(), mean.in(),
                                                               scale.in(), dx.out(), dweight.out(), dbias.out(), s),
         "backward");
      Values z(x.host().size()), middle(static_cast<size_t>(channels)), inverse = middle;
      ok(espalier_batch_norm_train(in(x.host()), in(weight.host()), in(bias.host()), 0.1, 1e-5, {}, {}, out(middle),
                                   out(inverse), out(z), rows_first),
         "host");
      for (double& value : z) value = std::max(value, 0.0);
      const espalier_pool2d planes{s.images * channels,
                                   s.height,
                                   s.width,
                                   s.out_height,
                                   s.out_width,
                                   s.kernel_height,
                                   s.kernel_width,
                                   s.stride_height,
                                   s.stride_width,
                                   s.padding_height,
                                   s.padding_width,
                                   1,
                                   1};
      Values to(dy.host().size());
      ok(espalier_max_pool2d_forward(in(first(z, s.images, channels, plane)), out(to), {}, planes), "host");
      to = last(to, s.images, channels, out_plane);
      close(y.fetch(), to, type.tolerance, "y");
      // The gradient goes where the device's taps say: two values of a window may round alike.
      Values g(z.size()), dx_to(z.size()), dweight_to = middle, dbias_to = middle;
      const Values taken = taps.fetch();
      for (size_t i = 0; i < taken.size(); ++i) {
        if (taken[i] == 255) continue;
        const int64_t at = static_cast<int64_t>(i), c = at % channels, w = at / channels % s.out_width;
        const int64_t h = at / channels / s.out_width % s.out_height, image = at / channels / out_plane;
        const int64_t tap = static_cast<int64_t>(taken[i]);
        const int64_t row = h * s.stride_height - s.padding_height + tap / s.kernel_width;
        const int64_t column = w * s.stride_width - s.padding_width + tap % s.kernel_width;
        require(row >= 0 && row < s.height && column >= 0 && column < s.width, "a tap lies in the image");
        const size_t place = static_cast<size_t>(((image * s.height + row) * s.width + column) * channels + c);
        require(std::fabs(z[place] - to[i]) < 1e-4, "a tap is the largest");
        g[place] += dy.host()[i];
      }
      ok(espalier_batch_norm_train_backward(in(g), in(x.host()), in(weight.host()), in(middle), in(inverse), out(dx_to),
                                            out(dweight_to), out(dbias_to), rows_first),
         "host");
      close(dbias.fetch(), dbias_to, 1e-4, "dbias");
      close(dweight.fetch(), dweight_to, 1e-4, "dweight");
      close(dx.fetch(), dx_to, 2 * type.tolerance, "dx");
    }
}

ESPALIER_CHECK(nhwc_refuses) {
  Array x = random(70), y = result(70), mean = result(7), scale = result(7);
  require(espalier_cuda_batch_norm_train_nhwc(x.in(), {}, {}, {}, {}, 0, 0.1, 1e-5, {}, {}, mean.out(), scale.out(),
                                              y.out(), {}, {10, 7}) == ESPALIER_INVALID_ARGUMENT,
          "7 channels");
  const espalier_conv2d far = conv(1, 8, 40, 40, 8, 17, 1, 8);
  Array image = random(size_x(far)), weight = random(size_weight(far)), to = result(size_y(far));
  require(
      espalier_cuda_conv2d_forward_nhwc(image.in(), weight.in(), {}, 0, to.out(), {}, far) == ESPALIER_INVALID_ARGUMENT,
      "17 taps");
}
