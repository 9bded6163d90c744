// Codes on their way into integer kernels, and sums on their way out.
#pragma once

#include <cstdint>

#include "sparse/integer.h"
#include "sparse/panels.h"

namespace espalier::sparse {

// Samples [first, first + count) of X as int32 panels [panel][component][16]; what stands past the last sample is
// within the range.
void pack_wide(const IntegerCall& call, int64_t components, CodeRange range, int64_t first, int64_t count, int32_t* to);

// The reverse for sums, and start values and ReLU on the way: panels [panel][component][16].
void unpack_wide(const IntegerCall& call, int64_t components, const int32_t* sums, int64_t first, int64_t count);

}  // namespace espalier::sparse
