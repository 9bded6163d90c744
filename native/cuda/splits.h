// Products of few tiles, cut along K.
#pragma once

#include <algorithm>

#include "cuda/core/counts.h"
#include "cuda/core/device.h"

namespace espalier::cuda {

// Into how many parts of K a product is cut where C alone has too few tiles to fill the device, and where
// their sums wait for each other. Parts are added in order: the result does not depend on timing.
struct Splits {
  int64_t parts, steps;  // steps of the K loop in a part
};
inline Splits split_for(int64_t tiles, int64_t steps) {
  const int64_t room = traits().multiprocessors / std::max<int64_t>(tiles, 1);
  const int64_t parts = std::clamp<int64_t>(std::min(room, steps / 8), 1, 64);
  const int64_t each = std::max<int64_t>(tiles_of(steps, parts), 1);
  return {std::max<int64_t>(tiles_of(steps, each), 1), each};
}

}  // namespace espalier::cuda
