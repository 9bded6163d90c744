// Which engine convolutions take: Hopper's warpgroups where the device has them, unless told otherwise.
#pragma once

namespace espalier::cuda::conv {

// For checks and benches, to compare.
inline bool& warpgroups_allowed() {
  static bool allowed = false;
  return allowed;
}

}  // namespace espalier::cuda::conv
