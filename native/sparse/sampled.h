// The sampled dense-dense product: entries of dY·Xᵀ where a pattern keeps them.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "core/stopwatch.h"
#include "sparse/panels.h"
#include "sparse/product.h"

namespace espalier::sparse {

// The order in which a pass over some samples takes the entries: by tasks (a block of columns, whose samples stay in
// the first-level cache, and some rows), by runs of pieces. A piece is what a row keeps in a block, and the pieces of a
// run have as many entries: a processor that had to guess the turns of the innermost loop anew for every row guessed
// wrong for most, at the price of two entries each.
struct SampledPlan {
  struct Run {
    int32_t pieces, entries;  // how many pieces, of how many entries each
  };
  struct Piece {
    int32_t row, entry;  // the first of its entries
  };
  struct Task {
    int64_t column;                   // the first of the block
    int64_t first_row, last_row;      // [first, last)
    int64_t run, piece, offset, sum;  // the first of each
  };
  int64_t columns = 0;      // of a block; the last has fewer
  std::vector<Task> tasks;  // and one more, that says where the last one ends
  std::vector<Run> runs;
  std::vector<Piece> pieces;  // and a few more, since they are read ahead
  // Of each entry: the bytes from the block's first column to its own. Pieces are filled up to whole fours, which are
  // read at once.
  std::vector<uint16_t> offset;
};

// Passes over `count` panels each, from panel `first` on.
struct SampledPasses {
  int64_t first, count, passes;
};

// Where the rows of a pass's dY stand, and its panels of each.
struct SampledRows {
  const float* at;
  Layout layout;
};

class Sampled {
 public:
  explicit Sampled(const Pattern& pattern) : pattern_(pattern) {}
  // values[i] = Σ over samples of dy[row of entry i]·x[column of entry i].
  void multiply(const Samples& samples, const float* dy, const float* x, float* values);
  int64_t bytes() const;
  // Nanoseconds that orders took to make, so far.
  double making_time() const;

 private:
  void multiply(const SampledPlan& order, const SampledPasses& all, const Samples& samples, const float* dy,
                const float* x, float* values);
  // Rows of dY that a group of tasks reads.
  struct RowRange {
    int64_t first, last;  // [first, last)
  };
  SampledRows rows_of(const Samples& samples, const float* dy, const RowRange& rows, int64_t first, int64_t count,
                      bool alone) const;
  const SampledPlan& plan(int64_t panels);

  const Pattern& pattern_;
  mutable std::mutex making_;
  double making_time_ = 0;
  std::map<int64_t, SampledPlan> plans_;  // by the panels of a pass
};

}  // namespace espalier::sparse
