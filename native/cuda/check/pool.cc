// Pooling.
#include <cmath>
#include <limits>
#include <string>

#include "cuda/check/large.h"
#include "cuda/check/types.h"

using namespace espalier::check;

namespace {

int64_t windows(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  return (size + 2 * padding - (kernel - 1) * dilation - 1) / stride + 1;
}
espalier_pool2d pool(int64_t planes, int64_t height, int64_t width, int64_t kernel, int64_t stride, int64_t padding,
                     int64_t dilation = 1) {
  return {planes,
          height,
          width,
          windows(height, kernel, stride, padding, dilation),
          windows(width, kernel, stride, padding, dilation),
          kernel,
          kernel,
          stride,
          stride,
          padding,
          padding,
          dilation,
          dilation};
}
std::vector<espalier_pool2d> undilated() {
  std::vector<espalier_pool2d> shapes = {pool(1, 1, 1, 1, 1, 0),
                                         pool(3, 2, 2, 2, 2, 0),
                                         pool(2, 5, 7, 3, 2, 1),
                                         pool(4, 16, 16, 2, 2, 0),
                                         pool(5, 17, 9, 3, 1, 1),
                                         pool(2, 33, 31, 5, 3, 2),
                                         pool(1, 112, 112, 3, 2, 1),
                                         pool(7, 8, 8, 8, 1, 4),
                                         pool(64, 14, 14, 3, 2, 1),
                                         pool(2, 13, 13, 13, 1, 6),
                                         pool(1, 200, 150, 7, 5, 3),
                                         pool(3, 6, 6, 2, 3, 1),
                                         {2, 10, 20, 4, 10, 4, 2, 2, 2, 0, 0, 1, 1},
                                         {0, 8, 8, 4, 4, 2, 2, 2, 2, 0, 0, 1, 1}};
  for (int i = 0; i < 8; ++i) {
    const int64_t kernel = any(1, 6);
    shapes.push_back(pool(any(1, 20), any(6, 40), any(6, 40), kernel, any(1, 4), any(0, kernel / 2)));
  }
  return shapes;
}
std::vector<espalier_pool2d> dilated() {
  std::vector<espalier_pool2d> shapes = undilated();
  shapes.push_back(pool(3, 20, 21, 3, 1, 1, 2));
  shapes.push_back(pool(2, 30, 25, 4, 2, 2, 3));
  shapes.push_back(pool(1, 300, 200, 3, 2, 0, 5));
  return shapes;
}
std::vector<espalier_adaptive_pool2d> adaptive() {
  std::vector<espalier_adaptive_pool2d> shapes = {
      {1, 1, 1, 1, 1},   {3, 7, 7, 1, 1},    {5, 7, 7, 3, 3}, {2, 10, 13, 4, 5},   {2, 4, 5, 8, 9}, {64, 56, 56, 1, 1},
      {9, 33, 17, 2, 1}, {1, 100, 80, 1, 7}, {3, 5, 5, 5, 5}, {2, 200, 150, 7, 7}, {0, 4, 4, 2, 2}, {4, 6, 6, 12, 3}};
  for (int i = 0; i < 10; ++i) shapes.push_back({any(1, 9), any(1, 40), any(1, 40), any(1, 12), any(1, 12)});
  return shapes;
}
template <class Shape>
int64_t in_of(const Shape& s) {
  return s.planes * s.height * s.width;
}
template <class Shape>
int64_t out_of(const Shape& s) {
  return s.planes * s.out_height * s.out_width;
}

}  // namespace

ESPALIER_CHECK(max_pool2d) {
  for (const Type& type : kTypes)
    for (const espalier_pool2d& shape : dilated()) {
      // Few distinct values: ties everywhere.
      Array x = integers(in_of(shape), -3, 4, type.dtype), y = result(out_of(shape), type.dtype);
      Array places = result(out_of(shape), ESPALIER_INT32), dy = random(out_of(shape), -1, 1, type.dtype);
      Array dx = result(in_of(shape), type.dtype);
      same(0, espalier_max_pool2d_forward, espalier_cuda_max_pool2d_forward, x, y, absent(), shape);
      same(0, espalier_max_pool2d_forward, espalier_cuda_max_pool2d_forward, x, y, places, shape);
      same(4 * type.tolerance, espalier_max_pool_backward, espalier_cuda_max_pool_backward, dy, places, dx,
           shape.planes, shape.height * shape.width, shape.out_height * shape.out_width);
    }
}

ESPALIER_CHECK(max_pool_takes_nan) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const Type& type : kTypes) {
    Array x = given({1, nan, 3, nan, 0, 5, -infinity, -infinity, -infinity, -infinity, 2, 2}, type.dtype);
    Array y = result(3, type.dtype), places = result(3, ESPALIER_INT32);
    same(0, espalier_max_pool2d_forward, espalier_cuda_max_pool2d_forward, x, y, places,
         espalier_pool2d{1, 2, 6, 1, 3, 2, 2, 2, 2, 0, 0, 1, 1});
    Array z = result(1, type.dtype), place = result(1, ESPALIER_INT32);
    same(0, espalier_adaptive_max_pool2d_forward, espalier_cuda_adaptive_max_pool2d_forward, x, z, place,
         espalier_adaptive_pool2d{1, 2, 6, 1, 1});
  }
}

ESPALIER_CHECK(max_pool_backward_of_any_indices) {
  for (const int64_t in : {1, 7, 100, 5000, 40000})
    for (const int64_t out : {0, 1, 50, 3000}) {
      const int64_t planes = 3;
      Array dy = random(planes * out), places = integers(planes * out, -1, in, ESPALIER_INT32),
            dx = result(planes * in);
      same(3e-6, espalier_max_pool_backward, espalier_cuda_max_pool_backward, dy, places, dx, planes, in, out);
    }
  Array dy = random(2), places = given({0, 4}, ESPALIER_INT32), dx = result(4);
  ok(espalier_cuda_max_pool_backward(dy.in(), places.in(), dx.out(), 1, 4, 2), "is queued");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "an index outside its plane is an error");
  require(std::string(espalier_last_error()).find("max_pool_backward") != std::string::npos,
          "the error names the call");
}

ESPALIER_CHECK(avg_pool2d) {
  for (const Type& type : kTypes)
    for (const espalier_pool2d& shape : undilated())
      for (const int64_t padding : {0, 1}) {
        Array x = random(in_of(shape), -1, 1, type.dtype), y = result(out_of(shape), type.dtype);
        Array dy = random(out_of(shape), -1, 1, type.dtype), dx = result(in_of(shape), type.dtype);
        same(type.tolerance, espalier_avg_pool2d_forward, espalier_cuda_avg_pool2d_forward, x, padding, y, shape);
        same(type.tolerance, espalier_avg_pool2d_backward, espalier_cuda_avg_pool2d_backward, dy, padding, dx, shape);
      }
}

ESPALIER_CHECK(adaptive_pools) {
  for (const Type& type : kTypes)
    for (const espalier_adaptive_pool2d& shape : adaptive()) {
      Array x = random(in_of(shape), -1, 1, type.dtype), y = result(out_of(shape), type.dtype);
      Array dy = random(out_of(shape), -1, 1, type.dtype), dx = result(in_of(shape), type.dtype);
      same(2 * type.tolerance, espalier_adaptive_avg_pool2d_forward, espalier_cuda_adaptive_avg_pool2d_forward, x, y,
           shape);
      same(2 * type.tolerance, espalier_adaptive_avg_pool2d_backward, espalier_cuda_adaptive_avg_pool2d_backward, dy,
           dx, shape);
      Array ties = integers(in_of(shape), -2, 3, type.dtype), places = result(out_of(shape), ESPALIER_INT32);
      same(0, espalier_adaptive_max_pool2d_forward, espalier_cuda_adaptive_max_pool2d_forward, ties, y, absent(),
           shape);
      same(0, espalier_adaptive_max_pool2d_forward, espalier_cuda_adaptive_max_pool2d_forward, ties, y, places, shape);
    }
}

ESPALIER_CHECK(pools_refuse) {
  Array x = random(64), y = result(16);
  espalier_pool2d shape = pool(1, 8, 8, 2, 2, 0);
  shape.padding_height = 2;
  require(espalier_cuda_max_pool2d_forward(x.in(), y.out(), absent().out(), shape) == ESPALIER_INVALID_ARGUMENT,
          "a padding of more than half a kernel is refused");
  require(espalier_cuda_avg_pool2d_forward(x.in(), 0, y.out(), pool(1, 8, 8, 2, 2, 0, 2)) != ESPALIER_OK,
          "a dilated mean is refused");
}

ESPALIER_BENCH(pool) {
  const espalier_pool2d small = pool(64, 112, 112, 3, 2, 1), shape = pool(256 * 64, 112, 112, 3, 2, 1);
  Array x = random(in_of(small)), y = result(out_of(small)), places = result(out_of(small), ESPALIER_INT32);
  Array dy = random(out_of(small)), dx = result(in_of(small));
  const Large many_x(x, 256), many_y(y, 256), many_places(places, 256), many_dy(dy, 256), many_dx(dx, 256);
  const auto forward = [](const auto& from, const auto& to, const auto& where, const espalier_pool2d& of) {
    ok(espalier_cuda_max_pool2d_forward(from.in(), to.out(), where.out(), of), "forward");
  };
  const auto backward = [](const auto& gradient, const auto& where, const auto& to, const espalier_pool2d& of) {
    ok(espalier_cuda_max_pool_backward(gradient.in(), where.in(), to.out(), of.planes, of.height * of.width,
                                       of.out_height * of.out_width),
       "backward");
  };
  forward(x, y, places, small);
  backward(dy, places, dx, small);
  forward(many_x, many_y, many_places, shape);
  backward(many_dy, many_places, many_dx, shape);
  close(many_y.tail(), y.fetch(), 0, "y");
  close(many_places.tail(), places.fetch(), 0, "indices");
  close(many_dx.tail(), dx.fetch(), 0, "dx");
  const double limit = 4e3 * static_cast<double>(in_of(shape) + 2 * out_of(shape)) / copy_bandwidth();
  report({"pool", "max 3x3 stride 2, 256x64x112x112, forward", "",
          time_ms([&] { forward(many_x, many_y, many_places, shape); }, 10), 0, limit, true});
  report({"pool", "max 3x3 stride 2, 256x64x112x112, backward", "",
          time_ms([&] { backward(many_dy, many_places, many_dx, shape); }, 10), 0, limit, true});
}
