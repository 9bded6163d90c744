// Scores with their masks, as selection takes them.
#pragma once

#include "cuda/select_keys.cuh"

namespace espalier::cuda {

// One array of scores; M is T or uint8_t.
template <class T, class M>
struct Scored {
  const T* score;
  const M* mask;  // null: all ones; may be `result`
  M* result;
  bool magnitude;

  __device__ bool alive(int64_t i) const { return mask == nullptr || mask[i] != M{0}; }
  __device__ bool is_nan(int64_t i) const { return score[i] != score[i]; }
  __device__ KeyFor<T> key(int64_t i) const { return key_of(score[i], magnitude); }
  __device__ void write(int64_t i, bool keep) const { result[i] = !keep ? M{0} : mask != nullptr ? mask[i] : M{1}; }
};

// Runs body(M{}) for the element type of a mask: T, or uint8_t.
template <class T, class Body>
void for_mask(const char* name, espalier_dtype dtype, Body body) {
  if (dtype == dtype_of<T>()) return body(T{});
  if (dtype == ESPALIER_UINT8) return body(uint8_t{});
  fail(ESPALIER_DTYPE_MISMATCH, "%s is %s, expected %s or uint8", name, dtype_name(dtype), dtype_name(dtype_of<T>()));
}

}  // namespace espalier::cuda
