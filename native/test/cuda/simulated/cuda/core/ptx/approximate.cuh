// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include <cuda_runtime.h>

namespace espalier::cuda::ptx {

// Subnormal numbers are zeros here, both as operands and as results.
inline float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

inline float exp2_about(float x) { return flushed(exp2f(flushed(x))); }
inline float inverse_about(float x) { return flushed(1 / flushed(x)); }

}  // namespace espalier::cuda::ptx
