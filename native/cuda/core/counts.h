// How many pieces cover a whole.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace espalier::cuda {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// How many tiles cover n.
__host__ __device__ constexpr int64_t tiles_of(int64_t n, int64_t tile) { return (n + tile - 1) / tile; }

}  // namespace espalier::cuda
