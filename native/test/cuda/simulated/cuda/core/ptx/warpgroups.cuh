// The simulated device's own of the header of this name in native/cuda.
#pragma once

#include "cuda/core/ptx/matrices.cuh"

#if defined(ESPALIER_SIMULATED_HOPPER)
#define ESPALIER_HOPPER 1

namespace espalier::cuda::ptx {

template <int kRegisters>
void raise_registers() {}
template <int kRegisters>
void lower_registers() {}

inline void wgmma_fence() { simulated::wgmma_fence(); }
inline void wgmma_commit() { simulated::wgmma_commit(); }
template <int kLeft>
void wgmma_wait() {
  simulated::wgmma_wait(kLeft);
}

template <class T, bool kMMajor, bool kNMajor, int kCount>
void wgmma(float (&d)[kCount], uint64_t a, uint64_t b, int add) {
  simulated::wgmma(elements_of<T>, 2 * kCount, d, {nullptr, a, kMMajor}, b, kNMajor, {}, add != 0);
}
template <int kCount>
void wgmma_tf32(float (&d)[kCount], uint64_t a, uint64_t b, int add) {
  simulated::wgmma(simulated::Elements::kTf32, 2 * kCount, d, {nullptr, a, false}, b, false, {}, add != 0);
}
template <class T, bool kNMajor, int kCount>
void wgmma(float (&d)[kCount], const uint32_t (&a)[4], uint64_t b, int add) {
  simulated::wgmma(elements_of<T>, 2 * kCount, d, {a, 0, false}, b, kNMajor, {}, add != 0);
}
template <class T, int kSelector, int kCount>
void wgmma_sparse(float (&d)[kCount], uint64_t a, uint64_t b, uint32_t places, int add) {
  simulated::wgmma(elements_of<T>, 2 * kCount, d, {nullptr, a, false}, b, false, {true, places, kSelector}, add != 0);
}
template <int kCount>
void wgmma_sparse(int32_t (&d)[kCount], uint64_t a, uint64_t b, uint32_t places, int add) {
  simulated::wgmma(simulated::Elements::kInt8, 2 * kCount, d, {nullptr, a, false}, b, false, {true, places, 0},
                   add != 0);
}

}  // namespace espalier::cuda::ptx

#endif
