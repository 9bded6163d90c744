// Entries anywhere by generated code, with AVX-512. For a group of six rows it holds their sums of 64 samples in
// registers. Any four columns are brought together, as `rows` does (integer_lanes.cc), but once for all rows of the
// group that keep one of them: columns are matched into fours by which rows keep them, so that a row that keeps one of
// a four mostly keeps all. The pattern is in the instructions; the weights, four bytes for a row of a four, stand in a
// stream in the order in which the code reads them.
//
// Code is several times as large as the codes, and comes from the second-level cache as fast as it is executed; a turn
// is as much of it as leaves room there for the codes of a task.
#include <algorithm>
#include <array>
#include <bit>

#include "simd/isa.h"
#include "sparse/integer_kernels.h"
#include "sparse/integer_turns.h"
#include "sparse/walk.h"

namespace espalier::sparse {
namespace {

constexpr int kRows = 6;                 // of a group
constexpr int kTerms = 4, kVectors = 4;  // products of a lane; vectors of sums of a row, a panel each
// Beside the sums: what brings four columns together.
constexpr int kFree = kRows * kVectors;

// How the work is cut.
constexpr int64_t kMostColumns = 576;        // of a block: 36 KB of codes, as in `rows`
constexpr int64_t kBytesOfTurn = 256 << 10;  // of code
constexpr double kBytesOfFour = 80, kBytesOfStep = 28, kBytesOfRow = 60;
// Of code. (Twice as much is slower than steps where the third-level cache has lost it meanwhile.)
constexpr double kMostCode = 3.5e6;
// A turn's rows are reached by offsets of 32 bits.
constexpr int64_t kMostRowsOfAll = int64_t{1} << 20;

int64_t blocks_of(int64_t columns) { return std::max<int64_t>(1, (columns + kMostColumns - 1) / kMostColumns); }
// Of code, as many as are expected.
double bytes_of_code(int64_t rows, int64_t columns, const MatchedSteps& of) {
  return of.fours * kBytesOfFour + of.steps * kBytesOfStep +
         static_cast<double>(rows) * static_cast<double>(blocks_of(columns)) * kBytesOfRow;
}

// Which of a group's rows keep a column, a bit each.
using Kept = uint8_t;
constexpr int kPatterns = 1 << kRows;

// For each set of rows all others, from the one that adds the fewest to it, and has the most of it, on.
struct Order {
  std::array<std::array<Kept, kPatterns - 1>, kPatterns> of;
  Order() {
    for (unsigned rows = 0; rows < kPatterns; ++rows) {
      auto& others = of[rows];
      for (unsigned i = 1; i < kPatterns; ++i) others[i - 1] = static_cast<Kept>(i);
      const auto cost = [&](unsigned other) { return kPatterns * std::popcount(other & ~rows) - std::popcount(other); };
      std::stable_sort(others.begin(), others.end(), [&](Kept a, Kept b) { return cost(a) < cost(b); });
    }
    // The first of a four: what most rows keep.
    std::reverse(of[0].begin(), of[0].end());
  }
};

// Four columns; where there are no more, the first again, without rows that keep it.
struct Four {
  std::array<int32_t, kTerms> column;
  Kept rows;
};

// The entries of a group of rows in a block of columns, and their columns matched.
class Group {
 public:
  explicit Group(int64_t columns)
      : rows_(static_cast<size_t>(columns)),
        weight_(static_cast<size_t>(columns)),
        next_(static_cast<size_t>(columns)) {}

  // Those of rows and columns [first, last); `next` says which of each row's entries is the first, and is moved on.
  void take(const IntegerEntries& entries, int64_t first_row, int64_t last_row, int64_t first, int64_t last,
            std::vector<int64_t>& next) {
    std::fill(rows_.begin(), rows_.end(), Kept{0});
    const Pattern& pattern = entries.pattern;
    for (int64_t r = first_row; r < last_row; ++r) {
      const auto row = static_cast<size_t>(r - first_row);
      int64_t& i = next[static_cast<size_t>(r)];
      for (const int64_t end = pattern.end(r); i < end && pattern.at(i) < last; ++i) {
        const auto column = static_cast<size_t>(pattern.at(i) - first);
        rows_[column] = static_cast<Kept>(rows_[column] | 1u << row);
        weight_[column][row] = static_cast<uint8_t>(entries.value[static_cast<size_t>(i)]);
      }
    }
    match(static_cast<int32_t>(last - first));
  }
  const std::vector<Four>& fours() const { return fours_; }
  int32_t weights(const Four& four, int row) const {
    uint32_t bits = 0;
    for (int i = 0; i < kTerms; ++i) {
      const auto column = static_cast<size_t>(four.column[static_cast<size_t>(i)]);
      const bool again = i > 0 && four.column[static_cast<size_t>(i)] == four.column[0];
      if (!again && (rows_[column] >> row & 1) != 0)
        bits |= uint32_t{weight_[column][static_cast<size_t>(row)]} << (8 * i);
    }
    return static_cast<int32_t>(bits);
  }

 private:
  // From the column that most rows keep on, three others that add as few rows to it as there are. Then fours of many
  // rows and of few by turns: the former wait for products, the latter for shuffles.
  void match(int32_t columns) {
    static const Order order;
    std::array<int32_t, kPatterns> first;  // of the columns of a pattern, which next_ chains
    first.fill(-1);
    int64_t left = 0;
    for (int32_t c = columns - 1; c >= 0; --c) {
      const Kept rows = rows_[static_cast<size_t>(c)];
      if (rows == 0) continue;
      next_[static_cast<size_t>(c)] = first[rows];
      first[rows] = c;
      ++left;
    }
    found_.clear();
    int64_t steps = 0;
    while (left > 0) {
      Four four{{}, 0};
      for (int i = 0; i < kTerms; ++i) {
        auto& column = four.column[static_cast<size_t>(i)];
        if (left == 0) {
          column = four.column[0];
          continue;
        }
        const auto& others = order.of[four.rows];
        const Kept rows = *std::find_if(others.begin(), others.end(), [&](Kept r) { return first[r] >= 0; });
        column = first[rows];
        first[rows] = next_[static_cast<size_t>(column)];
        four.rows = static_cast<Kept>(four.rows | rows);
        --left;
      }
      steps += std::popcount(four.rows);
      found_.push_back(four);
    }
    std::stable_sort(found_.begin(), found_.end(),
                     [](const Four& a, const Four& b) { return std::popcount(a.rows) < std::popcount(b.rows); });
    fours_.clear();
    const auto fours = static_cast<int64_t>(found_.size());
    int64_t ahead = 0;  // steps of what was taken, less as many at the average, times the fours
    for (int64_t low = 0, high = fours; low < high;) {
      fours_.push_back(found_[static_cast<size_t>(ahead <= 0 ? --high : low++)]);
      ahead += fours * std::popcount(fours_.back().rows) - steps;
    }
  }

  std::vector<Kept> rows_;                                               // by column
  std::vector<std::array<uint8_t, static_cast<size_t>(kRows)>> weight_;  // of those rows
  std::vector<int32_t> next_;
  std::vector<Four> found_, fours_;
};

class IntegerMatched final : public IntegerTurns {
 public:
  IntegerMatched(const IntegerEntries& entries, CodeRange range)
      : IntegerTurns("rows", {CodeOrder::columns, 1, kVectors, kFree}, entries, range) {}

  // False where the system gives no executable memory.
  bool make(const IntegerEntries& entries, const MatchedSteps& expected) {
    blocks_ = blocks_of(columns_);
    const double of_code = bytes_of_code(rows_, columns_, expected);
    const int64_t of_groups = (rows_ + kRows - 1) / kRows;
    cut_rows(std::clamp<int64_t>(static_cast<int64_t>(of_code / kBytesOfTurn / static_cast<double>(blocks_) + 0.9), 1,
                                 std::max<int64_t>(of_groups, 1)),
             kRows, 1);
    const Pattern& pattern = entries.pattern;
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    Group group((columns_ + blocks_ - 1) / blocks_ + 1);
    Assembler code;
    code.expect(static_cast<size_t>(1.2 * of_code));
    weights_.reserve(static_cast<size_t>(1.2 * expected.steps));
    Walks walks;
    return write(
        code,
        [&](int64_t, int64_t) {
          walks = {};
          begin(code);
        },
        [&](int64_t turn, int64_t g, int64_t block) {
          const int64_t first = first_row(g), last = first_row(g + 1);
          group.take(entries, first, last, first_line(block), first_line(block + 1), next);
          emit(group, static_cast<int32_t>(first - row_of_turn(turn)), static_cast<int>(last - first), block, walks,
               code);
        });
  }

 private:
  static constexpr int32_t kReach = 128 * kLine;
  // Where a panel's sums, and the codes of 256 columns, are reached from.
  static constexpr std::array<Gpr, 4> kSums{kRdx, kR10, kR11, kRax};
  static constexpr std::array<Gpr, 2> kCodes{kRdi, kR9};

  // Where a function stands in what it reads and writes; of sums, in each panel.
  struct Walks {
    Walk weights{kRsi, 128 * 4}, start{kRcx, 128 * 4};
    int32_t sums = 0, steps = 0;
  };

  // (Beyond 512 columns displacements take four bytes.)
  static void begin(Assembler& code) {
    for (size_t j = 1; j < kSums.size(); ++j) {
      code.move(kSums[j], kSums[j - 1]);
      code.add(kSums[j], kR9);
    }
    code.add(kCodes[0], kReach);
    code.move(kCodes[1], kCodes[0]);
    code.add(kCodes[1], 2 * kReach);
  }
  static void load(int to, int32_t column, Assembler& code) {
    const int32_t at = column * static_cast<int32_t>(kLine) - kReach;
    if (at < kReach) code.load512(to, kCodes[0], at);
    else code.load512(to, kCodes[1], at - 2 * kReach);
  }

  // A group of so many rows, `first` rows after the turn's first one.
  void emit(const Group& group, int32_t first, int rows, int64_t block, Walks& walks, Assembler& code) {
    if ((first + rows) * static_cast<int32_t>(kLine) - walks.sums > kReach) {
      for (const Gpr base : kSums) code.add(base, first * static_cast<int32_t>(kLine) + kReach - walks.sums);
      walks.sums = first * static_cast<int32_t>(kLine) + kReach;
    }
    const auto sums = [&](int r) { return (first + r) * static_cast<int32_t>(kLine) - walks.sums; };
    for (int r = 0; r < rows; ++r) {
      const int sum = r * kVectors;
      if (block == 0) code.broadcast512(sum, kRcx, walks.start.to(code, 4 * (first + r)));
      for (int j = 0; j < kVectors; ++j)
        if (block > 0) code.load512(sum + j, kSums[static_cast<size_t>(j)], sums(r));
        else if (j > 0) code.move512(sum + j, sum);
    }
    for (const Four& four : group.fours()) {
      // What a register holds, as it is done: columns; their bytes by twos; by fours.
      enum : int { kA = kFree, kB, kC, kD, kE, kF };
      load(kA, four.column[0], code);
      load(kB, four.column[1], code);
      code.interleave_bytes512(0, kE, kA, kB);
      code.interleave_bytes512(1, kA, kA, kB);
      load(kC, four.column[2], code);
      load(kD, four.column[3], code);
      code.interleave_bytes512(0, kF, kC, kD);
      code.interleave_bytes512(1, kC, kC, kD);
      code.interleave_words512(0, kB, kE, kF);
      code.interleave_words512(1, kE, kE, kF);
      code.interleave_words512(0, kF, kA, kC);
      code.interleave_words512(1, kA, kA, kC);
      constexpr std::array<int, kVectors> kTogether{kB, kE, kF, kA};
      for (unsigned left = four.rows; left != 0; left &= left - 1) {
        const int row = std::countr_zero(left);
        const int32_t weights = walks.weights.to(code, 4 * walks.steps++);
        for (int j = 0; j < kVectors; ++j)
          code.multiply_add_bytes512(row * kVectors + j, kTogether[static_cast<size_t>(j)], kRsi, weights);
        weights_.push_back(group.weights(four, row));
      }
    }
    finish(block, code);
    for (int r = 0; r < rows; ++r)
      for (int j = 0; j < kVectors; ++j) code.store512(kSums[static_cast<size_t>(j)], sums(r), r * kVectors + j);
  }
};

}  // namespace

MatchedSteps matched_steps(int64_t rows, int64_t columns, int64_t entries) {
  if (rows == 0 || columns == 0 || entries == 0) return {0, 0};
  // As if entries stood at random.
  const double of_row = static_cast<double>(entries) / static_cast<double>(rows),
               kept = of_row / static_cast<double>(columns);
  double none = 1;
  for (int r = 0; r < kRows; ++r) none *= 1 - kept;
  const double groups = static_cast<double>(rows) / kRows, all = static_cast<double>(columns) / kTerms;
  constexpr double kOfFour = 3.6;  // entries that a row keeps of a four that it keeps any of
  return {groups * (1 - none) * all, std::min(static_cast<double>(entries) / kOfFour, static_cast<double>(rows) * all)};
}

bool can_make_integer_matched(int64_t rows, int64_t columns, int64_t entries) {
  return can_generate() && !is_avx2() && rows <= kMostRowsOfAll &&
         bytes_of_code(rows, columns, matched_steps(rows, columns, entries)) <= kMostCode;
}

std::unique_ptr<IntegerProduct> make_integer_matched(const IntegerEntries& entries, CodeRange range) {
  const Pattern& pattern = entries.pattern;
  auto made = std::make_unique<IntegerMatched>(entries, range);
  const MatchedSteps expected = matched_steps(pattern.rows, pattern.columns, pattern.entries());
  return made->make(entries, expected) ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
