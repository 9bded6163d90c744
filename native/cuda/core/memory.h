// The caching allocator; `allocate` and `release` stand in device.h.
#pragma once

#include "cuda/core/device.h"

namespace espalier::cuda {

// Whether an address was handed out by `allocate` and not given back.
bool owned(const void* address);
// Of the current device.
void memory_usage(int64_t* used, int64_t* cached);
void empty_cache();
// Makes the blocks of a stream that is no more, spare ones and those in use, stream 0's.
void inherit(int device, int64_t stream);

}  // namespace espalier::cuda
