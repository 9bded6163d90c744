// Device memory of the simulated device: every allocation ends, at a multiple of 16 bytes, at a page that nobody
// may touch, is NaN at first, and is gone when it is freed; what was written around it is told then.
#pragma once

#include <cstddef>

namespace espalier::simulated {

void* guarded_allocate(size_t bytes);
bool guarded_free(void* address);  // false where there is no such
size_t guarded_bytes();            // allocated now

}  // namespace espalier::simulated
