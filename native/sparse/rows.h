// Products row by row: a row's sums of several panels in registers. On every processor, and for as few bytes as the
// regularity of rows allows.
#pragma once

#include <memory>
#include <vector>

#include "sparse/format.h"

namespace espalier::sparse {

// Where each row's entries begin, and their columns, 4 bytes each.
std::unique_ptr<Product> make_rows(Pattern pattern, std::vector<int32_t> origin);
// The same for rows that keep as many entries: 2 bytes each, where that many columns can be told apart so.
std::unique_ptr<Product> make_equal_rows(Pattern pattern, std::vector<int32_t> origin);
// The same for rows that keep n of each m neighbours, exactly: a byte each. m ≤ 256, and divides the columns.
std::unique_ptr<Product> make_grouped_rows(const Pattern& pattern, std::vector<int32_t> origin, int64_t n, int64_t m);
// For formats that are generated code, or rows where there is none or these are the faster for a batch: the code, null
// where it is rows; as Format::cost.
std::unique_ptr<Product> make_code_before_rows(const Pattern& pattern, const std::vector<int32_t>& origin);
double cost_of_code_or_rows(const Pattern& pattern, int64_t samples, bool transposed);
// As Format::cost.
double cost_of_rows(const Pattern& pattern, int64_t samples, bool transposed);

}  // namespace espalier::sparse
