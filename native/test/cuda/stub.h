// A CUDA runtime that records what it is asked: two devices of 1 GiB of memory, streams whose copies are made
// when somebody waits for them, and failures on demand.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <string>
#include <vector>

namespace espalier::stub {

constexpr int kDevices = 2;
constexpr int64_t kMemory = int64_t{1} << 30;

// Calls since the last `forget`, in order: "cudaMalloc 512", "copy 4096 of stream 3", …
const std::vector<std::string>& calls();
int64_t count(const std::string& beginning);
void forget();

// The next call of this name fails.
void fail_next(const std::string& call, cudaError_t error);
// Bytes a device has handed out.
int64_t allocated(int device);

}  // namespace espalier::stub
