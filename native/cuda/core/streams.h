// The streams of a device, numbered for the C interface.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/core/device.h"

namespace espalier::cuda {

struct Stream {
  cudaStream_t handle;
  int64_t number;
};

// The calling thread's stream on its current device; number 0 at first, made at first use.
Stream current_stream();
void set_current_stream(int64_t number);
int64_t create_stream();
void destroy_stream(int64_t number);
cudaStream_t stream_of(int64_t number);

void set_precision(Precision value);

}  // namespace espalier::cuda
