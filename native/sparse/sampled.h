// The sampled dense-dense product: entries of dY·Xᵀ where a pattern keeps them.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "sparse/product.h"

namespace espalier::sparse {

// The order in which a pass over some samples takes the entries: by tasks (rows that a thread owns), by blocks of
// columns (whose samples stay in the first-level cache), by runs of rows that have as many entries in the block. The
// number of turns of the innermost loop then hardly ever changes: a processor that had to guess it anew for every row
// guessed wrong for most, at the price of two entries each.
struct SampledPlan {
  struct Run {
    int32_t rows, entries;  // how many rows, of how many entries each
  };
  std::vector<int64_t> run_start, row_start, entry_start;  // of each task
  std::vector<Run> runs;
  std::vector<int32_t> row;            // of each row of a run
  std::vector<int32_t> column, entry;  // of each entry
};

class Sampled {
 public:
  explicit Sampled(const Pattern& pattern) : pattern_(pattern) {}
  // values[i] = Σ over samples of dy[row of entry i]·x[column of entry i].
  void multiply(const Samples& samples, const float* dy, const float* x, float* values);
  int64_t bytes() const;

 private:
  const SampledPlan& plan(int64_t columns);

  const Pattern& pattern_;
  mutable std::mutex making_;
  std::map<int64_t, SampledPlan> plans_;  // by columns of a block
};

}  // namespace espalier::sparse
