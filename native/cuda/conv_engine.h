// Which engine convolutions take: Hopper's warpgroups where the device has them, unless told otherwise.
#pragma once

namespace espalier::cuda::conv {

// For checks and benches, to compare.
inline bool& warpgroups_allowed() {
  static bool allowed = true;
  return allowed;
}

inline bool& near_allowed() {
  static bool allowed = true;
  return allowed;
}
inline bool& near_wide() {
  static bool wide = false;
  return wide;
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
