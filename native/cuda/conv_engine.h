// Which engine convolutions take: Hopper's warpgroups where the device has them, unless told otherwise.
#pragma once

namespace espalier::cuda::conv {

// For checks and benches, which compare the engines.
inline bool& warpgroups_allowed() {
  static bool allowed = true;
  return allowed;
}

}  // namespace espalier::cuda::conv
