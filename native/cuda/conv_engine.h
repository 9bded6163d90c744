// Which engine convolutions take: Hopper's warpgroups where the device has them, unless told otherwise.
#pragma once

namespace espalier::cuda::conv {

// For checks and benches, to compare.
inline bool& warpgroups_allowed() {
  static bool allowed = false;
  return allowed;
}

inline int& gather_variant() {
  static int variant = 0;
  return variant;
}
inline int& weight_variant() {
  static int variant = 0;
  return variant;
}

}  // namespace espalier::cuda::conv
