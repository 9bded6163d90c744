// The runtime of the simulated device: work is done when it is asked for, and the device is a small H200.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cuda_runtime.h"
#include "guarded.h"

struct SimulatedStream {};
struct SimulatedEvent {
  std::chrono::steady_clock::time_point at;
};

namespace {

constexpr size_t kMemory = size_t{8} << 30;

// Few, so that kernels whose blocks stay have more than one tile each.
int multiprocessors() {
  const char* const given = std::getenv("ESPALIER_SIMULATED_MULTIPROCESSORS");
  return given == nullptr ? 4 : std::max(1, std::atoi(given));
}

thread_local cudaError_t t_last = cudaSuccess;

}  // namespace

namespace espalier::simulated {
void set_last_error(cudaError_t error) { t_last = error; }
}  // namespace espalier::simulated

using espalier::simulated::guarded_bytes;

cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
cudaError_t cudaSetDevice(int device) { return device == 0 ? cudaSuccess : cudaErrorInvalidValue; }
cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  switch (which) {
    case cudaDevAttrMultiProcessorCount: *value = multiprocessors(); break;
    case cudaDevAttrComputeCapabilityMajor: *value = ESPALIER_SIMULATED_ARCH / 100; break;
    case cudaDevAttrComputeCapabilityMinor: *value = ESPALIER_SIMULATED_ARCH / 10 % 10; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 * 1024; break;
    case cudaDevAttrL2CacheSize: *value = 50 << 20; break;
    default: *value = 1;
  }
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "simulated device");
  properties->totalGlobalMem = kMemory;
  properties->major = ESPALIER_SIMULATED_ARCH / 100;
  properties->minor = ESPALIER_SIMULATED_ARCH / 10 % 10;
  properties->multiProcessorCount = multiprocessors();
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaGetLastError() { return std::exchange(t_last, cudaSuccess); }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument";
    default: return "invalid argument";
  }
}

cudaError_t cudaMalloc(void** address, size_t bytes) {
  if (guarded_bytes() + bytes > kMemory) return t_last = cudaErrorMemoryAllocation;
  *address = espalier::simulated::guarded_allocate(bytes);
  return *address == nullptr ? t_last = cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFree(void* address) {
  return espalier::simulated::guarded_free(address) ? cudaSuccess : t_last = cudaErrorInvalidValue;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  *total = kMemory;
  *free_bytes = kMemory - guarded_bytes();
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  *address = std::calloc(1, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  std::memset(to, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return *stream = new SimulatedStream, cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t* event) { return *event = new SimulatedEvent, cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return cudaEventCreate(event); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  return event->at = std::chrono::steady_clock::now(), cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->at - begin->at).count();
  return cudaSuccess;
}
