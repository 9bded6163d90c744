// Update rules.
#include <cmath>
#include <limits>

#include "cuda/check/large.h"
#include "cuda/check/types.h"

using namespace espalier::check;

namespace {

const int64_t kSizes[] = {0,   1,   2,   3,    4,    5,    7,     8,     9,      31,           64,
                          100, 255, 257, 1000, 1023, 4096, 10007, 65536, 100001, (1 << 18) + 3};

// Master weights of float32 whatever the gradient.
struct Masters {
  espalier_dtype parameter, gradient, mask;
};
const Masters kMasters[] = {{ESPALIER_FLOAT32, ESPALIER_FLOAT32, ESPALIER_FLOAT32},
                            {ESPALIER_FLOAT64, ESPALIER_FLOAT64, ESPALIER_FLOAT64},
                            {ESPALIER_FLOAT32, ESPALIER_FLOAT16, ESPALIER_FLOAT32},
                            {ESPALIER_FLOAT32, ESPALIER_BFLOAT16, ESPALIER_FLOAT32}};

constexpr double kNear = 2e-6;

}  // namespace

ESPALIER_CHECK(sgd_step) {
  for (const Masters& m : kMasters)
    for (const int64_t n : kSizes)
      for (int kind = 0; kind < 6; ++kind) {
        Array p = random(n, -1, 1, m.parameter), g = random(n, -1, 1, m.gradient), v = random(n, -1, 1, m.parameter);
        Array keep = mask(n, 0.7, m.mask);
        const double momentum = kind == 0 ? 0 : 0.9;
        const auto rule = kind % 2 == 0 ? ESPALIER_MASK_RULE_GRADIENT : ESPALIER_MASK_RULE_FREEZE;
        Array none;
        same(kNear, espalier_sgd_step, espalier_cuda_sgd_step, p, g, kind == 0 ? none : v, kind == 1 ? none : keep,
             rule, 0.05, momentum, kind == 2 ? 0.1 : 0, kind >= 2 ? 0.01 : 0, kind == 3, kind == 4, kind == 5);
      }
}

ESPALIER_CHECK(adam_step) {
  for (const Masters& m : kMasters)
    for (const int64_t n : kSizes)
      for (int kind = 0; kind < 5; ++kind) {
        Array p = random(n, -1, 1, m.parameter), g = random(n, -1, 1, m.gradient), none;
        Array mean = random(n, -0.1, 0.1, m.parameter), square = random(n, 0.1, 0.5, m.parameter);
        Array largest = random(n, 0.1, 0.5, m.parameter), keep = mask(n, 0.7, m.mask);
        const auto rule = kind % 2 == 0 ? ESPALIER_MASK_RULE_GRADIENT : ESPALIER_MASK_RULE_FREEZE;
        same(kNear, espalier_adam_step, espalier_cuda_adam_step, p, g, mean, square, kind == 2 ? largest : none,
             kind == 1 ? none : keep, rule, 10, 0.01, 0.9, 0.999, 1e-8, kind >= 3 ? 0.1 : 0, kind == 4, kind == 1);
      }
}

ESPALIER_CHECK(rmsprop_step) {
  for (const Masters& m : kMasters)
    for (const int64_t n : kSizes)
      for (int kind = 0; kind < 4; ++kind) {
        Array p = random(n, -1, 1, m.parameter), g = random(n, -1, 1, m.gradient), none;
        Array square = random(n, 0.5, 1, m.parameter), mean = random(n, -0.1, 0.1, m.parameter);
        Array v = random(n, -1, 1, m.parameter), keep = mask(n, 0.7, m.mask);
        const auto rule = kind % 2 == 0 ? ESPALIER_MASK_RULE_GRADIENT : ESPALIER_MASK_RULE_FREEZE;
        same(kNear, espalier_rmsprop_step, espalier_cuda_rmsprop_step, p, g, square, kind == 2 ? mean : none,
             kind == 3 ? v : none, kind == 1 ? none : keep, rule, 0.01, 0.99, 1e-8, kind >= 2 ? 0.1 : 0,
             kind == 3 ? 0.9 : 0, kind == 1);
      }
}

ESPALIER_CHECK(masks_of_bytes) {
  for (const int64_t n : {1, 5, 64, 1001}) {
    const Array wide = mask(n, 0.5), bytes = given(wide.host(), ESPALIER_UINT8), g = random(n);
    const std::vector<double> start = random(n).host();
    for (const auto rule : {ESPALIER_MASK_RULE_GRADIENT, ESPALIER_MASK_RULE_FREEZE}) {
      Array p = given(start), q = given(start), v = given(start), w = given(start);
      ok(espalier_cuda_sgd_step(p.out(), g.in(), v.out(), wide.in(), rule, 0.1, 0.9, 0, 0.01, 0, 0, 0), "step");
      ok(espalier_cuda_sgd_step(q.out(), g.in(), w.out(), bytes.in(), rule, 0.1, 0.9, 0, 0.01, 0, 0, 0), "step");
      close(q.fetch(), p.fetch(), 0, "a mask of bytes");
      close(w.fetch(), v.fetch(), 0, "the velocity with a mask of bytes");
    }
  }
}

ESPALIER_CHECK(steps_write_a_copy) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const int64_t n : {0, 1, 7, 8, 9, 1000, 4097}) {
      Array p = random(n), copy = result(n, dtype), g = random(n, -1, 1, dtype), none;
      Array a = random(n, -0.1, 0.1), b = random(n, 0.1, 0.5), c = random(n, 0.1, 0.5);
      const auto rounded = [&] { return given(p.fetch(), dtype).host(); };
      ok(espalier_cuda_mixed_sgd_step(p.out(), copy.out(), g.in(), a.out(), none.in(), ESPALIER_MASK_RULE_GRADIENT, 0.1,
                                      0.9, 0, 0, 0, 0, 0),
         "sgd");
      close(copy.fetch(), rounded(), 0, "the copy of sgd");
      ok(espalier_cuda_mixed_adam_step(p.out(), copy.out(), g.in(), a.out(), b.out(), none.out(), none.in(),
                                       ESPALIER_MASK_RULE_GRADIENT, 3, 0.1, 0.9, 0.99, 1e-8, 0, 0, 0),
         "adam");
      close(copy.fetch(), rounded(), 0, "the copy of adam");
      ok(espalier_cuda_mixed_rmsprop_step(p.out(), copy.out(), g.in(), c.out(), none.out(), none.out(), none.in(),
                                          ESPALIER_MASK_RULE_GRADIENT, 0.1, 0.9, 1e-8, 0, 0, 0),
         "rmsprop");
      close(copy.fetch(), rounded(), 0, "the copy of rmsprop");
    }
}

ESPALIER_CHECK(gradient_limits) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  for (const Type& type : kTypes) {
    for (const int64_t n : kSizes) {
      Array x = random(n, -1, 1, type.dtype), y = result(n, type.dtype);
      same(type.tolerance, espalier_scale_gradient, espalier_cuda_scale_gradient, x, 0.37, y);
      same(type.tolerance, espalier_clamp_gradient, espalier_cuda_clamp_gradient, x, 0.5, y);
      same(type.tolerance, espalier_scale_gradient, espalier_cuda_scale_gradient, x, 0.37, x);
      same(type.tolerance, espalier_clamp_gradient, espalier_cuda_clamp_gradient, x, 0.125, x);
    }
    Array x = given({nan, infinity, -infinity, 0.25, -0.75}, type.dtype), y = result(5, type.dtype);
    same(0, espalier_clamp_gradient, espalier_cuda_clamp_gradient, x, 0.5, y);
  }
}

ESPALIER_CHECK(steps_refuse) {
  Array p = random(4), g = random(4), v = random(3), none, wrong = integers(4, 0, 2);
  require(espalier_cuda_sgd_step(p.out(), g.in(), v.out(), none.in(), ESPALIER_MASK_RULE_GRADIENT, 0.1, 0.9, 0, 0, 0, 0,
                                 0) == ESPALIER_SHAPE_MISMATCH,
          "a velocity of another length is refused");
  require(espalier_cuda_sgd_step(p.out(), wrong.in(), none.out(), none.in(), ESPALIER_MASK_RULE_GRADIENT, 0.1, 0, 0, 0,
                                 0, 0, 0) == ESPALIER_DTYPE_MISMATCH,
          "a gradient of integers is refused");
  require(espalier_cuda_sgd_step(p.out(), g.in(), none.out(), none.in(), ESPALIER_MASK_RULE_GRADIENT, 0.1, 0, 0, 0, 2,
                                 0, 0) == ESPALIER_INVALID_ARGUMENT,
          "a flag of 2 is refused");
  require(espalier_cuda_mixed_sgd_step(p.out(), none.out(), g.in(), none.out(), none.in(), ESPALIER_MASK_RULE_GRADIENT,
                                       0.1, 0, 0, 0, 0, 0, 0) == ESPALIER_DTYPE_MISMATCH,
          "a mixed step takes 16-bit gradients alone");
  close(p.fetch(), p.host(), 0, "the parameter after refused steps");
}

namespace {

// One parameter with all that a step may read and write.
template <class A>
struct Trained {
  A parameter, copy, gradient, first, second, mask;
};

// Times a step of 256 M weights, and holds its last piece against the same step of that piece alone.
template <class Step>
void bench_step(const char* name, int64_t bytes_each, espalier_dtype gradient, espalier_dtype mask_dtype, Step step) {
  constexpr int64_t kPiece = 1 << 20, kTimes = 256;
  Trained<Array> small{random(kPiece),
                       given(std::vector<double>(kPiece), gradient),
                       random(kPiece, -1, 1, gradient),
                       random(kPiece, -0.1, 0.1),
                       random(kPiece, 0.1, 0.5),
                       mask(kPiece, 0.5, mask_dtype)};
  const Trained<Large> large{{small.parameter, kTimes}, {small.copy, kTimes},   {small.gradient, kTimes},
                             {small.first, kTimes},     {small.second, kTimes}, {small.mask, kTimes}};
  step(large);
  step(small);
  close(large.parameter.tail(), small.parameter.fetch(), 0, "the parameter");
  close(large.copy.tail(), small.copy.fetch(), 0, "the copy");
  close(large.first.tail(), small.first.fetch(), 0, "the first state");
  close(large.second.tail(), small.second.fetch(), 0, "the second state");
  const double limit = static_cast<double>(kPiece * kTimes * bytes_each) / copy_bandwidth() * 1e3;
  report({"masked_step", name, "", time_ms([&] { step(large); }), 0, limit, true});
}

constexpr auto kRule = ESPALIER_MASK_RULE_GRADIENT;

}  // namespace

ESPALIER_BENCH(masked_steps) {
  const auto sgd = [](const auto& t) {
    ok(espalier_cuda_sgd_step(t.parameter.out(), t.gradient.in(), t.first.out(), t.mask.in(), kRule, 0.1, 0.9, 0, 1e-4,
                              0, 0, 0),
       "sgd");
  };
  const auto adam = [](const auto& t) {
    ok(espalier_cuda_adam_step(t.parameter.out(), t.gradient.in(), t.first.out(), t.second.out(), {}, t.mask.in(),
                               kRule, 5, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 0),
       "adam");
  };
  const auto mixed_adam = [](const auto& t) {
    ok(espalier_cuda_mixed_adam_step(t.parameter.out(), t.copy.out(), t.gradient.in(), t.first.out(), t.second.out(),
                                     {}, t.mask.in(), kRule, 5, 1e-3, 0.9, 0.999, 1e-8, 0.01, 1, 0),
       "adam");
  };
  bench_step("sgd momentum, float32 mask, 256 M", 4 * 6, ESPALIER_FLOAT32, ESPALIER_FLOAT32, sgd);
  bench_step("sgd momentum, uint8 mask, 256 M", 4 * 5 + 1, ESPALIER_FLOAT32, ESPALIER_UINT8, sgd);
  bench_step("adam, float32 mask, 256 M", 4 * 8, ESPALIER_FLOAT32, ESPALIER_FLOAT32, adam);
  bench_step("adam, uint8 mask, 256 M", 4 * 7 + 1, ESPALIER_FLOAT32, ESPALIER_UINT8, adam);
  bench_step("adam, bfloat16 gradient and copy, uint8 mask", 4 * 6 + 2 + 2 + 1, ESPALIER_BFLOAT16, ESPALIER_UINT8,
             mixed_adam);
}
