// Rows cut into short ones, by blocks of columns whose samples stay in the first-level cache: what a core does best
// whose vectors are narrow and whose caches are small. The pattern is in memory, 2 bytes an entry.
#pragma once

#include <memory>
#include <vector>

#include "sparse/product.h"

namespace espalier::sparse {

// Whether they are the faster for any mask, faster than generated code too.
bool prefers_short_rows();
// Blocks that the columns are cut into.
int64_t blocks_of_short_rows(int64_t columns, int64_t rows, int64_t entries);
std::unique_ptr<Product> make_short_rows(const Pattern& pattern, const std::vector<int32_t>& origin);

}  // namespace espalier::sparse
