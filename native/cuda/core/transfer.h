// Copies between the host's memory and the device's.
#pragma once

#include "cuda/core/device.h"

namespace espalier::cuda {

// Queues a copy to the device on the current stream; the host's memory may be used again when it returns.
void upload(const void* host, void* device, int64_t bytes);
// Copies from the device, behind all work of the current stream, and waits for it.
void download(const void* device, void* host, int64_t bytes);

}  // namespace espalier::cuda
