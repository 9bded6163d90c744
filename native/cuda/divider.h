// Division by a number that is known before the launch: a multiplication and a shift, where a division of
// 64-bit integers takes some seventy instructions.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace espalier::cuda {

// Granlund and Montgomery 1994: n / d = (mulhi(n, m) + n) >> s for n below 2^31, where 2^(s−1) < d ≤ 2^s and
// m = ⌊2^32 (2^s − d) / d⌋ + 1. Larger n are divided plainly.
class Divider {
 public:
  Divider() = default;
  explicit Divider(int64_t divisor) : divisor_(divisor) {
    if (divisor >= kSmall) {
      // A small n over it gives 0.
      shift_ = 31;
      return;
    }
    while ((int64_t{1} << shift_) < divisor) ++shift_;
    multiplier_ = static_cast<uint32_t>(
        ((((uint64_t{1} << shift_) - static_cast<uint64_t>(divisor)) << 32) / static_cast<uint64_t>(divisor)) + 1);
  }

  __device__ __forceinline__ int64_t quotient(int64_t n) const {
    if (n >= kSmall) return n / divisor_;
    const uint32_t small = static_cast<uint32_t>(n);
    return (__umulhi(small, multiplier_) + small) >> shift_;
  }
  // Splits n into quotient (returned) and remainder.
  __device__ __forceinline__ int64_t split(int64_t n, int64_t& remainder) const {
    const int64_t q = quotient(n);
    remainder = n - q * divisor_;
    return q;
  }
  __host__ __device__ int64_t divisor() const { return divisor_; }

 private:
  static constexpr int64_t kSmall = int64_t{1} << 31;
  int64_t divisor_ = 1;
  uint32_t multiplier_ = 0, shift_ = 0;
};

}  // namespace espalier::cuda
