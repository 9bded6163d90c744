// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include <cstdint>

namespace espalier::cuda::ptx {

inline void keep_order() {}
inline void hide_origin(int&, int&) {}
template <int kCount>
void settle(float (&)[kCount]) {}
template <int kCount>
void keep(const uint32_t (&)[kCount][4]) {}

}  // namespace espalier::cuda::ptx
