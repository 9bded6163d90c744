// What the functions on images with channels last share.
#pragma once

#include "cuda/conv_gather.cuh"
#include "cuda/core/launch.cuh"
#include "espalier_cuda.h"

namespace espalier::cuda::nhwc {

// Eight channels move together: 16 bytes of 16-bit types, 32 of float32.
constexpr int kLanes = 8;
template <class T>
struct alignas(16) Lanes {
  T at[kLanes];
};

template <class T>
__device__ __forceinline__ Lanes<T> load_lanes(const T* from, int64_t chunk) {
  return *reinterpret_cast<const Lanes<T>*>(from + chunk * kLanes);
}
template <class T>
__device__ __forceinline__ void store_lanes(T* to, int64_t chunk, const Lanes<T>& lanes) {
  *reinterpret_cast<Lanes<T>*>(to + chunk * kLanes) = lanes;
}

using conv::Moments;
constexpr int kMomentRows = conv::kGatherRows;

inline void require_channels(int64_t channels) {
  if (channels % kLanes != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "channels is %lld, expected a multiple of %d", static_cast<long long>(channels),
         kLanes);
}

// Elements that accesses of 16 bytes may begin at.
template <class T, class Array>
auto aligned_elements(const char* name, Array array, int64_t length) {
  const auto data = elements<T>(name, array, length);
  if (reinterpret_cast<uintptr_t>(data) % 16 != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "%s starts at %p, expected a multiple of 16 bytes", name,
         static_cast<const void*>(data));
  return data;
}
template <class T, class Array>
auto optional_aligned_elements(const char* name, Array array, int64_t length) {
  return array.data == nullptr && array.length == 0 ? nullptr : aligned_elements<T>(name, array, length);
}

// Runs body(T{}) for the types of activations.
template <class Body>
void for_activation(const char* name, espalier_dtype dtype, Body body) {
  switch (dtype) {
    case ESPALIER_FLOAT32: return body(float{});
    case ESPALIER_FLOAT16: return body(__half{});
    case ESPALIER_BFLOAT16: return body(__nv_bfloat16{});
    default: fail(ESPALIER_DTYPE_MISMATCH, "%s is %s, expected float32, float16 or bfloat16", name, dtype_name(dtype));
  }
}

}  // namespace espalier::cuda::nhwc
