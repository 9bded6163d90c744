// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "threads.h"

namespace espalier::cuda::ptx {

template <class T>
concept Shared = std::is_pointer_v<T> || std::is_same_v<T, uint32_t>;

template <Shared T>
uint32_t shared_address(T place) {
  if constexpr (std::is_pointer_v<T>) return simulated::shared_address(place);
  else return place;
}

template <class T>
T read_as(uint32_t address) {
  if (address % sizeof(T) != 0) simulated::fail("%zu bytes are read at %08x", sizeof(T), address);
  T value;
  std::memcpy(&value, simulated::shared_at(address), sizeof value);
  return value;
}
inline float4 read_float4(Shared auto from) { return read_as<float4>(shared_address(from)); }
inline uint32_t read_word(Shared auto from) { return read_as<uint32_t>(shared_address(from)); }

}  // namespace espalier::cuda::ptx
