#include "cuda/core/device.h"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/core/streams.h"

namespace espalier::cuda {
namespace {

std::atomic<Precision> g_precision{Precision::kFloat32};

// Names of the functions whose kernels can find fault with their data.
std::mutex g_sources_lock;
std::vector<std::string> g_sources;

constexpr int kMostDevices = 64;

int current_device() {
  int device = 0;
  ESPALIER_CUDA(cudaGetDevice(&device));
  if (device >= kMostDevices) fail(ESPALIER_INTERNAL, "device %d is beyond the %d known", device, kMostDevices);
  return device;
}

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  ESPALIER_CUDA(cudaDeviceGetAttribute(&value, which, device));
  return value;
}

}  // namespace

void check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // an error that is reported is over, unless the device is lost
  fail(error == cudaErrorMemoryAllocation ? ESPALIER_OUT_OF_MEMORY : ESPALIER_INTERNAL, "%s: %s", call,
       cudaGetErrorString(error));
}

cudaStream_t stream() { return current_stream().handle; }

const Traits& traits() {
  static Traits known[kMostDevices];
  static std::once_flag asked[kMostDevices];
  const int device = current_device();
  std::call_once(asked[device], [device] {
    known[device] = {10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                         attribute(cudaDevAttrComputeCapabilityMinor, device),
                     attribute(cudaDevAttrMultiProcessorCount, device),
                     attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                     attribute(cudaDevAttrL2CacheSize, device)};
  });
  return known[device];
}

Precision precision() { return g_precision.load(std::memory_order_relaxed); }
void set_precision(Precision value) { g_precision.store(value, std::memory_order_relaxed); }

Fault* faults() {
  static Fault* pages[kMostDevices];
  static std::once_flag made[kMostDevices];
  const int device = current_device();
  std::call_once(made[device], [device] {
    ESPALIER_CUDA(cudaHostAlloc(reinterpret_cast<void**>(&pages[device]), sizeof(Fault), cudaHostAllocMapped));
    *pages[device] = {};
  });
  return pages[device];
}

int32_t fault_source(const char* function) {
  const std::lock_guard<std::mutex> hold(g_sources_lock);
  for (size_t i = 0; i < g_sources.size(); ++i)
    if (g_sources[i] == function) return static_cast<int32_t>(i);
  g_sources.emplace_back(function);
  return static_cast<int32_t>(g_sources.size() - 1);
}

void synchronize() {
  ESPALIER_CUDA(cudaStreamSynchronize(stream()));
  Fault* const left = faults();
  if (left->kind == 0) return;
  const Fault fault = *left;
  *left = {};
  std::string source;
  {
    const std::lock_guard<std::mutex> hold(g_sources_lock);
    source = g_sources[static_cast<size_t>(fault.function)];
  }
  switch (static_cast<FaultKind>(fault.kind)) {
    case FaultKind::kIndexOutOfRange:
      fail(ESPALIER_INVALID_ARGUMENT, "%s: index %lld is out of range", source.c_str(),
           static_cast<long long>(fault.value));
    case FaultKind::kNotANumber: fail(ESPALIER_INVALID_ARGUMENT, "%s: there is a NaN", source.c_str());
    case FaultKind::kBadScale:
      fail(ESPALIER_INVALID_ARGUMENT, "%s: a scale is not positive and finite", source.c_str());
    default: fail(ESPALIER_INTERNAL, "%s: fault %d", source.c_str(), fault.kind);
  }
}

}  // namespace espalier::cuda
