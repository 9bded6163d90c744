// The kernels of integer matrices, a file each. All but rows give null where they cannot be had: the processor, the
// weights or their bound are not of that kind, or code cannot be generated.
#pragma once

#include <memory>

#include "sparse/integer.h"

namespace espalier::sparse {

std::unique_ptr<IntegerProduct> make_integer_rows(const IntegerEntries& entries, CodeRange range);

}  // namespace espalier::sparse
