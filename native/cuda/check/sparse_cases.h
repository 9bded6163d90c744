// Sparse products against dense ones of the masked matrix, computed in float64 on the CPU.
#pragma once

#include <string>
#include <vector>

#include "cuda/check/check.h"

namespace espalier::check {

// m×k by k×n; `batch` stores X and Y the other way round.
struct SparseSize {
  int64_t m, k, n, batch;
};

// Of the dense product.
inline double operations(SparseSize s) { return static_cast<double>(s.m * s.k) * static_cast<double>(s.n); }

// What a product of this type may be off by: rounding of the result, and of the sums.
inline double sparse_tolerance(espalier_dtype dtype, bool tf32 = false) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 1e-12;
    case ESPALIER_FLOAT16: return 1e-3;
    case ESPALIER_BFLOAT16: return 6e-3;
    default: return tf32 ? 2e-3 : 2e-6;
  }
}

// The three dense products in float64. a: W, or dY; b: X, or dY.
inline std::vector<double> dense_forward(const std::vector<double>& w, const Array& x, const Array& bias,
                                         SparseSize s) {
  std::vector<double> y(static_cast<size_t>(s.m * s.n));
  const espalier_in weight{w.data(), s.m * s.k, ESPALIER_FLOAT64};
  const espalier_in right{x.host().data(), s.k * s.n, ESPALIER_FLOAT64};
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT64};
  const espalier_in added = bias.size() > 0 ? espalier_in{bias.host().data(), s.m, ESPALIER_FLOAT64} : none;
  const espalier_out to{y.data(), s.m * s.n, ESPALIER_FLOAT64};
  const int64_t one = 1;
  const auto ld = [&](int64_t columns) { return columns > one ? columns : one; };
  if (s.batch)
    ok(espalier_gemm(1, right, weight, 0, none, added, ESPALIER_FINISH_NONE, to,
                     {s.n, s.m, s.k, 0, 1, ld(s.k), ld(s.k), ld(s.m)}),
       "gemm");
  else
    ok(espalier_gemm(1, weight, right, 0, added, none, ESPALIER_FINISH_NONE, to,
                     {s.m, s.n, s.k, 0, 0, ld(s.k), ld(s.n), ld(s.n)}),
       "gemm");
  return y;
}
inline std::vector<double> dense_data_grad(const std::vector<double>& w, const Array& dy, SparseSize s) {
  std::vector<double> dx(static_cast<size_t>(s.k * s.n));
  const espalier_in weight{w.data(), s.m * s.k, ESPALIER_FLOAT64};
  const espalier_in right{dy.host().data(), s.m * s.n, ESPALIER_FLOAT64};
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT64};
  const espalier_out to{dx.data(), s.k * s.n, ESPALIER_FLOAT64};
  const auto ld = [](int64_t columns) { return columns > 1 ? columns : 1; };
  if (s.batch)
    ok(espalier_gemm(1, right, weight, 0, none, none, ESPALIER_FINISH_NONE, to,
                     {s.n, s.k, s.m, 0, 0, ld(s.m), ld(s.k), ld(s.k)}),
       "gemm");
  else
    ok(espalier_gemm(1, weight, right, 0, none, none, ESPALIER_FINISH_NONE, to,
                     {s.k, s.n, s.m, 1, 0, ld(s.k), ld(s.n), ld(s.n)}),
       "gemm");
  return dx;
}
inline std::vector<double> dense_weight_grad(const Array& x, const Array& dy, SparseSize s) {
  std::vector<double> dw(static_cast<size_t>(s.m * s.k));
  const espalier_in left{dy.host().data(), s.m * s.n, ESPALIER_FLOAT64};
  const espalier_in right{x.host().data(), s.k * s.n, ESPALIER_FLOAT64};
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT64};
  const espalier_out to{dw.data(), s.m * s.k, ESPALIER_FLOAT64};
  const auto ld = [](int64_t columns) { return columns > 1 ? columns : 1; };
  ok(s.batch ? espalier_gemm(1, left, right, 0, none, none, ESPALIER_FINISH_NONE, to,
                             {s.m, s.k, s.n, 1, 0, ld(s.m), ld(s.k), ld(s.k)})
             : espalier_gemm(1, left, right, 0, none, none, ESPALIER_FINISH_NONE, to,
                             {s.m, s.k, s.n, 0, 1, ld(s.n), ld(s.n), ld(s.k)}),
     "gemm");
  return dw;
}

inline void close_to(const Array& out, const std::vector<double>& expected, double tolerance, const std::string& what) {
  ok(espalier_cuda_synchronize(), what.c_str());
  close(out.fetch(), expected, tolerance, what.c_str());
}

inline std::string describe(const char* kind, espalier_dtype dtype, SparseSize s) {
  static const char* const names[] = {"f32", "f64", "", "", "", "", "f16", "bf16"};
  return std::string(kind) + " " + names[dtype] + " m" + std::to_string(s.m) + " k" + std::to_string(s.k) + " n" +
         std::to_string(s.n) + (s.batch ? " batch-major" : "");
}

// Block-sparse: all three products of a mask of tiles.
inline void check_tiles(espalier_dtype dtype, SparseSize s, int64_t tile_rows, int64_t tile_columns,
                        const std::vector<double>& mask, bool tf32 = false, bool with_bias = false) {
  if (!affordable(0.25 * operations(s))) return;  // a part of the tiles is kept
  const espalier_cuda_tiles shape{s.m, s.k, s.n, s.batch, tile_rows, tile_columns};
  const std::string what =
      describe("tiles", dtype, s) + " of " + std::to_string(tile_rows) + "x" + std::to_string(tile_columns);
  const double tolerance = sparse_tolerance(dtype, tf32);
  Array kept = given(mask, ESPALIER_UINT8);
  int64_t length = 0;
  ok(espalier_cuda_tiles_plan_size(shape, &length), what.c_str());
  Array plan = result(length, ESPALIER_INT32);
  plan.poison();
  ok(espalier_cuda_tiles_plan(kept.in(), plan.out(), shape), what.c_str());

  Array w = random(s.m * s.k, -1, 1, dtype), x = random(s.k * s.n, -1, 1, dtype), dy = random(s.m * s.n, -1, 1, dtype);
  Array bias = with_bias ? random(s.m, -1, 1, dtype) : absent();
  const auto keeps = [&](int64_t i) {
    return mask[static_cast<size_t>(i / s.k / tile_rows * (s.k / tile_columns) + i % s.k / tile_columns)] != 0;
  };
  std::vector<double> masked = w.host();
  for (int64_t i = 0; i < s.m * s.k; ++i)
    if (!keeps(i)) masked[static_cast<size_t>(i)] = 0;

  Array y = result(s.m * s.n, dtype), dx = result(s.k * s.n, dtype);
  y.poison();
  dx.poison();
  ok(espalier_cuda_tiles_forward(w.in(), plan.in(), x.in(), bias.in(), y.out(), shape), what.c_str());
  close_to(y, dense_forward(masked, x, bias, s), tolerance, what + " forward");
  ok(espalier_cuda_tiles_data_grad(w.in(), plan.in(), dy.in(), dx.out(), shape), what.c_str());
  close_to(dx, dense_data_grad(masked, dy, s), tolerance, what + " data gradient");

  Array dw = random(s.m * s.k, -1, 1, dtype);
  std::vector<double> expected = dense_weight_grad(x, dy, s);
  for (int64_t i = 0; i < s.m * s.k; ++i)
    if (!keeps(i)) expected[static_cast<size_t>(i)] = dw.host()[static_cast<size_t>(i)];  // stays as it is
  ok(espalier_cuda_tiles_weight_grad(x.in(), dy.in(), plan.in(), dw.out(), shape), what.c_str());
  close_to(dw, expected, tolerance, what + " weight gradient");
}

// A mask of `count` tiles by chance, of all, of none, or of the last one alone.
inline std::vector<double> tile_mask(int64_t count, double density) {
  std::vector<double> mask(static_cast<size_t>(count));
  for (double& tile : mask) tile = static_cast<double>(any(0, 9999)) < density * 10000;
  return mask;
}
inline std::vector<double> last_alone(int64_t count) {
  std::vector<double> mask(static_cast<size_t>(count));
  if (count > 0) mask.back() = 1;
  return mask;
}

// Unstructured: the pattern of a mask, all three products, and the way into values and back. fan_in: of each row,
// or 0.
inline void check_sparse(espalier_dtype dtype, SparseSize s, const std::vector<double>& mask, int64_t fan_in = 0,
                         bool with_bias = false, espalier_dtype mask_dtype = ESPALIER_UINT8) {
  if (!affordable(operations(s))) return;
  const espalier_cuda_sparse shape{s.m, s.k, s.n, s.batch, fan_in};
  const std::string what = describe("sparse", dtype, s) + (fan_in ? " fan-in " + std::to_string(fan_in) : "");
  const double tolerance = sparse_tolerance(dtype);
  Array kept = given(mask, mask_dtype);
  int64_t count = -1, length = 0, expected_count = 0;
  for (const double element : mask) expected_count += element != 0;
  ok(espalier_cuda_sparse_count(kept.in(), &count), what.c_str());
  if (count != expected_count)
    mismatch("%s: %lld elements counted, expected %lld", what.c_str(), static_cast<long long>(count),
             static_cast<long long>(expected_count));
  ok(espalier_cuda_sparse_pattern_size(count, shape, &length), what.c_str());
  Array pattern = result(length, ESPALIER_INT32);
  pattern.poison();
  ok(espalier_cuda_sparse_pattern(kept.in(), count, pattern.out(), shape), what.c_str());
  ok(espalier_cuda_synchronize(), what.c_str());

  Array w = random(s.m * s.k, -1, 1, dtype), x = random(s.k * s.n, -1, 1, dtype), dy = random(s.m * s.n, -1, 1, dtype);
  Array bias = with_bias ? random(s.m, -1, 1, dtype) : absent();
  std::vector<double> masked = w.host(), of_values;
  for (size_t i = 0; i < masked.size(); ++i) {
    if (mask[i] == 0) masked[i] = 0;
    else of_values.push_back(masked[i]);
  }
  Array values = result(count, dtype);
  values.poison();
  ok(espalier_cuda_sparse_gather(w.in(), pattern.in(), values.out(), shape), what.c_str());
  close_to(values, of_values, 0, what + " values");
  Array dense = given(std::vector<double>(mask.size()), dtype);
  ok(espalier_cuda_sparse_scatter(values.in(), pattern.in(), dense.out(), shape), what.c_str());
  close_to(dense, masked, 0, what + " scattered");

  Array y = result(s.m * s.n, dtype), dx = result(s.k * s.n, dtype), dvalues = result(count, dtype);
  y.poison();
  dx.poison();
  dvalues.poison();
  ok(espalier_cuda_sparse_forward(values.in(), pattern.in(), x.in(), bias.in(), y.out(), shape), what.c_str());
  close_to(y, dense_forward(masked, x, bias, s), tolerance, what + " forward");
  ok(espalier_cuda_sparse_data_grad(values.in(), pattern.in(), dy.in(), dx.out(), shape), what.c_str());
  close_to(dx, dense_data_grad(masked, dy, s), tolerance, what + " data gradient");
  ok(espalier_cuda_sparse_weight_grad(x.in(), dy.in(), pattern.in(), dvalues.out(), shape), what.c_str());
  const std::vector<double> all = dense_weight_grad(x, dy, s);
  std::vector<double> expected;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i] != 0) expected.push_back(all[i]);
  close_to(dvalues, expected, tolerance, what + " weight gradient");
}

// The same number of elements in each row, at places by chance.
inline std::vector<double> fan_in_mask(int64_t m, int64_t k, int64_t fan_in) {
  std::vector<double> mask(static_cast<size_t>(m * k));
  for (int64_t row = 0; row < m; ++row)
    for (int64_t left = fan_in; left > 0;) {
      double& element = mask[static_cast<size_t>(row * k + any(0, k - 1))];
      if (element == 0) element = 1, --left;
    }
  return mask;
}

// Masked: all three products, the mask as bytes, factors of W's type, or packed by hand.
inline void check_masked(espalier_dtype dtype, SparseSize s, const std::vector<double>& mask, espalier_dtype mask_dtype,
                         bool tf32 = false, bool with_bias = false) {
  if (!affordable(operations(s))) return;
  const espalier_cuda_masked shape{s.m, s.k, s.n, s.batch};
  const std::string what = describe("masked", dtype, s);
  const double tolerance = sparse_tolerance(dtype, tf32);
  Array kept;
  if (mask_dtype == ESPALIER_INT32) {
    std::vector<double> words((mask.size() + 31) / 32);
    for (size_t word = 0; word < words.size(); ++word) {
      uint32_t bits = 0;
      for (size_t i = 0; i < 32 && 32 * word + i < mask.size(); ++i) bits |= uint32_t{mask[32 * word + i] != 0} << i;
      words[word] = static_cast<int32_t>(bits);
    }
    kept = given(words, ESPALIER_INT32);
  } else {
    kept = given(mask, mask_dtype);
  }
  Array w = random(s.m * s.k, -1, 1, dtype), x = random(s.k * s.n, -1, 1, dtype), dy = random(s.m * s.n, -1, 1, dtype);
  Array bias = with_bias ? random(s.m, -1, 1, dtype) : absent();
  const auto masked = [&](std::vector<double> values) {
    for (size_t i = 0; i < values.size(); ++i)
      if (mask[i] == 0) values[i] = 0;
    return values;
  };
  Array y = result(s.m * s.n, dtype), dx = result(s.k * s.n, dtype), dw = result(s.m * s.k, dtype);
  y.poison();
  dx.poison();
  dw.poison();
  ok(espalier_cuda_masked_forward(w.in(), kept.in(), x.in(), bias.in(), y.out(), shape), what.c_str());
  close_to(y, dense_forward(masked(w.host()), x, bias, s), tolerance, what + " forward");
  ok(espalier_cuda_masked_data_grad(w.in(), kept.in(), dy.in(), dx.out(), shape), what.c_str());
  close_to(dx, dense_data_grad(masked(w.host()), dy, s), tolerance, what + " data gradient");
  ok(espalier_cuda_masked_weight_grad(x.in(), dy.in(), kept.in(), dw.out(), shape), what.c_str());
  close_to(dw, masked(dense_weight_grad(x, dy, s)), tolerance, what + " weight gradient");
}

}  // namespace espalier::check
