// Functions applied element by element.
#include <initializer_list>
#include <limits>
#include <tuple>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

const std::initializer_list<espalier_dtype> kFloats = {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16,
                                                       ESPALIER_BFLOAT16};
// Sizes about every edge of a pack, a warp, a block and its tile.
const std::initializer_list<int64_t> kSizes = {0,   1,   2,   3,    7,    8,    9,    31,    33,    255,
                                               256, 257, 511, 1023, 1024, 4095, 4096, 16383, 16387, 70001};

double tolerance(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 1e-14;
    case ESPALIER_FLOAT32: return 5e-7;
    case ESPALIER_FLOAT16: return 1e-3;
    default: return 8e-3;
  }
}

struct Range {
  double low, high;
};
// Where a function is defined, and steep enough to show errors.
Range range_of(int kind) {
  switch (kind) {
    case ESPALIER_UNARY_LOG:
    case ESPALIER_UNARY_SQRT:
    case ESPALIER_UNARY_POW: return {0.05, 4};
    case ESPALIER_UNARY_ROUND: return {-20, 20};
    default: return {-4, 4};
  }
}

}  // namespace

ESPALIER_CHECK(unary_forward_and_backward) {
  for (const espalier_dtype dtype : kFloats)
    for (int kind = ESPALIER_UNARY_RELU; kind <= ESPALIER_UNARY_SIGN; ++kind)
      for (const int64_t n : kSizes) {
        if (n > 1024 && kind % 4 != n % 4) continue;
        const auto [low, high] = range_of(kind);
        Array x = random(n, low, high, dtype), y = result(n, dtype), back = result(n, dtype);
        Array grad = random(n, -1, 1, dtype);
        same(tolerance(dtype), espalier_unary_forward, espalier_cuda_unary_forward, kind, 1.7, 2.5, x, y);
        Array value = given(y.fetch(), dtype);
        same(tolerance(dtype), espalier_unary_backward, espalier_cuda_unary_backward, kind, 1.7, 2.5, x, value, grad,
             back);
      }
}

ESPALIER_CHECK(unary_powers) {
  for (const double p : {2.0, 3.0, -1.0, 0.5, 0.0, -2.5}) {
    Array x = random(1001, 0.1, 3), y = result(1001), grad = random(1001), back = result(1001);
    same(1e-6, espalier_unary_forward, espalier_cuda_unary_forward, ESPALIER_UNARY_POW, p, 0.0, x, y);
    Array value = given(y.fetch());
    same(1e-6, espalier_unary_backward, espalier_cuda_unary_backward, ESPALIER_UNARY_POW, p, 0.0, x, value, grad, back);
  }
}

ESPALIER_CHECK(unary_special_values) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (int kind = ESPALIER_UNARY_RELU; kind <= ESPALIER_UNARY_SIGN; ++kind) {
    Array x = given({nan, inf, -inf, 0, -0.0, 1, -1, 2.5, 1.7, 30, -30, 0.5, -0.5}), y = result(13);
    Array grad = given({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, nan, 2}), back = result(13);
    same(1e-6, espalier_unary_forward, espalier_cuda_unary_forward, kind, 1.7, 2.5, x, y);
    Array value = given(y.fetch());
    same(1e-6, espalier_unary_backward, espalier_cuda_unary_backward, kind, 1.7, 2.5, x, value, grad, back);
  }
}

ESPALIER_CHECK(unary_in_place) {
  Array x = random(10007);
  same(1e-6, espalier_unary_forward, espalier_cuda_unary_forward, ESPALIER_UNARY_TANH, 0.0, 0.0, x, x);
}

// An address that is aligned for one element only.
ESPALIER_CHECK(unary_of_a_shifted_array) {
  for (const int64_t shift : {1, 2, 3}) {
    Array x = random(5000), y = result(5000);
    const int64_t n = 5000 - shift;
    ok(espalier_cuda_unary_forward(ESPALIER_UNARY_SQUARE, 0, 0, {x.device<float>() + shift, n, ESPALIER_FLOAT32},
                                   {y.device<float>(), n, ESPALIER_FLOAT32}),
       "square");
    const std::vector<double> got = y.fetch();
    for (int64_t i = 0; i < n; ++i) {
      const float v = static_cast<float>(x.host()[static_cast<size_t>(i + shift)]);
      require(got[static_cast<size_t>(i)] == static_cast<double>(v * v), "the square of a shifted array");
    }
  }
}

ESPALIER_CHECK(binary_forward) {
  for (const espalier_dtype dtype : kFloats)
    for (int kind = ESPALIER_BINARY_ADD; kind <= ESPALIER_BINARY_GREATER; ++kind)
      for (const int64_t n : kSizes) {
        // Whole numbers: some are equal.
        Array a = integers(n, -9, 10, dtype), b = integers(n, 1, 10, dtype), y = result(n, dtype), z = result(n, dtype);
        same(tolerance(dtype), espalier_binary_forward, espalier_cuda_binary_forward, kind, a, b, y);
        same(tolerance(dtype), espalier_binary_scalar, espalier_cuda_binary_scalar, kind, a, 3.0, z);
      }
}

ESPALIER_CHECK(binary_special_values) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (int kind = ESPALIER_BINARY_ADD; kind <= ESPALIER_BINARY_GREATER; ++kind) {
    Array a = given({nan, 1, nan, inf, -inf, 0, inf, 2}), b = given({1, nan, nan, inf, inf, 0, -inf, 2});
    Array y = result(8);
    same(1e-6, espalier_binary_forward, espalier_cuda_binary_forward, kind, a, b, y);
  }
}

ESPALIER_CHECK(accumulate_in_place) {
  for (const espalier_dtype dtype : kFloats)
    for (const int64_t n : kSizes) {
      Array x = random(n, -1, 1, dtype), y = random(n, -1, 1, dtype);
      same(tolerance(dtype), espalier_accumulate, espalier_cuda_accumulate, x, y);
    }
}

ESPALIER_CHECK(binary_middle) {
  struct Shape {
    int64_t outer, n, inner;
  };
  const std::initializer_list<Shape> shapes = {
      {0, 3, 4},  {3, 0, 4},     {3, 4, 0},  {1, 1, 1},    {1, 5, 1},    {5, 1, 1},    {1, 1, 5},   {3, 4, 5},
      {7, 10, 1}, {64, 10, 1},   {2, 3, 4},  {2, 16, 49},  {4, 3, 64},   {1, 33, 17},  {129, 7, 3}, {5, 64, 196},
      {9, 1, 12}, {1, 100, 256}, {6, 12, 8}, {100, 31, 1}, {3, 1000, 2}, {17, 128, 25}};
  for (const espalier_dtype dtype : kFloats)
    for (const auto& [outer, n, inner] : shapes)
      for (const int kind : {ESPALIER_BINARY_ADD, ESPALIER_BINARY_DIV}) {
        Array a = random(outer * n * inner, -1, 1, dtype), b = random(n, 0.5, 2, dtype);
        Array y = result(outer * n * inner, dtype);
        same(tolerance(dtype), espalier_binary_middle, espalier_cuda_binary_middle, kind, outer, n, inner, a, b, y);
        same(tolerance(dtype), espalier_binary_middle, espalier_cuda_binary_middle, kind, outer, n, inner, a, b, a);
      }
}

ESPALIER_CHECK(binary_broadcast) {
  struct Pair {
    std::vector<int64_t> a, b;
    int64_t in_a, in_b, out;
  };
  const std::vector<Pair> pairs = {{{}, {}, 1, 1, 1},
                                   {{5}, {}, 5, 1, 5},
                                   {{}, {7}, 1, 7, 7},
                                   {{3, 4}, {4}, 12, 4, 12},
                                   {{3, 1}, {1, 4}, 3, 4, 12},
                                   {{4, 1, 6}, {5, 1}, 24, 5, 120},
                                   {{2, 3, 4}, {2, 3, 4}, 24, 24, 24},
                                   {{2, 1, 4}, {2, 3, 4}, 8, 24, 24},
                                   {{1, 64, 1, 1}, {8, 64, 7, 7}, 64, 8 * 64 * 49, 8 * 64 * 49},
                                   {{8, 64, 8, 8}, {64, 1, 1}, 8 * 64 * 64, 64, 8 * 64 * 64},
                                   {{0, 4}, {1, 4}, 0, 4, 0},
                                   {{1, 4}, {0, 1}, 4, 0, 0},
                                   {{100, 1}, {1, 100}, 100, 100, 10000},
                                   {{16, 1, 32, 1}, {1, 8, 1, 24}, 512, 192, 16 * 8 * 32 * 24},
                                   {{33, 65}, {33, 1}, 33 * 65, 33, 33 * 65},
                                   {{33, 64}, {33, 1}, 33 * 64, 33, 33 * 64},
                                   {{7, 1, 5, 1, 3}, {1, 2, 1, 4, 3}, 105, 24, 840},
                                   {{1}, {257}, 1, 257, 257},
                                   {{257}, {1}, 257, 1, 257},
                                   {{2, 3, 1, 20}, {1, 3, 11, 20}, 120, 660, 1320},
                                   {{4096, 3}, {3}, 12288, 3, 12288},
                                   {{3}, {4096, 3}, 3, 12288, 12288}};
  for (const espalier_dtype dtype : kFloats)
    for (const Pair& pair : pairs)
      for (const int kind : {ESPALIER_BINARY_SUB, ESPALIER_BINARY_MAXIMUM}) {
        Array a = random(pair.in_a, -1, 1, dtype), b = random(pair.in_b, -1, 1, dtype), y = result(pair.out, dtype);
        same(tolerance(dtype), espalier_binary_broadcast, espalier_cuda_binary_broadcast, kind, dims(pair.a),
             dims(pair.b), a, b, y);
      }
}

ESPALIER_CHECK(elementwise_errors) {
  Array x = random(4), y = result(5), half = random(4, -1, 1, ESPALIER_FLOAT16);
  require(espalier_cuda_unary_forward(ESPALIER_UNARY_EXP, 0, 0, x.in(), y.out()) == ESPALIER_SHAPE_MISMATCH,
          "lengths must agree");
  require(espalier_cuda_binary_forward(ESPALIER_BINARY_ADD, x.in(), half.in(), x.out()) == ESPALIER_DTYPE_MISMATCH,
          "types must agree");
  require(
      espalier_cuda_unary_forward(static_cast<espalier_unary>(99), 0, 0, x.in(), x.out()) == ESPALIER_INVALID_ARGUMENT,
      "a kind there is not");
  const int64_t three[] = {3}, four[] = {4};
  require(espalier_cuda_binary_broadcast(ESPALIER_BINARY_ADD, {three, 1}, {four, 1}, x.in(), x.in(), y.out()) ==
              ESPALIER_SHAPE_MISMATCH,
          "shapes that do not broadcast");
}

namespace {

// The last elements of a large array of a bench.
Array tail_of(void* data, int64_t n, espalier_dtype dtype, int64_t bytes, int64_t count) {
  Array copy = result(count, dtype);
  ok(espalier_cuda_copy(static_cast<char*>(data) + (n - count) * bytes, copy.device<char>(), count * bytes), "copy");
  return given(copy.fetch(), dtype);
}

}  // namespace

ESPALIER_BENCH(elementwise) {
  const int64_t n = int64_t{1} << 28, count = 4096;
  for (const auto& [dtype, bytes, type] :
       {std::tuple{ESPALIER_FLOAT32, int64_t{4}, "float32"}, std::tuple{ESPALIER_BFLOAT16, int64_t{2}, "bfloat16"}}) {
    void *x = nullptr, *y = nullptr, *z = nullptr, *bias = nullptr;
    for (void** const each : {&x, &y, &z}) ok(espalier_cuda_allocate(n * bytes, each), "allocate");
    ok(espalier_cuda_allocate(count * bytes, &bias), "allocate");
    int64_t used = 0;
    ok(espalier_cuda_random_normal(1, 0, 0, 1, {x, n, dtype}, &used), "normal");
    ok(espalier_cuda_random_normal(2, 0, 0, 1, {z, n, dtype}, &used), "normal");
    ok(espalier_cuda_random_normal(3, 0, 0, 1, {bias, count, dtype}, &used), "normal");
    const espalier_in in{x, n, dtype}, other{z, n, dtype};
    const espalier_out out{y, n, dtype};
    Array last_x = tail_of(x, n, dtype, bytes, count), last_z = tail_of(z, n, dtype, bytes, count);
    Array added = tail_of(bias, count, dtype, bytes, count);

    // `arrays` arrays of n elements pass through memory; cpu makes of the last elements what must have come out.
    const auto time = [&, dtype = dtype, bytes = bytes, type = type](
                          const std::string& name, int arrays, const std::function<espalier_status()>& run,
                          const std::function<espalier_status(espalier_out)>& cpu) {
      const double ms = time_ms([&] { ok(run(), name.c_str()); });
      Array expected = result(count, dtype);
      ok(cpu(expected.host_out()), "host");
      expected.host_written();
      close(tail_of(y, n, dtype, bytes, count).host(), expected.host(), tolerance(dtype), name.c_str());
      const double limit = static_cast<double>(arrays * n * bytes) / copy_bandwidth() * 1e3;
      report({"elementwise", name + " of 2^28 " + type, "copy", ms, limit, limit, true});
    };
    for (const auto& [name, kind] : {std::pair{"relu", ESPALIER_UNARY_RELU}, std::pair{"exp", ESPALIER_UNARY_EXP},
                                     std::pair{"gelu", ESPALIER_UNARY_GELU}, std::pair{"tanh", ESPALIER_UNARY_TANH}})
      time(
          name, 2, [&, kind = kind] { return espalier_cuda_unary_forward(kind, 0, 0, in, out); },
          [&, kind = kind](espalier_out to) { return espalier_unary_forward(kind, 0, 0, last_x.host_in(), to); });
    time(
        "gelu gradient", 4, [&] { return espalier_cuda_unary_backward(ESPALIER_UNARY_GELU, 0, 0, in, in, other, out); },
        [&](espalier_out to) {
          return espalier_unary_backward(ESPALIER_UNARY_GELU, 0, 0, last_x.host_in(), last_x.host_in(),
                                         last_z.host_in(), to);
        });
    time(
        "add", 3, [&] { return espalier_cuda_binary_forward(ESPALIER_BINARY_ADD, in, other, out); },
        [&](espalier_out to) {
          return espalier_binary_forward(ESPALIER_BINARY_ADD, last_x.host_in(), last_z.host_in(), to);
        });
    time(
        "bias per column (4096)", 2,
        [&, dtype = dtype] {
          return espalier_cuda_binary_middle(ESPALIER_BINARY_ADD, n / count, count, 1, in, {bias, count, dtype}, out);
        },
        [&](espalier_out to) {
          return espalier_binary_forward(ESPALIER_BINARY_ADD, last_x.host_in(), added.host_in(), to);
        });
    for (const int64_t plane : {int64_t{64 * 64}, int64_t{7 * 7}}) {
      // As many whole images of 256 channels as there is room for, at the end of the arrays.
      const int64_t images = n / (256 * plane), size = images * 256 * plane, skipped = n - size;
      char *const from = static_cast<char*>(x) + skipped * bytes, *const to = static_cast<char*>(y) + skipped * bytes;
      time(
          "bias per channel, planes of " + std::to_string(plane), 2,
          [&, dtype = dtype] {
            return espalier_cuda_binary_middle(ESPALIER_BINARY_ADD, images, 256, plane, {from, size, dtype},
                                               {bias, 256, dtype}, {to, size, dtype});
          },
          [&](espalier_out made) {
            std::vector<double> of(static_cast<size_t>(count));
            for (int64_t i = 0; i < count; ++i)
              of[static_cast<size_t>(i)] = added.host()[static_cast<size_t>((size - count + i) / plane % 256)];
            Array channel = given(of, ESPALIER_FLOAT64);
            return espalier_binary_forward(ESPALIER_BINARY_ADD, last_x.host_in(), channel.host_in(), made);
          });
    }
    for (void* const each : {x, y, z, bias}) ok(espalier_cuda_free(each), "free");
  }
}
