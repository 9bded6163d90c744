// The steps in which a kernel goes through the entries of a block of columns, row by row.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"

namespace espalier::sparse {

struct StepsCall {
  const int32_t* start;  // of each row's sum, unless sums were begun
  SumsPlace from, to;    // those begun, or null; where they go
  bool relu, as_float;   // what is done to them at last
  int64_t samples;       // that are computed
};

class IntegerSteps {
 public:
  virtual ~IntegerSteps() = default;
  virtual int64_t bytes() const = 0;
  // Of rows that are computed together.
  virtual int64_t groups() const = 0;
  // That of a row which begins a run of kRowsOfRun, or of all rows' end.
  virtual int64_t group_of(int64_t row) const = 0;
  // Those of groups [first, last), from the codes of the block's columns.
  virtual void multiply(int64_t first, int64_t last, const void* codes, const StepsCall& call) const = 0;
};

// What is cut out of a matrix: columns [first, last), of which each row's entries begin at `next`, which is moved past
// them.
struct ColumnsOfEntries {
  const IntegerEntries& entries;
  IntegerRowsKind kind;
  int64_t first, last;
  std::vector<int64_t>& next;
};

// As many products as a lane adds up at once, four rows together.
std::unique_ptr<IntegerSteps> make_integer_lanes(const ColumnsOfEntries& columns);
// Products of bytes in pairs, whose sums 16 bits are proved to hold for codes from 0 to `greatest`. AVX2 alone.
std::unique_ptr<IntegerSteps> make_integer_pairs(const ColumnsOfEntries& columns, int32_t greatest);

// Rows that neighbour each other among those of make_integer_pairs: their sums are still near when they are unpacked.
constexpr int64_t kRowsOfRun = 64;

// Codes stand in units of so many bytes: offsets of 16 bits then reach half a megabyte, and addressing multiplies for
// nothing.
constexpr int kOffsetUnit = 8;

}  // namespace espalier::sparse
