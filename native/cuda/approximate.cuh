// Functions in the few instructions that the device has for them, where the exact ones would take longer than
// their operand takes to arrive.
#pragma once

#include "cuda/core/ptx/approximate.cuh"

namespace espalier::cuda {

// e^x for x ≤ 0, off by up to (2 + |x|) 2^-23 of itself; 0 below −87.3. NaN stays NaN.
__device__ __forceinline__ float exp_of_negative(float x) { return ptx::exp2_about(x * 1.44269504f); }
__device__ __forceinline__ double exp_of_negative(double x) { return exp(x); }

// The normal distribution Φ(x), off by up to 7e-7 of itself where |x| < 4 and 2e-6 where it is 1e-19, and e^(−x²/2)
// beside it. Of NaN it is anything.
__device__ __forceinline__ float normal_cdf(float x, float& decay) {
  const float a = fminf(fabsf(x), 15.0f);
  // What rounding took from the square tells, its exponential being taken.
  const float square = a * a, lost = fmaf(a, a, -square);
  decay = ptx::exp2_about(square * -0.72134752f) * fmaf(lost, -0.5f, 1.0f);
  // With t = a/√2, (1 + 2t) e^t² erfc(t) is smooth in v = 2t / (t + 3), which brings all of t ≥ 0 near (after Shepherd
  // and Laframboise 1981); the coefficients are a fit of least relative error, 8e-8.
  const float twice = a * 1.41421356f, front = twice + 1.0f, behind = fmaf(twice, 0.5f, 3.0f);
  const float q = ptx::inverse_about(front * behind), v = twice * front * q;
  float p = 2.5209494528e-3f;
  p = fmaf(p, v, -1.7950967141e-2f);
  p = fmaf(p, v, 3.0844494777e-2f);
  p = fmaf(p, v, 1.1904443961e-1f);
  p = fmaf(p, v, -7.2524409137e-1f);
  p = fmaf(p, v, 1.7104050340f);
  p = fmaf(p, v, -2.1740485847f);
  p = fmaf(p, v, 1.3074369574f);
  p = fmaf(p, v, 9.9999992095e-1f);
  const float tail = 0.5f * decay * (p * behind * q);
  return x > 0 ? 1.0f - tail : tail;
}
__device__ __forceinline__ double normal_cdf(double x, double& decay) {
  decay = exp(-0.5 * x * x);
  return normcdf(x);
}

}  // namespace espalier::cuda
