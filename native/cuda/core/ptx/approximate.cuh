// Functions that the device has an instruction for, about.
#pragma once

#include <cuda_runtime.h>

namespace espalier::cuda::ptx {

// 2^x, off by up to 2^-22 of itself; 0 where it would be subnormal. NaN stays NaN.
__device__ __forceinline__ float exp2_about(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// 1 / x, off by up to 2^-23 of itself; of ordinary numbers.
__device__ __forceinline__ float inverse_about(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace espalier::cuda::ptx
