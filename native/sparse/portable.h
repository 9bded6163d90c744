// Products without generated code: row by row, a row's sums of several panels in registers.
#pragma once

#include <memory>

#include "sparse/product.h"

namespace espalier::sparse {

std::unique_ptr<Product> make_portable(Pattern pattern, std::vector<int64_t> origin);

}  // namespace espalier::sparse
