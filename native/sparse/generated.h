// Products by generated code: an instruction per kept entry, the pattern nowhere but in the instructions.
#pragma once

#include <memory>

#include "sparse/product.h"

namespace espalier::sparse {

// Null where code cannot be generated, or would exceed `most_bytes`.
std::unique_ptr<Product> make_generated(const Pattern& pattern, const std::vector<int64_t>& origin, int64_t most_bytes);

}  // namespace espalier::sparse
