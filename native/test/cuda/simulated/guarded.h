// Device memory of the simulated device: every allocation ends at a page that nobody may touch, begins as NaN, and is
// gone when it is freed.
#pragma once

#include <cstddef>

namespace espalier::simulated {

void* guarded_allocate(size_t bytes);
void guarded_free(void* address);
size_t guarded_bytes();  // allocated now

}  // namespace espalier::simulated
