// Devices, memory and streams of the C interface.
#include "espalier/cuda/runtime.h"

#include <cstdio>
#include <type_traits>

#include "cuda/core/launch.cuh"
#include "cuda/core/memory.h"
#include "cuda/core/streams.h"
#include "cuda/core/transfer.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

void require_device(int64_t device) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    count = 0;
  }
  if (device < 0 || device >= count)
    fail(ESPALIER_INVALID_ARGUMENT, "there is no device %lld, only %d", static_cast<long long>(device), count);
}

// Every pair of element types a cast goes between.
template <class Body>
void for_any(const char* name, espalier_dtype dtype, Body body) {
  switch (dtype) {
    case ESPALIER_INT32: return body(int32_t{});
    case ESPALIER_INT16: return body(int16_t{});
    case ESPALIER_INT8: return body(int8_t{});
    case ESPALIER_UINT8: return body(uint8_t{});
    default: return for_device_float(name, dtype, body);
  }
}

// Through float for the 16-bit types, which convert to nothing else.
template <class T>
__device__ auto plain(T value) {
  if constexpr (sizeof(T) == 2 && !std::is_integral_v<T>) return static_cast<float>(value);
  else return value;
}

template <class From, class To>
void cast(int64_t n, const From* from, To* to) {
  for_each(n, "cast", [=] __device__(int64_t i) { to[i] = static_cast<To>(plain(from[i])); });
}

}  // namespace

espalier_status espalier_cuda_device_count(int64_t* count) {
  return guarded(__func__, [&] {
    int found = 0;
    // No driver, or one too old for this build: then there is no device for it.
    if (cudaGetDeviceCount(&found) != cudaSuccess) {
      cudaGetLastError();
      found = 0;
    }
    *count = found;
  });
}

espalier_status espalier_cuda_set_device(int64_t device) {
  return guarded(__func__, [&] {
    require_device(device);
    ESPALIER_CUDA(cudaSetDevice(static_cast<int>(device)));
  });
}

espalier_status espalier_cuda_device(int64_t* device) {
  return guarded(__func__, [&] {
    int current = 0;
    ESPALIER_CUDA(cudaGetDevice(&current));
    *device = current;
  });
}

espalier_status espalier_cuda_describe(int64_t device, espalier_cuda_properties* properties) {
  return guarded(__func__, [&] {
    require_device(device);
    cudaDeviceProp found;
    ESPALIER_CUDA(cudaGetDeviceProperties(&found, static_cast<int>(device)));
    int before = 0, clock = 0, width = 0;
    ESPALIER_CUDA(cudaGetDevice(&before));
    ESPALIER_CUDA(cudaSetDevice(static_cast<int>(device)));
    size_t free_bytes = 0, total = 0;
    const cudaError_t error = cudaMemGetInfo(&free_bytes, &total);
    ESPALIER_CUDA(cudaSetDevice(before));
    check(error, "cudaMemGetInfo");
    ESPALIER_CUDA(cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, static_cast<int>(device)));
    ESPALIER_CUDA(cudaDeviceGetAttribute(&width, cudaDevAttrGlobalMemoryBusWidth, static_cast<int>(device)));
    std::snprintf(properties->name, sizeof properties->name, "%s", found.name);
    properties->memory = static_cast<int64_t>(total);
    properties->memory_free = static_cast<int64_t>(free_bytes);
    properties->capability = 10 * found.major + found.minor;
    properties->multiprocessors = found.multiProcessorCount;
    properties->bandwidth = int64_t{clock} * 1000 * 2 * (width / 8);  // kHz, two transfers a clock
  });
}

espalier_status espalier_cuda_allocate(int64_t bytes, void** address) {
  return guarded(__func__, [&] { *address = allocate(bytes); });
}

espalier_status espalier_cuda_free(void* address) {
  return guarded(__func__, [&] {
    if (address != nullptr && !owned(address)) fail(ESPALIER_INVALID_ARGUMENT, "the address is not in use");
    release(address);
  });
}

espalier_status espalier_cuda_memory(int64_t* used, int64_t* cached) {
  return guarded(__func__, [&] { memory_usage(used, cached); });
}

espalier_status espalier_cuda_empty_cache(void) {
  return guarded(__func__, [&] { empty_cache(); });
}

espalier_status espalier_cuda_upload(const void* host, void* device, int64_t bytes) {
  return guarded(__func__, [&] {
    require_range("bytes", bytes, int64_t{0}, int64_t{1} << 46);
    upload(host, device, bytes);
  });
}

espalier_status espalier_cuda_download(const void* device, void* host, int64_t bytes) {
  return guarded(__func__, [&] {
    require_range("bytes", bytes, int64_t{0}, int64_t{1} << 46);
    download(device, host, bytes);
  });
}

espalier_status espalier_cuda_copy(const void* from, void* to, int64_t bytes) {
  return guarded(__func__, [&] {
    require_range("bytes", bytes, int64_t{0}, int64_t{1} << 46);
    if (bytes > 0)
      ESPALIER_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream()));
  });
}

espalier_status espalier_cuda_fill_bytes(void* device, int64_t value, int64_t bytes) {
  return guarded(__func__, [&] {
    require_range("value", value, int64_t{0}, int64_t{255});
    require_range("bytes", bytes, int64_t{0}, int64_t{1} << 46);
    if (bytes > 0)
      ESPALIER_CUDA(cudaMemsetAsync(device, static_cast<int>(value), static_cast<size_t>(bytes), stream()));
  });
}

espalier_status espalier_cuda_cast(espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    for_any("x", x.dtype, [&]<class From>(From) {
      const From* const from = elements<From>("x", x, x.length);
      for_any("y", y.dtype, [&]<class To>(To) { cast(x.length, from, elements<To>("y", y, x.length)); });
    });
  });
}

espalier_status espalier_cuda_synchronize(void) {
  return guarded(__func__, [&] { synchronize(); });
}

espalier_status espalier_cuda_stream_create(int64_t* number) {
  return guarded(__func__, [&] { *number = create_stream(); });
}
espalier_status espalier_cuda_stream_destroy(int64_t number) {
  return guarded(__func__, [&] { destroy_stream(number); });
}
espalier_status espalier_cuda_set_stream(int64_t number) {
  return guarded(__func__, [&] { set_current_stream(number); });
}
espalier_status espalier_cuda_stream(int64_t* number) {
  return guarded(__func__, [&] { *number = current_stream().number; });
}
espalier_status espalier_cuda_wait_stream(int64_t number) {
  return guarded(__func__, [&] {
    cudaEvent_t reached;
    ESPALIER_CUDA(cudaEventCreateWithFlags(&reached, cudaEventDisableTiming));
    cudaError_t error = cudaEventRecord(reached, stream_of(number));
    if (error == cudaSuccess) error = cudaStreamWaitEvent(stream(), reached, 0);
    cudaEventDestroy(reached);
    check(error, "cudaStreamWaitEvent");
  });
}

espalier_status espalier_cuda_set_precision(espalier_cuda_precision value) {
  return guarded(__func__, [&] {
    require_range("precision", static_cast<int64_t>(value), int64_t{0}, int64_t{2});
    set_precision(static_cast<Precision>(value));
  });
}
