// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include <cuda.h>

#include "cuda/core/ptx/shared.cuh"
#include "instructions.h"

namespace espalier::cuda::ptx {

inline void copy16(Shared auto to, const void* from, int bytes = 16) {
  simulated::copy16(shared_address(to), from, bytes);
}
inline void copy_commit() { simulated::copy_commit(); }
template <int kLeft>
void copy_wait() {
  simulated::copy_wait(kLeft);
}
inline void copy_arrive(Shared auto barrier) { simulated::copy_arrive(shared_address(barrier)); }

inline void copy_box(Shared auto to, const CUtensorMap* map, int column, int row, Shared auto barrier) {
  simulated::copy_box(shared_address(to), map, column, row, shared_address(barrier), 1u << simulated::cluster_rank());
}
inline void copy_box(Shared auto to, const CUtensorMap* map, int column, int row, Shared auto barrier,
                     uint16_t blocks) {
  simulated::copy_box(shared_address(to), map, column, row, shared_address(barrier), blocks);
}

inline void store16(void* to, uint4 value) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0) simulated::fail("16 bytes are stored at %p", to);
  std::memcpy(to, &value, sizeof value);
}

}  // namespace espalier::cuda::ptx
