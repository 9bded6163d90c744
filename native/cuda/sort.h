// A stable sort of numbers with the places they came from.
#pragma once

#include <cstdint>

namespace espalier::cuda {

// order[0 … count) = the numbers 0 … count−1 sorted by keys[·], equal keys in their order, and sorted[·] the
// keys so sorted. Keys lie in [0, limit); one that does not is taken as `limit`, behind all others, so that
// the caller finds it. count and limit are below 2^31. All arrays are on the device.
void sort_by_key(const int32_t* keys, int64_t count, int64_t limit, int32_t* sorted, int32_t* order);

}  // namespace espalier::cuda
