#include "stub.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

struct StubCopy {
  void* to;
  const void* from;
  size_t bytes;
};
struct StubStream {
  int number;
  std::deque<StubCopy> waiting;
};
struct StubEvent {
  StubStream* stream = nullptr;
};

namespace espalier::stub {
namespace {

std::vector<std::string> g_calls;
std::map<std::string, cudaError_t> g_failures;
std::map<void*, std::pair<int, int64_t>> g_memory;
int g_device = 0, g_streams = 0;
cudaError_t g_last = cudaSuccess;

cudaError_t record(const std::string& name, const std::string& rest = "") {
  g_calls.push_back(rest.empty() ? name : name + " " + rest);
  const auto failure = g_failures.find(name);
  if (failure == g_failures.end()) return cudaSuccess;
  g_last = failure->second;
  g_failures.erase(failure);
  return g_last;
}

void run(StubStream* stream) {
  for (; !stream->waiting.empty(); stream->waiting.pop_front()) {
    const StubCopy& copy = stream->waiting.front();
    std::memcpy(copy.to, copy.from, copy.bytes);
  }
}

}  // namespace

const std::vector<std::string>& calls() { return g_calls; }
int64_t count(const std::string& beginning) {
  int64_t found = 0;
  for (const std::string& call : g_calls) found += call.compare(0, beginning.size(), beginning) == 0;
  return found;
}
void forget() { g_calls.clear(); }
void fail_next(const std::string& call, cudaError_t error) { g_failures[call] = error; }
int64_t allocated(int device) {
  int64_t total = 0;
  for (const auto& [address, block] : g_memory) total += block.first == device ? block.second : 0;
  return total;
}

}  // namespace espalier::stub

using namespace espalier::stub;

cudaError_t cudaGetDevice(int* device) {
  *device = g_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kDevices) return cudaErrorInvalidValue;
  g_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  const cudaError_t error = record("cudaDeviceGetAttribute");
  *value = which == cudaDevAttrComputeCapabilityMajor ? 9 : which == cudaDevAttrComputeCapabilityMinor ? 0 : 132;
  return error;
}
cudaError_t cudaDeviceSynchronize() { return record("cudaDeviceSynchronize"); }
cudaError_t cudaGetLastError() {
  const cudaError_t last = g_last;
  g_last = cudaSuccess;
  return last;
}
const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : "launch failure";
}

cudaError_t cudaMalloc(void** address, size_t bytes) {
  cudaError_t error = record("cudaMalloc", std::to_string(bytes));
  if (error == cudaSuccess && allocated(g_device) + static_cast<int64_t>(bytes) > kMemory)
    error = g_last = cudaErrorMemoryAllocation;
  if (error != cudaSuccess) return error;
  *address = std::malloc(bytes);
  g_memory[*address] = {g_device, static_cast<int64_t>(bytes)};
  return cudaSuccess;
}
cudaError_t cudaFree(void* address) {
  const auto found = g_memory.find(address);
  if (found == g_memory.end()) return g_last = cudaErrorInvalidValue;
  g_memory.erase(found);
  std::free(address);
  return record("cudaFree");
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  *total = static_cast<size_t>(kMemory);
  *free_bytes = static_cast<size_t>(kMemory - allocated(g_device));
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned) {
  *address = std::calloc(1, bytes);
  return record("cudaHostAlloc", std::to_string(bytes));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  const cudaError_t error =
      record("cudaMemcpyAsync", std::to_string(bytes) + " on stream " + std::to_string(stream->number));
  if (error == cudaSuccess) stream->waiting.push_back({to, from, bytes});
  return error;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new StubStream{g_streams++, {}};
  return record("cudaStreamCreate");
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return record("cudaStreamDestroy");
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  run(stream);
  return record("cudaStreamSynchronize");
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new StubEvent;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  event->stream = stream;
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->stream != nullptr) run(event->stream);
  return record("cudaEventSynchronize");
}
