// AVX2 has no instruction that adds up products of bytes in 32 bits: vpmaddubsw adds up two in 16, and saturates. It is
// exact where no sum of two products can leave 16 bits, and as weights and the range of codes are known when a matrix
// is made, that is known then, too:
//
//   anywhere  The two entries of a pair are the row's to choose. One of either sign always fits (127·255 and −128·255
//             do, each alone), and most of as many signs left over do, the small ones. Not one product is lost.
//   blocks,   Neighbours are given. Blocks with a pair that might not fit take words (vpmaddwd), twice as much work:
//   dense     codes of bytes are words by a mask and a shift.
//
// Where more products fit, further steps are added in words (vpaddw) before their sums are widened, which is half of a
// step's work. How many is computed for each row, as nothing ever may saturate.
#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "simd/isa.h"
#include "sparse/integer_steps.h"

#if ESPALIER_X86

namespace espalier {
namespace {

using sparse::kOffsetUnit;

// By row that is computed, or two of a dense matrix.
struct PairsView {
  const int32_t* row;
  const int64_t* begin;     // of its steps; of a dense matrix, of its weights
  const int32_t* together;  // steps whose sums words hold; 0 (dense): take words for products
  // A step: four columns and two pairs of weights, each twice; in blocks where the codes of four neighbours begin, and
  // their weights.
  const uint16_t* offset;
  const int32_t* weights;
  // Steps in words: weights 0 and 2, weights 1 and 3.
  const int64_t* wide_begin;
  const uint16_t* wide_offset;
  const int32_t* wide_weights;
  int64_t tuples;  // of neighbours, in a row
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_pairs.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

int32_t bytes_of(int8_t a, int8_t b, int8_t c, int8_t d) {
  const auto byte = [](int8_t w, int at) { return static_cast<uint32_t>(static_cast<uint8_t>(w)) << (8 * at); };
  return static_cast<int32_t>(byte(a, 0) | byte(b, 1) | byte(c, 2) | byte(d, 3));
}
int32_t words_of(int8_t a, int8_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(a)) |
                              static_cast<uint32_t>(static_cast<uint16_t>(b)) << 16);
}

// What words hold of weights, times the greatest code: codes are none below 0, so that no part of a sum is beyond that
// of its positive weights, or of its negative ones.
struct Load {
  int32_t up = 0, down = 0;
  void add(int8_t w) { w > 0 ? up += w : down -= w; }
};
class Limit {
 public:
  explicit Limit(int32_t greatest)
      : up_(INT16_MAX / std::max(greatest, 1)), down_(-INT16_MIN / std::max(greatest, 1)) {}
  bool holds(const Load& load) const { return load.up <= up_ && load.down <= down_; }
  // How many words such a sum takes at least.
  int64_t words_for(const Load& load) const {
    return std::max<int64_t>({1, (load.up + up_ - 1) / up_, (load.down + down_ - 1) / down_});
  }

 private:
  int32_t up_, down_;
};

struct Entry {
  int8_t weight;
  uint16_t offset;
};

// A row's entries shared out to steps, by pairs: as evenly as can be, for the sums of `together` steps are words.
class Deal {
 public:
  // Where entry i of `order` went: step·4 + place.
  const std::vector<int32_t>& places() const { return place_; }
  int64_t steps() const { return steps_; }
  int64_t together() const { return together_; }

  // `order`: positive weights first, the greatest of them first, then negative ones, the least of them last. They go
  // to the words to and fro, so that the greatest are with the smallest, and those of one sign with those of the other.
  void find(const std::vector<Entry>& order, const Limit& limit) {
    const int64_t count = static_cast<int64_t>(order.size()), least = (count + 3) / 4;
    Load all;
    for (const Entry& entry : order) all.add(entry.weight);
    const int64_t turns = (limit.words_for(all) + 1) / 2;
    for (int64_t together = (least + turns - 1) / turns; together > 1; together = together * 3 / 4)
      if (deal(order, limit, least, together)) return;
    for (int64_t steps = least; !deal(order, limit, steps, 1); steps += std::max<int64_t>(1, steps / 8)) {}
  }

 private:
  bool deal(const std::vector<Entry>& order, const Limit& limit, int64_t steps, int64_t together) {
    steps_ = steps;
    together_ = together;
    const int64_t words = (steps + together - 1) / together * 2;
    const auto room = [&](int64_t word) { return 2 * std::min(together, steps - word / 2 * together); };
    load_.assign(static_cast<size_t>(words), {});
    dealt_.assign(static_cast<size_t>(words), 0);
    place_.resize(order.size());
    for (int64_t i = 0, at = 0, turn = 1; i < static_cast<int64_t>(order.size()); at += turn) {
      if (at == words) at = words - 1, turn = -1;
      if (at < 0) at = 0, turn = 1;
      const size_t word = static_cast<size_t>(at);
      if (dealt_[word] == room(at)) continue;
      load_[word].add(order[static_cast<size_t>(i)].weight);
      if (!limit.holds(load_[word])) return false;
      place_[static_cast<size_t>(i++)] =
          static_cast<int32_t>((at / 2 * together + dealt_[word] / 2) * 4 + at % 2 * 2 + dealt_[word] % 2);
      ++dealt_[word];
    }
    return true;
  }

  int64_t steps_ = 0, together_ = 1;
  std::vector<Load> load_;
  std::vector<int64_t> dealt_;
  std::vector<int32_t> place_;
};

// How many steps of four neighbours can be added in words. A power of two: what holds by eights holds by fours.
template <class At>
int64_t held_together(int64_t steps, const Limit& limit, At at) {
  for (auto together = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(steps))); together > 1; together /= 2) {
    bool holds = true;
    for (int64_t i = 0; i < steps && holds; i += together) {
      std::array<Load, 2> words;
      for (int64_t j = i; j < std::min(steps, i + together); ++j)
        for (size_t t = 0; t < 4; ++t) words[t / 2].add(at(j)[t]);
      holds = limit.holds(words[0]) && limit.holds(words[1]);
    }
    if (holds) return together;
  }
  return 1;
}

using Four = std::array<int8_t, 4>;
bool holds(const Limit& limit, const Four& four) {
  std::array<Load, 2> pairs;
  for (size_t t = 0; t < 4; ++t) pairs[t / 2].add(four[t]);
  return limit.holds(pairs[0]) && limit.holds(pairs[1]);
}

class IntegerPairs final : public IntegerSteps {
 public:
  IntegerPairs(const ColumnsOfEntries& columns, int32_t greatest)
      : kind_(columns.kind), tuples_((columns.last - columns.first + 3) / 4), limit_(greatest) {
    begin_.push_back(0);
    wide_begin_.push_back(0);
    switch (kind_) {
      case IntegerRowsKind::any: make_anywhere(columns); break;
      case IntegerRowsKind::blocks: make_blocks(columns); break;
      case IntegerRowsKind::dense: make_dense(columns); break;
    }
  }

  int64_t bytes() const override {
    const auto of = [](const auto& list) { return static_cast<int64_t>(list.size() * sizeof(list[0])); };
    return of(row_) + of(begin_) + of(together_) + of(offset_) + of(weights_) + of(wide_begin_) + of(wide_offset_) +
           of(wide_weights_);
  }
  int64_t groups() const override { return static_cast<int64_t>(begin_.size()) - 1; }
  void multiply(int64_t first, int64_t last, const void* codes, const StepsCall& call) const override {
    const PairsView view{row_.data(),        begin_.data(),       together_.data(),     offset_.data(), weights_.data(),
                         wide_begin_.data(), wide_offset_.data(), wide_weights_.data(), tuples_};
    avx2::multiply_integer_pairs(kind_, view, first, last, codes, call);
  }

 private:
  static constexpr int64_t kColumnBytes = 32;

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
      together_.push_back(row.together);
      begin_.push_back(begin_.back() + row.steps);
      const auto first = static_cast<size_t>(4 * row.begin), last = static_cast<size_t>(4 * (row.begin + row.steps));
      offset_.insert(offset_.end(), offset.begin() + static_cast<int64_t>(first),
                     offset.begin() + static_cast<int64_t>(last));
      for (size_t i = first; i < last; i += 2)
        weights_.push_back(bytes_of(weight[i], weight[i + 1], weight[i], weight[i + 1]));
    }
  }

  // Rows of as many steps one after the other, so that loops take as many turns.
  template <class Key>
  void place_rows(int64_t rows, Key key) {
    row_.resize(static_cast<size_t>(rows));
    std::iota(row_.begin(), row_.end(), 0);
    std::stable_sort(row_.begin(), row_.end(), [&](int32_t a, int32_t b) { return key(a) > key(b); });
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
    std::vector<Step> narrow, wide;
    std::vector<int64_t> narrow_begin{0}, wide_begin{0};
    for (int64_t r = 0; r < rows; ++r) {
      each_block(columns, r, [&](const Four& four, int64_t tuple) {
        (holds(limit_, four) ? narrow : wide)
            .push_back({four, static_cast<uint16_t>(tuple * 4 * kColumnBytes / kOffsetUnit)});
      });
      narrow_begin.push_back(static_cast<int64_t>(narrow.size()));
      wide_begin.push_back(static_cast<int64_t>(wide.size()));
    }
    const auto steps = [&](const std::vector<int64_t>& begin, int64_t r) {
      return begin[static_cast<size_t>(r) + 1] - begin[static_cast<size_t>(r)];
    };
    place_rows(rows, [&](int64_t r) { return std::pair(steps(narrow_begin, r), steps(wide_begin, r)); });
    for (const int32_t r : row_) {
      const Step* const from = narrow.data() + narrow_begin[static_cast<size_t>(r)];
      const int64_t count = steps(narrow_begin, r);
      together_.push_back(static_cast<int32_t>(
          held_together(count, limit_, [&](int64_t i) -> const Four& { return from[i].four; })));
      for (int64_t i = 0; i < count; ++i) {
        offset_.push_back(from[i].offset);
        weights_.push_back(bytes_of(from[i].four[0], from[i].four[1], from[i].four[2], from[i].four[3]));
      }
      begin_.push_back(begin_.back() + count);
      for (int64_t i = wide_begin[static_cast<size_t>(r)]; i < wide_begin[static_cast<size_t>(r) + 1]; ++i) {
        const Step& step = wide[static_cast<size_t>(i)];
        wide_offset_.push_back(step.offset);
        wide_weights_.push_back(words_of(step.four[0], step.four[2]));
        wide_weights_.push_back(words_of(step.four[1], step.four[3]));
      }
      wide_begin_.push_back(static_cast<int64_t>(wide_offset_.size()));
    }
  }

  void make_dense(const ColumnsOfEntries& columns) {
    const int64_t rows = columns.entries.pattern.rows;
    std::vector<Four> weight(static_cast<size_t>(rows * tuples_));
    std::vector<int32_t> together(static_cast<size_t>(rows));
    for (int64_t r = 0; r < rows; ++r) {
      Four* const row = weight.data() + r * tuples_;
      bool narrow = true;
      each_block(columns, r, [&](const Four& four, int64_t tuple) {
        row[tuple] = four;
        narrow = narrow && holds(limit_, four);
      });
      const int64_t held =
          narrow ? held_together(tuples_, limit_, [&](int64_t i) -> const Four& { return row[i]; }) : 0;
      // Sums of words and of 32 bits do not stand in registers together: a few steps would not pay for that.
      together[static_cast<size_t>(r)] = static_cast<int32_t>(held < kWorthTogether ? std::min<int64_t>(held, 1) : held);
    }
    place_rows(rows, [&](int64_t r) { return together[static_cast<size_t>(r)]; });
    if (rows % 2 != 0) row_.push_back(row_.back());
    for (size_t i = 0; i < row_.size(); i += 2) {
      const std::array<const Four*, 2> row{weight.data() + row_[i] * tuples_, weight.data() + row_[i + 1] * tuples_};
      const int32_t both = std::min(together[static_cast<size_t>(row_[i])], together[static_cast<size_t>(row_[i + 1])]);
      for (int64_t t = 0; t < tuples_; ++t)
        for (const Four* of : row)
          if (const Four& four = of[t]; both > 0) weights_.push_back(bytes_of(four[0], four[1], four[2], four[3]));
          else {
            weights_.push_back(words_of(four[0], four[2]));
            weights_.push_back(words_of(four[1], four[3]));
          }
      together_.push_back(both);
      begin_.push_back(static_cast<int64_t>(weights_.size()));
    }
  }
  static constexpr int64_t kWorthTogether = 4;

  IntegerRowsKind kind_;
  int64_t tuples_;
  Limit limit_;
  std::vector<int32_t> row_;
  std::vector<int64_t> begin_, wide_begin_;
  std::vector<int32_t> together_;
  std::vector<uint16_t> offset_, wide_offset_;
  std::vector<int32_t> weights_, wide_weights_;
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
