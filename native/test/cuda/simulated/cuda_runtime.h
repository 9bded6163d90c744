// As much of CUDA C++ and its runtime as native/cuda uses, for the simulated device: the kernels' sources are compiled
// against this by an ordinary compiler.
#pragma once

#include <math.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "threads.h"

// The language

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)
#define __builtin_assume(x) static_cast<void>(0)

struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// Arithmetic

template <class A, class B>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>) return static_cast<C>(fmin(static_cast<C>(a), static_cast<C>(b)));
  else return static_cast<C>(b) < static_cast<C>(a) ? static_cast<C>(b) : static_cast<C>(a);
}
template <class A, class B>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using C = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<C>) return static_cast<C>(fmax(static_cast<C>(a), static_cast<C>(b)));
  else return static_cast<C>(a) < static_cast<C>(b) ? static_cast<C>(b) : static_cast<C>(a);
}
inline float normcdf(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
inline int __popc(unsigned x) { return std::popcount(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }

// Atomic as they are: one thread runs at a time.

template <class T, class V>
T atomicAdd(T* at, V value) {
  const T before = *at;
  *at = static_cast<T>(before + static_cast<T>(value));
  return before;
}
template <class T, class V>
T atomicMax(T* at, V value) {
  const T before = *at;
  if (before < static_cast<T>(value)) *at = static_cast<T>(value);
  return before;
}
template <class T, class V>
T atomicMin(T* at, V value) {
  const T before = *at;
  if (static_cast<T>(value) < before) *at = static_cast<T>(value);
  return before;
}
inline unsigned atomicInc(unsigned* at, unsigned last) {
  const unsigned before = *at;
  *at = before >= last ? 0 : before + 1;
  return before;
}
template <class T, class V>
T atomicCAS_system(T* at, V expected, V value) {
  const T before = *at;
  if (before == static_cast<T>(expected)) *at = static_cast<T>(value);
  return before;
}
inline void __threadfence_system() {}
[[noreturn]] inline void __trap() { espalier::simulated::fail("the kernel traps"); }

// Threads that meet

inline void __syncthreads() { espalier::simulated::meet(0, 0); }
inline int __syncthreads_or(int predicate) { return espalier::simulated::meet_and_sum(predicate != 0) > 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  int nothing = 0;
  espalier::simulated::together(mask, &nothing, [](int* const*) {});
}

namespace espalier::simulated {
// Every lane gets the value of the lane that source(lane) names.
template <class T, class Source>
T shuffle(unsigned mask, T value, Source source) {
  struct Mine {
    T value;
    int from;
  } mine{value, source(lane())};
  T result = value;
  struct Both {
    const Mine* mine;
    T* result;
  } both{&mine, &result};
  together(mask, &both, [](Both* const* all) {
    for (int l = 0; l < 32; ++l) {
      if (all[l] == nullptr) continue;
      if (all[all[l]->mine->from] == nullptr) fail("a shuffle asks lane %d, which is not there", all[l]->mine->from);
      *all[l]->result = all[all[l]->mine->from]->mine->value;
    }
  });
  return result;
}
}  // namespace espalier::simulated

// Within segments of `width` lanes.
template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return espalier::simulated::shuffle(mask, value,
                                      [=](int lane) { return lane / width * width + (from & (width - 1)); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return espalier::simulated::shuffle(
      mask, value, [=](int lane) { return (lane ^ bits) / width <= lane / width ? lane ^ bits : lane; });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return espalier::simulated::shuffle(
      mask, value, [=](int lane) { return lane % width >= static_cast<int>(by) ? lane - static_cast<int>(by) : lane; });
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  struct Vote {
    bool mine;
    unsigned result;
  } vote{predicate != 0, 0};
  espalier::simulated::together(mask, &vote, [](Vote* const* all) {
    unsigned result = 0;
    for (int l = 0; l < 32; ++l)
      if (all[l] != nullptr && all[l]->mine) result |= 1u << l;
    for (int l = 0; l < 32; ++l)
      if (all[l] != nullptr) all[l]->result = result;
  });
  return vote.result;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  struct Match {
    T value;
    unsigned result;
  } mine{value, 0};
  espalier::simulated::together(mask, &mine, [](Match* const* all) {
    for (int l = 0; l < 32; ++l)
      for (int other = 0; all[l] != nullptr && other < 32; ++other)
        if (all[other] != nullptr && all[other]->value == all[l]->value) all[l]->result |= 1u << other;
  });
  return mine.result;
}

// The runtime (runtime.cc)

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorInsufficientDriver = 35
};
enum cudaMemcpyKind {
  cudaMemcpyHostToDevice = 1,
  cudaMemcpyDeviceToHost = 2,
  cudaMemcpyDeviceToDevice = 3,
  cudaMemcpyDefault = 4
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrL2CacheSize,
  cudaDevAttrMemoryClockRate,
  cudaDevAttrGlobalMemoryBusWidth
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributePreferredSharedMemoryCarveout };
enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess = 0, cudaDriverEntryPointSymbolNotFound = 1 };
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };
using cudaStream_t = struct SimulatedStream*;
using cudaEvent_t = struct SimulatedEvent*;

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor, multiProcessorCount;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    dim3 clusterDim;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0,
                   cudaHostAllocMapped = 2;
constexpr unsigned long long cudaEnableDefault = 0;

cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceSynchronize();
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaMalloc(void** address, size_t bytes);
template <class T>
cudaError_t cudaMalloc(T** address, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void**>(address), bytes);
}
cudaError_t cudaFree(void* address);
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total);
cudaError_t cudaHostAlloc(void** address, size_t bytes, unsigned flags);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);
cudaError_t cudaEventCreate(cudaEvent_t* event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned version,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult* result);

namespace espalier::simulated {
void set_last_error(cudaError_t error);
}  // namespace espalier::simulated

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel*, cudaFuncAttribute which, int value) {
  return which == cudaFuncAttributeMaxDynamicSharedMemorySize && value > 227 * 1024 ? cudaErrorInvalidValue
                                                                                    : cudaSuccess;
}
template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... arguments) {
  unsigned cluster = 1;
  for (unsigned i = 0; i < config->numAttrs; ++i)
    if (config->attrs[i].id == cudaLaunchAttributeClusterDimension) cluster = config->attrs[i].val.clusterDim.x;
  espalier::simulated::launch("kernel of a cluster",
                              {config->gridDim, config->blockDim, config->dynamicSmemBytes, config->stream, cluster},
                              [&] { kernel(arguments...); });
  return cudaGetLastError();
}
