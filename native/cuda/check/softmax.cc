// Softmax and its logarithm.
#include <limits>
#include <tuple>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

const std::initializer_list<espalier_dtype> kFloats = {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16,
                                                       ESPALIER_BFLOAT16};
double tolerance(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 1e-13;
    case ESPALIER_FLOAT32: return 2e-6;
    case ESPALIER_FLOAT16: return 2e-3;
    default: return 1e-2;
  }
}

// Lengths about the edges between registers, shared memory and neither.
const std::vector<espalier_strip> kStrips = {
    {0, 5, 1},     {5, 0, 1},     {1, 1, 1},     {3, 10, 1},     {100, 10, 1}, {7, 32, 1},   {7, 33, 1},
    {5, 64, 1},    {3, 128, 1},   {3, 250, 1},   {3, 256, 1},    {2, 257, 1},  {2, 512, 1},  {2, 513, 1},
    {9, 1000, 1},  {2, 1023, 1},  {2, 1024, 1},  {3, 1025, 1},   {2, 1032, 1}, {2, 4096, 1}, {2, 4099, 1},
    {2, 20000, 1}, {1, 50000, 1}, {1, 50001, 1}, {1, 130000, 1}, {2, 5, 3},    {1, 7, 64},   {3, 100, 33},
    {2, 21, 400},  {1, 1000, 5},  {70, 3, 1000}, {1, 3000, 2},   {4, 2, 257}};

}  // namespace

ESPALIER_CHECK(softmax_forward_and_backward) {
  for (const espalier_dtype dtype : kFloats)
    for (const espalier_strip& strip : kStrips) {
      const int64_t size = strip.outer * strip.length * strip.inner;
      Array x = random(size, -6, 6, dtype), dy = random(size, -1, 1.2, dtype);
      Array y = result(size, dtype), log_y = result(size, dtype), dx = result(size, dtype);
      same(tolerance(dtype), espalier_softmax_forward, espalier_cuda_softmax_forward, x, y, strip);
      Array value = given(y.fetch(), dtype);
      same(tolerance(dtype), espalier_softmax_backward, espalier_cuda_softmax_backward, dy, value, dx, strip);
      same(tolerance(dtype), espalier_log_softmax_forward, espalier_cuda_log_softmax_forward, x, log_y, strip);
      Array log_value = given(log_y.fetch(), dtype);
      same(tolerance(dtype), espalier_log_softmax_backward, espalier_cuda_log_softmax_backward, dy, log_value, dx,
           strip);
    }
}

ESPALIER_CHECK(softmax_of_special_values) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const int64_t length : {4, 40, 400, 1000, 2000, 70000})
    for (const int64_t inner : {1, 3})
      for (const std::vector<double>& begin : std::vector<std::vector<double>>{
               {-inf}, {nan}, {inf}, {1e30, -1e30}, {-inf, -inf, 3}, {200, 100, -200}, {inf, nan}}) {
        std::vector<double> values(static_cast<size_t>(length * inner), 0.5);
        for (size_t i = 0; i < begin.size(); ++i) values[i * static_cast<size_t>(inner)] = begin[i];
        Array x = given(values), y = result(length * inner);
        const espalier_strip strip{1, length, inner};
        same(2e-6, espalier_softmax_forward, espalier_cuda_softmax_forward, x, y, strip);
        same(2e-6, espalier_log_softmax_forward, espalier_cuda_log_softmax_forward, x, y, strip);
      }
  for (const int64_t length : {4, 1000, 2000, 70000}) {
    Array x = given(std::vector<double>(static_cast<size_t>(length), -inf)), y = result(length);
    same(1e-6, espalier_softmax_forward, espalier_cuda_softmax_forward, x, y, espalier_strip{1, length, 1});
  }
}

ESPALIER_CHECK(softmax_of_a_shifted_array) {
  for (const int64_t length : {100, 1000, 4000, 100000}) {
    Array x = random(length + 1), y = result(length + 1), whole = given({x.host().begin() + 1, x.host().end()});
    Array expected = result(length);
    ok(espalier_cuda_softmax_forward({x.device<float>() + 1, length, ESPALIER_FLOAT32},
                                     {y.device<float>() + 1, length, ESPALIER_FLOAT32}, {1, length, 1}),
       "softmax");
    ok(espalier_softmax_forward(whole.host_in(), expected.host_out(), {1, length, 1}), "host");
    expected.host_written();
    std::vector<double> got = y.fetch();
    close({got.begin() + 1, got.end()}, expected.host(), 2e-6, "softmax of a shifted array");
  }
}

ESPALIER_BENCH(softmax) {
  for (const auto& [dtype, bytes, type] :
       {std::tuple{ESPALIER_FLOAT32, int64_t{4}, "float32"}, std::tuple{ESPALIER_BFLOAT16, int64_t{2}, "bfloat16"}})
    for (const int64_t length : {int64_t{1000}, int64_t{4096}, int64_t{50000}}) {
      const int64_t rows = (int64_t{1} << 27) / length, n = rows * length;
      void *x = nullptr, *y = nullptr, *dy = nullptr;
      for (void** const each : {&x, &y, &dy}) ok(espalier_cuda_allocate(n * bytes, each), "allocate");
      int64_t used = 0;
      ok(espalier_cuda_random_normal(1, 0, 0, 2, {x, n, dtype}, &used), "normal");
      const espalier_strip strip{rows, length, 1}, last{1, length, 1};
      const auto row = [&, dtype = dtype, bytes = bytes](void* from) {
        Array copy = result(length, dtype);
        ok(espalier_cuda_copy(static_cast<char*>(from) + (n - length) * bytes, copy.device<char>(), length * bytes),
           "copy");
        return given(copy.fetch(), dtype);
      };
      const double forward = time_ms([&, dtype = dtype] {
        ok(espalier_cuda_softmax_forward({x, n, dtype}, {y, n, dtype}, strip), "softmax");
      });
      Array in = row(x), made = row(y), expected = result(length, dtype);
      ok(espalier_softmax_forward(in.host_in(), expected.host_out(), last), "host");
      expected.host_written();
      close(made.host(), expected.host(), tolerance(dtype), "softmax");
      const double limit = static_cast<double>(n * bytes) / copy_bandwidth() * 1e3;
      const std::string of = " of " + std::to_string(rows) + " rows of " + std::to_string(length) + " " + type;
      report({"softmax", "softmax" + of, "copy", forward, 2 * limit, 2 * limit, true});
      const double backward = time_ms([&, dtype = dtype] {
        ok(espalier_cuda_softmax_backward({x, n, dtype}, {y, n, dtype}, {dy, n, dtype}, strip), "softmax gradient");
      });
      Array slope = result(length, dtype);
      ok(espalier_softmax_backward(in.host_in(), made.host_in(), slope.host_out(), last), "host");
      slope.host_written();
      close(row(dy).host(), slope.host(), tolerance(dtype), "softmax gradient");
      report({"softmax", "gradient" + of, "copy", backward, 3 * limit, 3 * limit, true});
      for (void* const each : {x, y, dy}) ok(espalier_cuda_free(each), "free");
    }
}
