// Products by generated code: an instruction per kept entry, the pattern nowhere but in the instructions.
#pragma once

#include <memory>
#include <vector>

#include "sparse/format.h"

namespace espalier::sparse {

// Null where code cannot be generated, or would be too much.
std::unique_ptr<Product> make_generated(const Pattern& pattern, const std::vector<int32_t>& origin);
// As Format::cost.
double cost_of_generated(const Pattern& pattern, int64_t samples, bool transposed);

}  // namespace espalier::sparse
