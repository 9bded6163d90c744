#include "sparse/gathered_rows.h"

#include <algorithm>
#include <limits>
#include <numeric>

// Greedily: the next row of a group is the one that adds the fewest columns, less those it shares.
namespace espalier::sparse {

std::vector<int32_t> gathered_rows(const Pattern& pattern, int64_t groups) {
  // A pool of rows at a time, in whole groups: what is looked at for each row grows with it.
  constexpr int64_t kPool = 512;
  constexpr int32_t kTaken = std::numeric_limits<int32_t>::min() / 2;
  const int64_t pools = (pattern.rows + kPool - 1) / kPool;
  std::vector<int32_t> order;
  order.reserve(static_cast<size_t>(pattern.rows));
  std::vector<int64_t> in_group(static_cast<size_t>(pattern.columns), -1);  // the last one that has the column
  std::vector<int32_t> start, rows_of, fit;
  for (int64_t pool = 0; pool < pools; ++pool) {
    const int64_t from = groups * pool / pools, to = groups * (pool + 1) / pools;
    const int64_t first = pattern.rows * from / groups, last = pattern.rows * to / groups;
    // The pool's rows by column.
    const int64_t begin = pattern.begin(first), end = last > first ? pattern.end(last - 1) : begin;
    start.assign(static_cast<size_t>(pattern.columns) + 2, 0);
    for (int64_t i = begin; i < end; ++i) ++start[static_cast<size_t>(pattern.at(i)) + 2];
    std::partial_sum(start.begin(), start.end(), start.begin());
    rows_of.resize(static_cast<size_t>(end - begin));
    for (int64_t r = first; r < last; ++r)
      for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i)
        rows_of[static_cast<size_t>(start[static_cast<size_t>(pattern.at(i)) + 1]++)] = static_cast<int32_t>(r - first);
    // Twice the columns that a row shares with the group, less all it has.
    fit.assign(static_cast<size_t>(last - first), 0);
    for (int64_t g = from; g < to; ++g) {
      for (int64_t r = first; r < last; ++r) {
        int32_t& of = fit[static_cast<size_t>(r - first)];
        if (of > kTaken / 2) of = static_cast<int32_t>(pattern.begin(r) - pattern.end(r));
      }
      while (static_cast<int64_t>(order.size()) < pattern.rows * (g + 1) / groups) {
        // (The most, then where it is: the first of these is done with vectors.)
        int32_t most = kTaken;
        for (const int32_t of : fit) most = std::max(most, of);
        const auto best = std::find(fit.begin(), fit.end(), most);
        *best = kTaken;
        const int64_t row = first + (best - fit.begin());
        order.push_back(static_cast<int32_t>(row));
        for (int64_t i = pattern.begin(row); i < pattern.end(row); ++i) {
          const size_t c = static_cast<size_t>(pattern.at(i));
          if (in_group[c] == g) continue;
          in_group[c] = g;
          for (int32_t k = start[c]; k < start[c + 1]; ++k)
            fit[static_cast<size_t>(rows_of[static_cast<size_t>(k)])] += 2;
        }
      }
    }
  }
  return order;
}

}  // namespace espalier::sparse
