// A 2:4 matrix on both sides, for the checks of products by it.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>

#include "cuda/check/check.h"

namespace espalier::check {

struct TwoFour {
  espalier_cuda_two_four shape;
  Array weight, values, places;
  std::vector<double> pruned;  // W with the two largest of each four neighbours left

  TwoFour(espalier_cuda_two_four of, Array dense) : shape(of), weight(std::move(dense)) {
    int64_t length = 0;
    ok(espalier_cuda_two_four_places_size(shape, &length), "places_size");
    values = result(shape.m * shape.k / 2, weight.dtype());
    places = result(length, ESPALIER_INT32);
    values.poison();
    ok(espalier_cuda_two_four_compress(weight.in(), values.out(), places.out(), shape), "compress");
    pruned = weight.host();
    for (size_t at = 0; at < pruned.size(); at += 4) {
      const double four[4] = {pruned[at], pruned[at + 1], pruned[at + 2], pruned[at + 3]};
      for (int i = 0; i < 4; ++i) {
        int before = 0;
        for (int j = 0; j < 4; ++j)
          before += std::fabs(four[j]) > std::fabs(four[i]) || (j < i && std::fabs(four[j]) == std::fabs(four[i]));
        if (before >= 2) pruned[at + static_cast<size_t>(i)] = 0;
      }
    }
  }
};

// Random numbers, or whole ones of int8.
inline Array some(int64_t n, espalier_dtype dtype) {
  return dtype == ESPALIER_INT8 ? integers(n, -128, 128, ESPALIER_INT8) : random(n, -1, 1, dtype);
}

// c = op(a)·op(b) in float64 on the CPU.
inline std::vector<double> reference(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b,
                                     const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> c(static_cast<size_t>(m * n));
  const auto in = [](const std::vector<double>& x) {
    return espalier_in{x.data(), static_cast<int64_t>(x.size()), ESPALIER_FLOAT64};
  };
  const espalier_in none{nullptr, 0, ESPALIER_FLOAT64};
  ok(espalier_gemm(1, in(a), in(b), 0, none, none, ESPALIER_FINISH_NONE, {c.data(), m * n, ESPALIER_FLOAT64},
                   {m, n, k, transpose_a, transpose_b, std::max<int64_t>(transpose_a ? m : k, 1),
                    std::max<int64_t>(transpose_b ? k : n, 1), std::max<int64_t>(n, 1)}),
     "reference");
  return c;
}

// Y = W·X + bias, of random W and X, against the CPU.
inline void two_four_product(espalier_cuda_two_four shape, espalier_dtype dtype, bool biased = false) {
  const auto [m, k, n, batch_major] = shape;
  const TwoFour w(shape, some(m * k, dtype));
  const espalier_dtype sums = dtype == ESPALIER_INT8 ? ESPALIER_INT32 : dtype;
  const Array x = some(k * n, dtype);
  const Array bias = !biased ? absent() : dtype == ESPALIER_INT8 ? integers(m, -1000, 1000) : random(m, -1, 1, dtype);
  Array y = result(m * n, sums);
  y.poison();
  const espalier_in none{nullptr, 0, sums};
  ok(espalier_cuda_two_four_forward(w.values.in(), w.places.in(), x.in(), biased ? bias.in() : none, y.out(), shape),
     "forward");
  ok(espalier_cuda_synchronize(), "synchronize");
  std::vector<double> should = batch_major ? reference(n, m, k, false, true, x.host(), w.pruned)
                                           : reference(m, n, k, false, false, w.pruned, x.host());
  for (int64_t i = 0; biased && i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      should[static_cast<size_t>(batch_major ? j * m + i : i * n + j)] += bias.host()[static_cast<size_t>(i)];
  const std::string what = "m " + std::to_string(m) + " k " + std::to_string(k) + " n " + std::to_string(n) +
                           " batch_major " + std::to_string(batch_major) + " type " + std::to_string(dtype);
  close(y.fetch(), should, dtype == ESPALIER_INT8 ? 0 : dtype == ESPALIER_BFLOAT16 ? 4e-3 : 6e-4, what.c_str());
}

}  // namespace espalier::check
