// Random numbers: the same as the CPU's for a seed and counter.
#include <cmath>
#include <functional>
#include <vector>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

const std::initializer_list<int64_t> kSizes = {0,  1,   2,   3,   4,    5,    7,    8,    9,     31,    32,
                                               33, 127, 128, 129, 1000, 1023, 4096, 4099, 65536, 70001, 300007};

using Draw = espalier_status(int64_t seed, int64_t counter, espalier_out y, int64_t* used);

// Numbers of both sides in float32 (float64): as many blocks used, and no number further off than `tolerance`.
template <class T>
void agree(espalier_dtype dtype, double tolerance, const std::function<Draw>& cpu, const std::function<Draw>& device) {
  for (const int64_t n : kSizes)
    for (const int64_t counter : {int64_t{0}, int64_t{5}, (int64_t{1} << 32) - 3, (int64_t{1} << 53) - 1}) {
      const int64_t seed = 7 + n * 1000003 * (counter % 7);
      std::vector<T> numbers(static_cast<size_t>(n));
      Array y = result(n, dtype);
      int64_t used_here = -1, used_there = -1;
      ok(cpu(seed, counter, {numbers.data(), n, dtype}, &used_here), "host");
      ok(device(seed, counter, y.out(), &used_there), "device");
      require(used_here == used_there, "as many blocks are used");
      const std::vector<double> got = y.fetch();
      for (size_t i = 0; i < got.size(); ++i)
        if (!(std::fabs(got[i] - static_cast<double>(numbers[i])) <= tolerance))
          mismatch("number %zu of %lld from counter %lld is %.9g, expected %.9g", i, static_cast<long long>(n),
                   static_cast<long long>(counter), got[i], static_cast<double>(numbers[i]));
    }
}

}  // namespace

ESPALIER_CHECK(random_uniform) {
  const auto draw = [](auto function) {
    return [function](int64_t seed, int64_t counter, espalier_out y, int64_t* used) {
      return function(seed, counter, -1.5, 2.5, y, used);
    };
  };
  // A rounding more or less where the CPU does not fuse.
  agree<float>(ESPALIER_FLOAT32, 2.5e-7, draw(espalier_random_uniform), draw(espalier_cuda_random_uniform));
  agree<double>(ESPALIER_FLOAT64, 5e-16, draw(espalier_random_uniform), draw(espalier_cuda_random_uniform));
}

ESPALIER_CHECK(random_normal) {
  const auto draw = [](auto function) {
    return [function](int64_t seed, int64_t counter, espalier_out y, int64_t* used) {
      return function(seed, counter, 0.25, 2.0, y, used);
    };
  };
  agree<float>(ESPALIER_FLOAT32, 4e-6, draw(espalier_random_normal), draw(espalier_cuda_random_normal));
  agree<double>(ESPALIER_FLOAT64, 2e-14, draw(espalier_random_normal), draw(espalier_cuda_random_normal));
}

ESPALIER_CHECK(random_bernoulli) {
  for (const double p : {0.0, 0.1, 0.5, 0.9, 1.0}) {
    const auto draw = [p](auto function) {
      return [function, p](int64_t seed, int64_t counter, espalier_out y, int64_t* used) {
        return function(seed, counter, p, 1.25, y, used);
      };
    };
    agree<float>(ESPALIER_FLOAT32, 0, draw(espalier_random_bernoulli), draw(espalier_cuda_random_bernoulli));
    agree<double>(ESPALIER_FLOAT64, 0, draw(espalier_random_bernoulli), draw(espalier_cuda_random_bernoulli));
  }
}

ESPALIER_CHECK(random_permutation) {
  const auto draw = [](auto function) {
    return [function](int64_t seed, int64_t counter, espalier_out y, int64_t* used) {
      return function(seed, counter, y, used);
    };
  };
  agree<int32_t>(ESPALIER_INT32, 0, draw(espalier_random_permutation), draw(espalier_cuda_random_permutation));
}

// Of 16 bits: the float32 numbers, rounded.
ESPALIER_CHECK(random_of_16_bits) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const int64_t n : kSizes) {
      Array full = result(n), half = result(n, dtype), rounded = result(n, dtype);
      int64_t used = 0, used_half = 0;
      ok(espalier_cuda_random_normal(3, 11, 0, 1, full.out(), &used), "normal");
      ok(espalier_cuda_random_normal(3, 11, 0, 1, half.out(), &used_half), "normal");
      ok(espalier_cuda_cast(full.in(), rounded.out()), "cast");
      require(used == used_half, "as many blocks are used");
      close(half.fetch(), rounded.fetch(), 0, "rounded");
    }
}

ESPALIER_CHECK(random_of_a_shifted_array) {
  Array whole = result(1003), shifted = result(1003);
  int64_t used = 0;
  ok(espalier_cuda_random_uniform(1, 2, 0, 1, {whole.device<float>(), 1000, ESPALIER_FLOAT32}, &used), "uniform");
  ok(espalier_cuda_random_uniform(1, 2, 0, 1, {shifted.device<float>() + 3, 1000, ESPALIER_FLOAT32}, &used), "uniform");
  const std::vector<double> first = whole.fetch(), second = shifted.fetch();
  close({second.begin() + 3, second.end()}, {first.begin(), first.begin() + 1000}, 0, "the same numbers");
}

ESPALIER_CHECK(random_errors) {
  Array y = result(4), whole = result(4, ESPALIER_INT32);
  int64_t used = 0;
  require(espalier_cuda_random_uniform(-1, 0, 0, 1, y.out(), &used) == ESPALIER_INVALID_ARGUMENT, "seed");
  require(espalier_cuda_random_bernoulli(1, 0, 1.5, 1, y.out(), &used) == ESPALIER_INVALID_ARGUMENT, "p");
  require(espalier_cuda_random_uniform(1, 0, 0, 1, whole.out(), &used) == ESPALIER_DTYPE_MISMATCH, "type");
  require(espalier_cuda_random_permutation(1, 0, y.out(), &used) == ESPALIER_DTYPE_MISMATCH, "type");
}

ESPALIER_BENCH(random) {
  const int64_t n = int64_t{1} << 28;
  void* y = nullptr;
  ok(espalier_cuda_allocate(n * 4, &y), "allocate");
  const double limit = static_cast<double>(n * 4) / copy_bandwidth() * 1e3;
  int64_t used = 0;
  const auto time = [&](const char* name, const std::function<Draw>& draw, const std::function<Draw>& cpu) {
    const double ms = time_ms([&] { ok(draw(1, 0, {y, n, ESPALIER_FLOAT32}, &used), name); });
    std::vector<float> head(1000);
    Array first = result(1000);
    ok(espalier_cuda_copy(y, first.device<float>(), 4000), "copy");
    ok(cpu(1, 0, {head.data(), 1000, ESPALIER_FLOAT32}, &used), "host");
    close(first.fetch(), {head.begin(), head.end()}, 1e-6, name);
    report({"random", std::string(name) + " 2^28 float32", "copy", ms, limit, limit, true});
  };
  time(
      "uniform",
      [](int64_t s, int64_t c, espalier_out to, int64_t* u) { return espalier_cuda_random_uniform(s, c, 0, 1, to, u); },
      [](int64_t s, int64_t c, espalier_out to, int64_t* u) { return espalier_random_uniform(s, c, 0, 1, to, u); });
  time(
      "normal",
      [](int64_t s, int64_t c, espalier_out to, int64_t* u) { return espalier_cuda_random_normal(s, c, 0, 1, to, u); },
      [](int64_t s, int64_t c, espalier_out to, int64_t* u) { return espalier_random_normal(s, c, 0, 1, to, u); });
  ok(espalier_cuda_free(y), "free");
}
