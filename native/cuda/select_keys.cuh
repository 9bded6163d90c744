// Scores as integers that sort alike.
#pragma once

#include <cstdint>

#include "cuda/core/launch.cuh"

namespace espalier::cuda {

template <class T>
struct KeyOf;
template <>
struct KeyOf<float> {
  using type = uint32_t;
};
template <>
struct KeyOf<double> {
  using type = uint64_t;
};
template <class T>
using KeyFor = typename KeyOf<T>::type;

template <class Key>
constexpr int kKeyBits = 8 * static_cast<int>(sizeof(Key));
template <class Key>
constexpr Key kSign = Key{1} << (kKeyBits<Key> - 1);
template <class Key>
constexpr Key kAll = ~Key{0};

// The bits of |score| or of score + 0 (which makes −0 and 0 one), such that keys sort as the numbers do.
template <class T>
__host__ __device__ __forceinline__ KeyFor<T> key_of(T score, bool magnitude) {
  using Key = KeyFor<T>;
  union {
    T number;
    Key bits;
  } both;
  if (magnitude) {
    both.number = score;
    return both.bits & ~kSign<Key>;
  }
  both.number = score + T{0};
  return (both.bits & kSign<Key>) != 0 ? ~both.bits : both.bits | kSign<Key>;
}

template <class T>
__host__ __device__ __forceinline__ T number_of(KeyFor<T> key, bool magnitude) {
  using Key = KeyFor<T>;
  union {
    T number;
    Key bits;
  } both;
  if (magnitude) both.bits = key;
  else both.bits = (key & kSign<Key>) != 0 ? key & ~kSign<Key> : ~key;
  return both.number;
}

// The keys of −∞ and of ∞ (of 0 and of ∞ for magnitudes) are the ends of what numbers have.
template <class Key>
struct Range {
  Key low, high;
  __host__ __device__ bool holds(Key key) const { return key - low <= high - low; }
};

// Bits that a value up to `most` takes.
inline int bits_of(uint64_t most) {
  int bits = 0;
  for (; most != 0; most >>= 1) ++bits;
  return bits;
}

}  // namespace espalier::cuda
