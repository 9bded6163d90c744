// bfloat16: the upper half of a float, rounded to the nearest, ties to even.
#pragma once

#include "cuda_runtime.h"

struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  template <class T>
  requires std::is_arithmetic_v<T> __nv_bfloat16(T value) : bits(rounded(value)) {}
  operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }

 private:
  static uint16_t rounded(double value) {
    float nearest = static_cast<float>(value);
    uint32_t word = std::bit_cast<uint32_t>(nearest);
    if (nearest != nearest) return 0x7fff;
    // What the float lost of a double decides between two neighbours: kept as an odd last bit.
    if (static_cast<double>(nearest) != value) {
      if ((nearest > value) == (value > 0)) --word;
      word |= 1;
    }
    return static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
  }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
