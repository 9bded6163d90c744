// The kernels of integer matrices, a file each. All but rows and vector give null where they cannot be had: the
// processor, the weights or their bound are not of that kind, or code cannot be generated.
#pragma once

#include <memory>

#include "sparse/integer.h"

namespace espalier::sparse {

// Entries anywhere; where they stand in 1×4 blocks; nearly all of them.
enum class IntegerRowsKind { any, blocks, dense };
std::unique_ptr<IntegerProduct> make_integer_rows(const IntegerEntries& entries, CodeRange range, IntegerRowsKind kind);

// Entries in 1×4 blocks, of which there are so many, by generated code. AVX-512 alone.
bool can_make_integer_generated(int64_t blocks);
std::unique_ptr<IntegerProduct> make_integer_generated(const IntegerEntries& entries, CodeRange range, int64_t blocks);

// Entries anywhere, by generated code. AVX-512 alone. Fours of columns that groups of rows bring together, and the rows
// that multiply by them, as many as are expected.
struct MatchedSteps {
  double fours, steps;
};
MatchedSteps matched_steps(int64_t rows, int64_t columns, int64_t entries);
bool can_make_integer_matched(int64_t rows, int64_t columns, int64_t entries);
std::unique_ptr<IntegerProduct> make_integer_matched(const IntegerEntries& entries, CodeRange range);

// Weights −1 and 1, whose sums 16 bits are proved to hold. Whether code can be made for so many, where there is memory
// for it.
bool can_make_integer_signs(int64_t entries);
std::unique_ptr<IntegerProduct> make_integer_signs(const IntegerEntries& entries, CodeRange range);

// Few samples. What it is expected to take for so many entries, all of them −1 or 1 where `signs` says so.
VectorCost cost_of_integer_vector(int64_t rows, int64_t columns, int64_t entries, bool signs);
std::unique_ptr<IntegerProduct> make_integer_vector(const IntegerEntries& entries, CodeRange range, VectorSteps kind);

}  // namespace espalier::sparse
