// Blocks of 1×4 by generated code, with AVX-512. For a group of rows it holds their sums of one panel of 16 samples in
// registers, walks the columns by fours once, loads the codes of a four that any of the rows keeps, and issues one
// instruction, four products a lane, for each row that does. The pattern is in the instructions; the weights, four
// bytes a block, stand in a stream in the order in which the code reads them.
//
// Some groups, as much code as is executed without being decoded again, are one function, a turn: it goes through a
// panel, whose codes then stay in the first-level cache, and through all others of a task before the next turn begins.
#include <algorithm>
#include <array>
#include <bit>

#include "simd/isa.h"
#include "sparse/integer_kernels.h"
#include "sparse/integer_turns.h"
#include "sparse/walk.h"

namespace espalier::sparse {
namespace {

constexpr int kMostRows = 31, kX = 31;
constexpr int64_t kTerms = 4;
// Eight megabytes of code for their products; loads of their codes are as much again at most.
constexpr int64_t kMostBlocks = int64_t{1} << 20;

// How the work is cut.
constexpr int64_t kMostTuples = 384;                     // of a block of columns: 24 KB of codes a panel
constexpr int64_t kBytesOfGroup = 24 << 10;              // of code, of a group in a block of columns; or a tenth more
constexpr int64_t kBytesOfTurn = 32 << 10;               // of code, of the groups of a turn together
constexpr int64_t kGroupsOfTurn = 8;                     // at most: their sums stay in the first-level cache
constexpr int64_t kBytesOfStep = 7, kBytesOfEnds = 600;  // of code: a load or a product; a group's beginning and end

// The blocks that some rows keep among some columns: for every four columns which rows do, and their weights.
class Grid {
 public:
  explicit Grid(int64_t tuples) : rows_(static_cast<size_t>(tuples)), weights_(static_cast<size_t>(tuples)) {}

  // Those of rows and columns [first, last); `next` says which of each row's entries is the first, and is moved on.
  void take(const IntegerEntries& entries, int64_t first_row, int64_t last_row, int64_t first, int64_t last,
            std::vector<int64_t>& next) {
    const Pattern& pattern = entries.pattern;
    for (int64_t r = first_row; r < last_row; ++r) {
      const auto row = static_cast<size_t>(r - first_row);
      int64_t& i = next[static_cast<size_t>(r)];
      for (const int64_t end = pattern.end(r); i < end && pattern.at(i) < last; ++i) {
        const int64_t column = pattern.at(i) - first;
        const auto tuple = static_cast<size_t>(column / kTerms);
        rows_[tuple] |= uint32_t{1} << row;
        weights_[tuple][row] |= static_cast<uint32_t>(static_cast<uint8_t>(entries.value[static_cast<size_t>(i)]))
                                << (8 * (column % kTerms));
      }
    }
  }
  // A bit a row that keeps a block of the tuple.
  uint32_t rows(int64_t tuple) const { return rows_[static_cast<size_t>(tuple)]; }
  int32_t weights(int64_t tuple, int row) const {
    return static_cast<int32_t>(weights_[static_cast<size_t>(tuple)][static_cast<size_t>(row)]);
  }
  void clear() {
    for (size_t t = 0; t < rows_.size(); ++t) {
      for (uint32_t left = rows_[t]; left != 0; left &= left - 1)
        weights_[t][static_cast<size_t>(std::countr_zero(left))] = 0;
      rows_[t] = 0;
    }
  }

 private:
  std::vector<uint32_t> rows_;
  std::vector<std::array<uint32_t, kMostRows>> weights_;
};

class IntegerGenerated final : public IntegerTurns {
 public:
  IntegerGenerated(const IntegerEntries& entries, CodeRange range)
      : IntegerTurns("1x4", {CodeOrder::panels, kTerms, 1, kMostRows}, entries, range) {}

  // False where the system gives no executable memory.
  bool make(const IntegerEntries& entries, int64_t kept) {
    const Pattern& pattern = entries.pattern;
    cut(kept);
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    Grid grid((lines_ + blocks_ - 1) / blocks_ + 1);
    Assembler code;
    code.expect(
        static_cast<size_t>((kept + lines_ * groups()) * (kBytesOfStep + 1) + groups() * blocks_ * 2 * kBytesOfEnds));
    weights_.reserve(static_cast<size_t>(kept));
    Walks walks;
    return write(
        code, [&](int64_t, int64_t) { walks = {}; },
        [&](int64_t turn, int64_t group, int64_t block) {
          const int64_t first = first_row(group), last = first_row(group + 1);
          grid.take(entries, first, last, kTerms * first_line(block), kTerms * first_line(block + 1), next);
          emit(grid, static_cast<int>(first - row_of_turn(turn)), static_cast<int>(last - first), block, walks, code);
          grid.clear();
        });
  }

 private:
  // Columns into blocks, rows into turns, and these into groups.
  void cut(int64_t kept) {
    const double rows = static_cast<double>(std::max<int64_t>(rows_, 1));
    // A group's code for all columns.
    const double of_group = kBytesOfStep * (static_cast<double>(kept) / rows * kMostRows + static_cast<double>(lines_));
    blocks_ = std::max<int64_t>(
        {1, (lines_ + kMostTuples - 1) / kMostTuples, static_cast<int64_t>(of_group / kBytesOfGroup + 0.9)});
    const double of_block = of_group / static_cast<double>(blocks_) + kBytesOfEnds;
    const int64_t together = std::clamp<int64_t>(static_cast<int64_t>(kBytesOfTurn / of_block), 1, kGroupsOfTurn);
    // Whole lines of Y, where that leaves groups nearly full.
    const int64_t unit = together >= 4 ? kPanel : 1, most = together * kMostRows / unit * unit;
    cut_rows((rows_ + most - 1) / most, kMostRows, unit);
  }

  // Where a function stands in what it reads and writes.
  struct Walks {
    Walk codes{kRdi, 128 * kLine}, weights{kRsi, 128 * 4}, sums{kRdx, 128 * kLine}, start{kRcx, 128 * 4};
    int32_t steps = 0;
  };
  // A group of so many rows, `first` rows after the turn's first one.
  void emit(const Grid& grid, int first, int rows, int64_t block, Walks& walks, Assembler& code) {
    const auto sums = [&](int r) { return walks.sums.to(code, static_cast<int32_t>(kLine) * (first + r)); };
    for (int r = 0; r < rows; ++r)
      block == 0 ? code.broadcast512(r, kRcx, walks.start.to(code, 4 * (first + r))) : code.load512(r, kRdx, sums(r));
    for (int64_t t = 0; t < first_line(block + 1) - first_line(block); ++t) {
      uint32_t left = grid.rows(t);
      if (left == 0) continue;
      code.load512(kX, kRdi, walks.codes.to(code, static_cast<int32_t>(t * kLine)));
      for (; left != 0; left &= left - 1) {
        const int row = std::countr_zero(left);
        code.multiply_add_bytes512(row, kX, kRsi, walks.weights.to(code, 4 * walks.steps++));
        weights_.push_back(grid.weights(t, row));
      }
    }
    finish(block, code);
    for (int r = 0; r < rows; ++r) code.store512(kRdx, sums(r), r);
  }
};

}  // namespace

bool can_make_integer_generated(int64_t blocks) { return can_generate() && !is_avx2() && blocks <= kMostBlocks; }

std::unique_ptr<IntegerProduct> make_integer_generated(const IntegerEntries& entries, CodeRange range, int64_t blocks) {
  auto made = std::make_unique<IntegerGenerated>(entries, range);
  return made->make(entries, blocks) ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
