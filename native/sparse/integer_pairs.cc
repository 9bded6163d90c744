// AVX2 has no instruction that adds up products of bytes in 32 bits: vpmaddubsw adds up two in 16, and saturates. It is
// exact where no sum of two products can leave 16 bits, and as weights and the range of codes are known when a matrix
// is made, that is known then, too:
//
//   anywhere  The two entries of a pair are the row's to choose. One of either sign always fits (127·255 and −128·255
//             do, each alone), and most of as many of one sign as are left over do, the small ones.
//   blocks,   Neighbours are given. Of two weights of one sign that might not fit, one is taken with the other sign, by
//   dense     255 less its code: w·c = 255·w − w·(255 − c), where 255·w goes to what the sum starts from. The code is
//             flipped by an exclusive or as it is loaded. (No byte is −(−128): where both are that, a step more takes
//             what is missing of one, and a dense row takes words, two vpmaddwd instead.)
//
// Where more products fit, further steps are added in words (vpaddw) before their sums are widened, which is half of a
// step's work. How many is computed for each row: nothing may ever saturate.
#include <algorithm>
#include <array>
#include <numeric>

#include "simd/isa.h"
#include "sparse/integer_steps.h"
#include "sparse/integer_words.h"

#if ESPALIER_X86

namespace espalier {
namespace {

using sparse::kOffsetUnit;

// By row that is computed, or two of a dense matrix.
struct PairsView {
  const int32_t* row;
  const int32_t* base;      // of each of these: what is added to its sum
  const int64_t* begin;     // of its steps
  const int64_t* weight;    // of its weights
  const int32_t* together;  // steps whose sums words hold; 0 (dense): words for codes, too
  // A step: where four columns stand, and their weights; by pairs, each twice, where steps are added in words. Or in
  // blocks where the codes of four neighbours stand, their weights, and which bytes are flipped unless steps are added.
  // A dense row's step has no offset; in words weights are by two, 0 and 2, 1 and 3.
  const uint16_t* offset;
  const int32_t* weights;
  int64_t tuples;  // of neighbours, in a row
  bool blocks, dense;
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_pairs.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

class IntegerPairs final : public IntegerSteps {
 public:
  IntegerPairs(const ColumnsOfEntries& columns, int32_t greatest)
      : kind_(columns.kind), tuples_((columns.last - columns.first + 3) / 4), limit_(greatest) {
    begin_.push_back(0);
    switch (kind_) {
      case IntegerRowsKind::any: make_anywhere(columns); break;
      case IntegerRowsKind::blocks: make_blocks(columns); break;
      case IntegerRowsKind::dense: make_dense(columns); break;
    }
  }

  int64_t bytes() const override {
    const auto of = [](const auto& list) { return static_cast<int64_t>(list.size() * sizeof(list[0])); };
    return of(row_) + of(base_) + of(begin_) + of(weight_) + of(together_) + of(offset_) + of(weights_);
  }
  int64_t group_of(int64_t row) const override { return kind_ == IntegerRowsKind::dense ? (row + 1) / 2 : row; }
  int64_t groups() const override { return static_cast<int64_t>(together_.size()); }
  void multiply(int64_t first, int64_t last, const void* codes, const StepsCall& call) const override {
    const PairsView view{row_.data(),
                         base_.data(),
                         begin_.data(),
                         weight_.data(),
                         together_.data(),
                         offset_.data(),
                         weights_.data(),
                         tuples_,
                         kind_ == IntegerRowsKind::blocks,
                         kind_ == IntegerRowsKind::dense};
    avx2::multiply_integer_pairs(view, first, last, codes, call);
  }

 private:
  // Bytes from one column's codes to the next one's.
  static constexpr int64_t kColumnBytes = 64;
  // Of dense rows: sums of words and of 32 bits do not stand in registers together, a few steps would not pay for that.
  static constexpr int64_t kWorthTogether = 4;

  // The entries of row r, in the order of a deal: by weight, from the greatest down, negative ones from the least up.
  void take_entries(const ColumnsOfEntries& columns, int64_t r, std::vector<Entry>& order) const {
    const Pattern& pattern = columns.entries.pattern;
    int64_t& next = columns.next[static_cast<size_t>(r)];
    const int64_t from = next;
    while (next < pattern.end(r) && pattern.at(next) < columns.last) ++next;
    const auto weight = [&](int64_t i) { return columns.entries.value[static_cast<size_t>(i)]; };
    // 127 … 1, then −1 … −128: 127 − w is ascending.
    std::array<int32_t, 257> start{};
    for (int64_t i = from; i < next; ++i) ++start[static_cast<size_t>(128 - weight(i))];
    std::partial_sum(start.begin(), start.end(), start.begin());
    order.resize(static_cast<size_t>(next - from));
    for (int64_t i = from; i < next; ++i)
      order[static_cast<size_t>(start[static_cast<size_t>(127 - weight(i))]++)] = {
          weight(i), static_cast<uint16_t>((pattern.at(i) - columns.first) * kColumnBytes / kOffsetUnit)};
  }

  void make_anywhere(const ColumnsOfEntries& columns) {
    const int64_t rows = columns.entries.pattern.rows;
    // As dealt first, to be put in order then.
    struct Row {
      int64_t begin, steps;
      int32_t together;
    };
    std::vector<Row> made;
    std::vector<uint16_t> offset;
    std::vector<int8_t> weight;
    std::vector<Entry> order;
    Deal deal;
    for (int64_t r = 0; r < rows; ++r) {
      take_entries(columns, r, order);
      deal.find(order, limit_);
      const size_t begin = offset.size();
      made.push_back({static_cast<int64_t>(begin / 4), deal.steps(), static_cast<int32_t>(deal.together())});
      offset.resize(begin + static_cast<size_t>(4 * deal.steps()));
      weight.resize(offset.size());
      for (size_t i = 0; i < order.size(); ++i) {
        const size_t at = begin + static_cast<size_t>(deal.places()[i]);
        offset[at] = order[i].offset;
        weight[at] = order[i].weight;
      }
    }
    place_rows(rows, [&](int64_t r) {
      const Row& row = made[static_cast<size_t>(r)];
      return std::pair(row.together, row.steps);
    });
    for (const int32_t r : row_) {
      const Row& row = made[static_cast<size_t>(r)];
      begin_row(row.together, row.steps);
      const auto first = static_cast<size_t>(4 * row.begin), last = static_cast<size_t>(4 * (row.begin + row.steps));
      offset_.insert(offset_.end(), offset.begin() + static_cast<int64_t>(first),
                     offset.begin() + static_cast<int64_t>(last));
      if (row.together == 1)
        for (size_t i = first; i < last; i += 4)
          weights_.push_back(bytes_of(weight[i], weight[i + 1], weight[i + 2], weight[i + 3]));
      else
        for (size_t i = first; i < last; i += 2)
          weights_.push_back(bytes_of(weight[i], weight[i + 1], weight[i], weight[i + 1]));
    }
    base_.assign(row_.size(), 0);
  }

  void begin_row(int32_t together, int64_t steps) {
    together_.push_back(together);
    begin_.push_back(begin_.back() + steps);
    weight_.push_back(static_cast<int64_t>(weights_.size()));
  }

  // Rows of as many steps one after the other, so that loops take as many turns; but not far from their neighbours.
  template <class Key>
  void place_rows(int64_t rows, Key key) {
    row_.resize(static_cast<size_t>(rows));
    std::iota(row_.begin(), row_.end(), 0);
    for (int64_t r = 0; r < rows; r += kRowsOfRun)
      std::stable_sort(row_.begin() + r, row_.begin() + std::min(r + kRowsOfRun, rows),
                       [&](int32_t a, int32_t b) { return key(a) > key(b); });
  }

  // body(four neighbours' weights, number of the tuple) for row r, where it keeps any of them.
  template <class Body>
  void each_block(const ColumnsOfEntries& columns, int64_t r, Body body) const {
    const Pattern& pattern = columns.entries.pattern;
    int64_t& i = columns.next[static_cast<size_t>(r)];
    while (i < pattern.end(r) && pattern.at(i) < columns.last) {
      const int64_t tuple = (pattern.at(i) - columns.first) / 4, first = columns.first + tuple * 4;
      Four four{};
      for (; i < pattern.end(r) && pattern.at(i) < std::min(first + 4, columns.last); ++i)
        four[static_cast<size_t>(pattern.at(i) - first)] = columns.entries.value[static_cast<size_t>(i)];
      body(four, tuple);
    }
  }

  void make_blocks(const ColumnsOfEntries& columns) {
    struct Step {
      Four four;
      uint16_t offset;
    };
    const int64_t rows = columns.entries.pattern.rows;
    std::vector<Step> all;
    all.reserve(static_cast<size_t>(columns.entries.pattern.entries()) / 3);
    std::vector<int64_t> begin{0};
    std::vector<int32_t> together;
    for (int64_t r = 0; r < rows; ++r) {
      each_block(columns, r, [&](const Four& four, int64_t tuple) {
        const auto offset = static_cast<uint16_t>(tuple * 4 * kColumnBytes / kOffsetUnit);
        all.push_back({four, offset});
        if (const Block block(four, limit_); block.has_rest()) {
          const Four rest = block.rest();
          for (size_t t = 0; t < 4; ++t) all.back().four[t] = static_cast<int8_t>(four[t] - rest[t]);
          all.push_back({rest, offset});
        }
      });
      begin.push_back(static_cast<int64_t>(all.size()));
      const Step* const of = all.data() + begin[static_cast<size_t>(r)];
      const int64_t steps = begin.back() - begin[static_cast<size_t>(r)];
      const int64_t held = held_together(steps, limit_, [&](int64_t i) { return of[i].four; });
      together.push_back(worth_words(held, steps) ? static_cast<int32_t>(held) : 1);
    }
    const auto steps = [&](int64_t r) { return begin[static_cast<size_t>(r) + 1] - begin[static_cast<size_t>(r)]; };
    place_rows(rows, [&](int64_t r) { return std::pair(together[static_cast<size_t>(r)], steps(r)); });
    offset_.reserve(all.size());
    weights_.reserve(2 * all.size());
    for (const int32_t r : row_) {
      begin_row(together[static_cast<size_t>(r)], steps(r));
      int32_t base = 0;
      for (int64_t i = begin[static_cast<size_t>(r)]; i < begin[static_cast<size_t>(r) + 1]; ++i) {
        const Step& step = all[static_cast<size_t>(i)];
        const Block block(step.four, limit_);
        offset_.push_back(step.offset);
        weights_.push_back(block.weights());
        if (together_.back() == 1) weights_.push_back(block.flips());
        base += block.base();
      }
      base_.push_back(base);
    }
  }

  void make_dense(const ColumnsOfEntries& columns) {
    const int64_t rows = columns.entries.pattern.rows;
    std::vector<Four> weight(static_cast<size_t>(rows * tuples_));
    std::vector<int32_t> together(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) {
      Four* const row = weight.data() + r * tuples_;
      bool in_bytes = true;
      each_block(columns, r, [&](const Four& four, int64_t tuple) {
        row[tuple] = four;
        in_bytes = in_bytes && !Block(four, limit_).has_rest();
      });
      const int64_t held = held_together(tuples_, limit_, [&](int64_t i) { return row[i]; });
      together[static_cast<size_t>(r)] = !in_bytes ? 0 : static_cast<int32_t>(held < kWorthTogether ? 1 : held);
    }
    place_rows(rows, [&](int64_t r) { return together[static_cast<size_t>(r)]; });
    if (rows % 2 != 0) row_.push_back(row_.back());
    weights_.reserve(row_.size() * static_cast<size_t>(2 * tuples_));
    for (size_t i = 0; i < row_.size(); i += 2) {
      const std::array<const Four*, 2> row{weight.data() + row_[i] * tuples_, weight.data() + row_[i + 1] * tuples_};
      const int32_t both = std::min(together[static_cast<size_t>(row_[i])], together[static_cast<size_t>(row_[i + 1])]);
      begin_row(both, tuples_);
      std::array<int32_t, 2> base{};
      for (int64_t t = 0; t < tuples_; ++t)
        for (size_t one = 0; one < 2; ++one) {
          const Four& four = row[one][t];
          if (both == 0) {
            weights_.push_back(words_of(four[0], four[2]));
            weights_.push_back(words_of(four[1], four[3]));
            continue;
          }
          const Block block(four, limit_);
          weights_.push_back(block.weights());
          if (both == 1) weights_.push_back(block.flips());
          base[one] += block.base();
        }
      base_.insert(base_.end(), base.begin(), base.end());
    }
  }

  IntegerRowsKind kind_;
  int64_t tuples_;
  Limit limit_;
  std::vector<int32_t> row_, base_, together_;
  std::vector<int64_t> begin_, weight_;
  std::vector<uint16_t> offset_;
  std::vector<int32_t> weights_;
};

}  // namespace

std::unique_ptr<IntegerSteps> make_integer_pairs(const ColumnsOfEntries& columns, int32_t greatest) {
  return std::make_unique<IntegerPairs>(columns, greatest);
}

}  // namespace espalier::sparse

#else

namespace espalier::sparse {

// No such instruction; never asked for.
std::unique_ptr<IntegerSteps> make_integer_pairs(const ColumnsOfEntries& columns, int32_t) {
  return make_integer_lanes(columns);
}

}  // namespace espalier::sparse

#endif
