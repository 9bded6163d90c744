// Losses.
#include <algorithm>
#include <limits>
#include <string>
#include <tuple>

#include "cuda/check/check.h"

using namespace espalier::check;

namespace {

const std::initializer_list<espalier_dtype> kFloats = {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16,
                                                       ESPALIER_BFLOAT16};
// Losses, weights and what is kept stay float32 beside scores of 16 bits.
espalier_dtype wide(espalier_dtype dtype) { return dtype == ESPALIER_FLOAT64 ? dtype : ESPALIER_FLOAT32; }

int64_t losses(espalier_reduction reduction, int64_t count) { return reduction == ESPALIER_REDUCTION_NONE ? count : 1; }
// The gradient of a loss. That of a mean is large, so that float16 has normal numbers for what comes of it.
Array loss_gradient(espalier_reduction reduction, int64_t count, espalier_dtype dtype) {
  const double size = reduction == ESPALIER_REDUCTION_MEAN && count > 0 ? static_cast<double>(count) : 1;
  return random(losses(reduction, count), 0.5 * size, size, wide(dtype));
}

// Of what is wide, and of gradients in the type of the scores.
double sharp(espalier_dtype dtype) { return dtype == ESPALIER_FLOAT64 ? 1e-13 : 3e-6; }
double tolerance(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 1e-13;
    case ESPALIER_FLOAT32: return 3e-6;
    case ESPALIER_FLOAT16: return 2e-3;
    default: return 1e-2;
  }
}

const std::initializer_list<espalier_reduction> kReductions = {ESPALIER_REDUCTION_NONE, ESPALIER_REDUCTION_MEAN,
                                                               ESPALIER_REDUCTION_SUM};

const std::vector<espalier_class_rows> kRows = {
    {0, 10},   {1, 1},    {1, 10},   {3, 2},    {64, 10},   {100, 7},  {7, 64},  {5, 65},  {33, 100},  {2, 257},
    {9, 1000}, {4, 4096}, {3, 4097}, {2, 5003}, {1, 50257}, {5000, 3}, {300, 8}, {70, 33}, {2, 20000}, {17, 1024}};

}  // namespace

ESPALIER_CHECK(cross_entropy) {
  for (const espalier_dtype dtype : kFloats)
    for (const espalier_class_rows& shape : kRows)
      for (const espalier_reduction reduction : kReductions)
        for (const double smoothing : {0.0, 0.1}) {
          const auto [rows, classes] = shape;
          // Close to each other: the logarithm of a sum barely above 1 has few digits.
          Array x = random(rows * classes, -2, 2, dtype), target = integers(rows, 0, classes);
          Array weight = smoothing == 0 ? absent() : random(classes, 0.5, 2, wide(dtype));
          Array loss = result(losses(reduction, rows), wide(dtype)), kept = result(2 * rows + 1, wide(dtype));
          // Target 1 is ignored.
          const int64_t ignored = rows > 2 ? 1 : -100;
          same(3 * sharp(dtype), espalier_cross_entropy_forward, espalier_cuda_cross_entropy_forward, x, target, weight,
               reduction, ignored, smoothing, loss, kept, shape);
          Array dloss = loss_gradient(reduction, rows, dtype), dx = result(rows * classes, dtype);
          Array keep = given(kept.fetch(), wide(dtype));
          // Of a single class the gradient is 0, of which a share of rounding is left; of two or three, where the
          // target's probability is nearly 1, a few digits.
          if (classes == 1) continue;
          same(std::max(tolerance(dtype), 10 * sharp(dtype)), espalier_cross_entropy_backward,
               espalier_cuda_cross_entropy_backward, dloss, x, target, weight, reduction, ignored, smoothing, keep, dx,
               shape);
        }
}

ESPALIER_CHECK(soft_cross_entropy) {
  for (const espalier_dtype dtype : kFloats)
    for (const espalier_class_rows& shape : kRows)
      for (const espalier_reduction reduction : kReductions)
        for (const double smoothing : {0.0, 0.2}) {
          const auto [rows, classes] = shape;
          Array x = random(rows * classes, -5, 5, dtype), target = random(rows * classes, 0, 1, dtype);
          Array weight = smoothing == 0 ? absent() : random(classes, 0.5, 2, wide(dtype));
          Array loss = result(losses(reduction, rows), wide(dtype));
          // The last of `kept` is not written, on either side.
          Array untouched = given(std::vector<double>(static_cast<size_t>(2 * rows + 1), 7.0), wide(dtype));
          same(sharp(dtype), espalier_soft_cross_entropy_forward, espalier_cuda_soft_cross_entropy_forward, x, target,
               weight, reduction, smoothing, loss, untouched, shape);
          Array dloss = loss_gradient(reduction, rows, dtype), keep = given(untouched.fetch(), wide(dtype));
          Array dx = result(rows * classes, dtype), dtarget = result(rows * classes, dtype), none = absent();
          same(tolerance(dtype), espalier_soft_cross_entropy_backward, espalier_cuda_soft_cross_entropy_backward, dloss,
               x, target, weight, reduction, smoothing, keep, dx, dtarget, shape);
          same(tolerance(dtype), espalier_soft_cross_entropy_backward, espalier_cuda_soft_cross_entropy_backward, dloss,
               x, target, weight, reduction, smoothing, keep, none, dtarget, shape);
        }
}

ESPALIER_CHECK(negative_log_likelihood) {
  for (const espalier_dtype dtype : kFloats)
    for (const espalier_class_rows& shape : kRows)
      for (const espalier_reduction reduction : kReductions) {
        const auto [rows, classes] = shape;
        Array x = random(rows * classes, -5, 0, dtype), target = integers(rows, 0, classes);
        Array weight = rows % 2 == 0 ? absent() : random(classes, 0.5, 2, wide(dtype));
        Array loss = result(losses(reduction, rows), wide(dtype)), divisor = result(1, wide(dtype));
        const int64_t ignored = rows > 2 ? 0 : -100;
        same(sharp(dtype), espalier_nll_forward, espalier_cuda_nll_forward, x, target, weight, reduction, ignored, loss,
             divisor, shape);
        Array dloss = loss_gradient(reduction, rows, dtype), dx = result(rows * classes, dtype);
        Array by = given(divisor.fetch(), wide(dtype));
        same(tolerance(dtype), espalier_nll_backward, espalier_cuda_nll_backward, dloss, target, weight, reduction,
             ignored, by, dx, shape);
      }
}

ESPALIER_CHECK(cross_entropy_of_special_values) {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const int64_t classes : {5, 70, 5000})
    for (const std::vector<double>& begin :
         std::vector<std::vector<double>>{{-inf}, {nan}, {inf}, {-inf, -inf, 3}, {1000, -1000}}) {
      std::vector<double> values(static_cast<size_t>(classes), 0.5);
      for (size_t i = 0; i < begin.size(); ++i) values[i] = begin[i];
      Array x = given(values), target = given({3}, ESPALIER_INT32), weight = absent(), loss = result(1),
            kept = result(3);
      same(2e-6, espalier_cross_entropy_forward, espalier_cuda_cross_entropy_forward, x, target, weight,
           ESPALIER_REDUCTION_MEAN, int64_t{-1}, 0.0, loss, kept, espalier_class_rows{1, classes});
    }
  // Nothing counts: the mean is NaN.
  Array x = random(6), target = given({1, 1}, ESPALIER_INT32), weight = absent(), loss = result(1), kept = result(5);
  same(2e-6, espalier_cross_entropy_forward, espalier_cuda_cross_entropy_forward, x, target, weight,
       ESPALIER_REDUCTION_MEAN, int64_t{1}, 0.0, loss, kept, espalier_class_rows{2, 3});
}

ESPALIER_CHECK(class_loss_errors) {
  Array x = random(6), target = given({1, 3}, ESPALIER_INT32), loss = result(1), kept = result(5);
  ok(espalier_cuda_cross_entropy_forward(x.in(), target.in(), {nullptr, 0, ESPALIER_FLOAT32}, ESPALIER_REDUCTION_MEAN,
                                         -100, 0, loss.out(), kept.out(), {2, 3}),
     "cross entropy");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a target out of range is reported");
  require(std::string(espalier_last_error()).find("cross_entropy") != std::string::npos, "with the function's name");
  require(
      espalier_cuda_cross_entropy_forward(x.in(), target.in(), {nullptr, 0, ESPALIER_FLOAT32}, ESPALIER_REDUCTION_MEAN,
                                          -100, 1.5, loss.out(), kept.out(), {2, 3}) == ESPALIER_INVALID_ARGUMENT,
      "smoothing out of range");
  require(
      espalier_cuda_cross_entropy_forward(x.in(), target.in(), {nullptr, 0, ESPALIER_FLOAT32}, ESPALIER_REDUCTION_NONE,
                                          -100, 0, loss.out(), kept.out(), {2, 3}) == ESPALIER_SHAPE_MISMATCH,
      "a loss for each row");
}

ESPALIER_CHECK(distances) {
  for (const espalier_dtype dtype : kFloats)
    for (const int64_t n : {0, 1, 2, 7, 8, 9, 255, 256, 257, 4095, 4096, 4097, 65536, 65537, 100003})
      for (int kind = ESPALIER_DISTANCE_SQUARE; kind <= ESPALIER_DISTANCE_HUBER; ++kind)
        for (const espalier_reduction reduction : kReductions) {
          if (n > 5000 && reduction == ESPALIER_REDUCTION_SUM) continue;
          Array x = random(n, -2, 2, dtype), target = random(n, -2, 2, dtype);
          Array loss = result(losses(reduction, n), wide(dtype)), none = absent();
          same(sharp(dtype), espalier_distance_forward, espalier_cuda_distance_forward, kind, 0.7, x, target, reduction,
               loss);
          Array dloss = loss_gradient(reduction, n, dtype);
          Array dx = result(n, dtype), dtarget = result(n, dtype);
          same(tolerance(dtype), espalier_distance_backward, espalier_cuda_distance_backward, kind, 0.7, dloss, x,
               target, reduction, dx, dtarget);
          same(tolerance(dtype), espalier_distance_backward, espalier_cuda_distance_backward, kind, 0.7, dloss, x,
               target, reduction, dx, none);
        }
}

ESPALIER_CHECK(binary_cross_entropy) {
  for (const espalier_dtype dtype : kFloats)
    for (const int64_t n : {0, 1, 4, 12, 252, 256, 1028, 4096, 4100, 65536, 100004})
      for (const int64_t repeat : {0, 1, 4})
        for (const espalier_reduction reduction : kReductions) {
          if (n > 0 && repeat > n) continue;
          Array x = random(n, -8, 8, dtype), target = random(n, 0, 1, dtype);
          // A weight for every element, a factor that repeats, or none.
          Array weight = repeat == 0 || n == 0 ? absent() : random(repeat == 1 ? n : 2, 0.5, 2, wide(dtype));
          Array positive = repeat == 0 || n == 0 ? absent() : random(n % repeat == 0 ? repeat : 1, 0.5, 3, wide(dtype));
          if (repeat == 4 && n % 4 != 0) continue;
          Array loss = result(losses(reduction, n), wide(dtype));
          same(sharp(dtype), espalier_bce_with_logits_forward, espalier_cuda_bce_with_logits_forward, x, target, weight,
               positive, reduction, loss);
          Array dloss = loss_gradient(reduction, n, dtype);
          Array dx = result(n, dtype), dtarget = result(n, dtype);
          same(tolerance(dtype), espalier_bce_with_logits_backward, espalier_cuda_bce_with_logits_backward, dloss, x,
               target, weight, positive, reduction, dx, dtarget);
        }
}

ESPALIER_CHECK(binary_cross_entropy_far_out) {
  Array x = given({-1000, 1000, -90, 90, 0, -0.0, 30, -30}), target = given({0, 1, 1, 0, 0.5, 1, 1, 0});
  Array weight = absent(), positive = absent(), loss = result(8);
  same(1e-6, espalier_bce_with_logits_forward, espalier_cuda_bce_with_logits_forward, x, target, weight, positive,
       ESPALIER_REDUCTION_NONE, loss);
}

ESPALIER_BENCH(loss) {
  for (const auto& [dtype, bytes, type] :
       {std::tuple{ESPALIER_FLOAT32, int64_t{4}, "float32"}, std::tuple{ESPALIER_BFLOAT16, int64_t{2}, "bfloat16"}})
    for (const int64_t classes : {int64_t{1000}, int64_t{50257}}) {
      const int64_t rows = (int64_t{1} << 27) / classes, n = rows * classes;
      void *x = nullptr, *dx = nullptr, *kept = nullptr, *loss = nullptr;
      ok(espalier_cuda_allocate(n * bytes, &x), "allocate");
      ok(espalier_cuda_allocate(n * bytes, &dx), "allocate");
      ok(espalier_cuda_allocate((2 * rows + 1) * 4, &kept), "allocate");
      ok(espalier_cuda_allocate(rows * 4, &loss), "allocate");
      int64_t used = 0;
      ok(espalier_cuda_random_normal(1, 0, 0, 2, {x, n, dtype}, &used), "normal");
      Array target = integers(rows, 0, classes), dloss = given({1});
      const espalier_class_rows shape{rows, classes}, last{1, classes};
      const espalier_in none{nullptr, 0, ESPALIER_FLOAT32};
      const double forward = time_ms([&, dtype = dtype] {
        ok(espalier_cuda_cross_entropy_forward({x, n, dtype}, target.in(), none, ESPALIER_REDUCTION_NONE, -100, 0,
                                               {loss, rows, ESPALIER_FLOAT32}, {kept, 2 * rows + 1, ESPALIER_FLOAT32},
                                               shape),
           "cross entropy");
      });
      const auto row = [&, dtype = dtype, bytes = bytes](void* from) {
        Array copy = result(classes, dtype);
        ok(espalier_cuda_copy(static_cast<char*>(from) + (n - classes) * bytes, copy.device<char>(), classes * bytes),
           "copy");
        return given(copy.fetch(), dtype);
      };
      Array in = row(x), label = given({target.host().back()}, ESPALIER_INT32), found = result(1), expected = result(1);
      Array keep = result(3);
      ok(espalier_cuda_copy(static_cast<float*>(loss) + rows - 1, found.device<float>(), 4), "copy");
      ok(espalier_cross_entropy_forward(in.host_in(), label.host_in(), none, ESPALIER_REDUCTION_NONE, -100, 0,
                                        expected.host_out(), keep.host_out(), last),
         "host");
      expected.host_written();
      close(found.fetch(), expected.host(), sharp(ESPALIER_FLOAT32), "cross entropy");
      const double limit = static_cast<double>(n * bytes) / copy_bandwidth() * 1e3;
      const std::string of = " of " + std::to_string(rows) + " rows of " + std::to_string(classes) + " " + type;
      report({"loss", "cross entropy" + of, "copy", forward, limit, limit, true});
      const double mean = time_ms([&, dtype = dtype] {
        ok(espalier_cuda_cross_entropy_forward({x, n, dtype}, target.in(), none, ESPALIER_REDUCTION_MEAN, -100, 0,
                                               {loss, 1, ESPALIER_FLOAT32}, {kept, 2 * rows + 1, ESPALIER_FLOAT32},
                                               shape),
           "cross entropy");
      });
      report({"loss", "its mean" + of, "copy", mean, limit, limit, true});
      const double backward = time_ms([&, dtype = dtype] {
        ok(espalier_cuda_cross_entropy_backward(dloss.in(), {x, n, dtype}, target.in(), none, ESPALIER_REDUCTION_SUM,
                                                -100, 0, {kept, 2 * rows + 1, ESPALIER_FLOAT32}, {dx, n, dtype}, shape),
           "cross entropy gradient");
      });
      Array slope = result(classes, dtype);
      ok(espalier_cross_entropy_backward(dloss.host_in(), in.host_in(), label.host_in(), none, ESPALIER_REDUCTION_SUM,
                                         -100, 0, keep.host_in(), slope.host_out(), last),
         "host");
      slope.host_written();
      close(row(dx).host(), slope.host(), tolerance(dtype), "cross entropy gradient");
      report({"loss", "its gradient" + of, "copy", backward, 2 * limit, 2 * limit, true});
      for (void* const each : {x, dx, kept, loss}) ok(espalier_cuda_free(each), "free");
    }
}
