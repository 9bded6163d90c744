// The order in which generated code goes through a pattern.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "sparse/product.h"

namespace espalier::sparse {

// The entries of some rows in a block of columns, by column and then row. Blocks of the same rows are sorted from left
// to right.
class ByColumn {
 public:
  struct Entry {
    int32_t row;  // of those that are sorted
    int32_t entry;
  };

  // Rows in that order; or as they stand.
  ByColumn(const Pattern& pattern, std::vector<int32_t> rows)
      : pattern_(pattern), rows_(std::move(rows)), next_(pattern.row_start) {}
  explicit ByColumn(const Pattern& pattern)
      : ByColumn(pattern, std::vector<int32_t>(static_cast<size_t>(pattern.rows))) {
    std::iota(rows_.begin(), rows_.end(), 0);
  }

  // Of columns [first_column, last_column) those of rows [first_row, last_row) in the order given.
  void sort(int64_t first_row, int64_t last_row, int64_t first_column, int64_t last_column) {
    // (A place more: where a column begins becomes where it ends as its entries are placed.)
    start_.assign(static_cast<size_t>(last_column - first_column) + 2, 0);
    const auto each = [&](bool move_on, auto body) {
      for (int64_t place = first_row; place < last_row; ++place) {
        const int64_t row = rows_[static_cast<size_t>(place)], end = pattern_.end(row);
        int64_t i = next_[static_cast<size_t>(row)];
        for (; i < end && pattern_.at(i) < last_column; ++i)
          body(place - first_row, i, static_cast<size_t>(pattern_.at(i) - first_column));
        if (move_on) next_[static_cast<size_t>(row)] = i;
      }
    };
    each(false, [&](int64_t, int64_t, size_t column) { ++start_[column + 2]; });
    std::partial_sum(start_.begin(), start_.end(), start_.begin());
    entries_.resize(static_cast<size_t>(start_.back()));
    each(true, [&](int64_t row, int64_t i, size_t column) {
      entries_[static_cast<size_t>(start_[column + 1]++)] = {static_cast<int32_t>(row), static_cast<int32_t>(i)};
    });
  }

  // Of the block sorted last.
  int64_t columns() const { return static_cast<int64_t>(start_.size()) - 2; }
  std::span<const Entry> at(int64_t column) const {
    const auto c = static_cast<size_t>(column);
    return {entries_.data() + start_[c], entries_.data() + start_[c + 1]};
  }

 private:
  const Pattern& pattern_;
  std::vector<int32_t> rows_;
  std::vector<int64_t> next_;  // of each row, the first entry that was in no block yet
  std::vector<int32_t> start_;
  std::vector<Entry> entries_;
};

}  // namespace espalier::sparse
