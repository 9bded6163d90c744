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

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"
#include "sparse/walk.h"

namespace espalier::sparse {
namespace {

// What a function is given: codes of a panel from its first column on, its part of the weights, its first row's sums (a
// line a row), what these start from, and whether they end at 0 or above and as float32 (or null).
using Function = void (*)(const uint8_t* codes, const int32_t* weights, int32_t* sums, const int32_t* start,
                          const void* relu, const void* as_float);

constexpr int kMostRows = 31, kX = 31;
constexpr int64_t kTerms = 4, kLine = 64;
constexpr size_t kAlignment = 64;
// Panels that are packed at once.
constexpr int64_t kPanelsOfBlock = 4;
// Panels whose sums are moved at once to where a row's samples stand side by side.
constexpr int64_t kPanelsInColumns = 8;
// Parts that a product of few samples is cut into at most.
constexpr int64_t kParts = 8;
// Eight megabytes of code for their products; loads of their codes are as much again at most.
constexpr int64_t kMostBlocks = int64_t{1} << 20;

// How the work is cut.
constexpr int64_t kMostTuples = 384;                     // of a block of columns: 24 KB of codes a panel
constexpr int64_t kBytesOfGroup = 24 << 10;              // of code, of a group in a block of columns; or a tenth more
constexpr int64_t kBytesOfTurn = 32 << 10;               // of code, of the groups of a turn together
constexpr int64_t kGroupsOfTurn = 8;                     // at most: their sums stay in the first-level cache
constexpr int64_t kBytesTogether = 384 << 10;            // of codes, of a task; or of one block, if it has more
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

class IntegerGenerated final : public IntegerProduct {
 public:
  IntegerGenerated(const IntegerEntries& entries, CodeRange range)
      : rows_(entries.pattern.rows),
        columns_(entries.pattern.columns),
        tuples_((columns_ + kTerms - 1) / kTerms),
        range_(range),
        start_(entries, range) {}

  std::string name() const override { return "1x4"; }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }
  int64_t bytes() const override {
    return code_size() + start_.bytes() +
           static_cast<int64_t>(weights_.size() * sizeof(int32_t) + functions_.size() * sizeof(Beginning) +
                                (first_group_.size() + first_row_.size()) * sizeof(int64_t));
  }

  // False where the system gives no executable memory.
  bool make(const IntegerEntries& entries, int64_t kept) {
    const Pattern& pattern = entries.pattern;
    cut(kept);
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    Grid grid((tuples_ + blocks_ - 1) / blocks_ + 1);
    Assembler code;
    const int64_t groups = first_group_.back();
    code.expect(
        static_cast<size_t>((kept + tuples_ * groups) * (kBytesOfStep + 1) + groups * blocks_ * 2 * kBytesOfEnds));
    weights_.reserve(static_cast<size_t>(kept));
    for (int64_t t = 0; t < turns_; ++t)
      for (int64_t b = 0; b < blocks_; ++b) {
        code.align(kAlignment);
        functions_.push_back({code.size(), weights_.size()});
        Walks walks;
        for (int64_t g = first_group_[static_cast<size_t>(t)]; g < first_group_[static_cast<size_t>(t) + 1]; ++g) {
          const int64_t first = first_row(g), last = first_row(g + 1);
          grid.take(entries, first, last, kTerms * first_tuple(b), kTerms * first_tuple(b + 1), next);
          emit(grid, static_cast<int>(first - row_of_turn(t)), static_cast<int>(last - first), b, walks, code);
          grid.clear();
        }
        code.end();
      }
    return code_.hold(code.code());
  }

  void multiply(const IntegerCall& call) const override {
    const std::vector<int32_t> start = start_.of(call);
    const int64_t blocks = (panels_of(call.samples.count) + kPanelsOfBlock - 1) / kPanelsOfBlock;
    int64_t tasks = (blocks + blocks_together() - 1) / blocks_together();
    // An even number: two threads then have as much to do. As many at least as threads need, unless turns are.
    tasks = std::min(blocks, std::max(tasks + (tasks & 1), turns_ < kParts / 2 ? kParts / 2 : 1));
    if (tasks > 1) {
      parallel_for(tasks, [&](int64_t task) {
        const int64_t first = blocks * task / tasks, last = blocks * (task + 1) / tasks;
        uint8_t* const x = scratch<uint8_t>(Scratch::kPackB, (last - first) * kPanelsOfBlock * of_panel());
        for (int64_t b = first; b < last; ++b) pack(call, b, x + (b - first) * kPanelsOfBlock * of_panel());
        run(call, start.data(), first * kPanelsOfBlock, last * kPanelsOfBlock, x, 0, turns_);
      });
      return;
    }
    // Few samples: turns of rows are shared out instead.
    uint8_t* const x = scratch<uint8_t>(Scratch::kPackB, blocks * kPanelsOfBlock * of_panel());
    parallel_for(blocks, [&](int64_t b) { pack(call, b, x + b * kPanelsOfBlock * of_panel()); });
    const int64_t parts = std::min(turns_, kParts);
    parallel_for(parts, [&](int64_t part) {
      run(call, start.data(), 0, blocks * kPanelsOfBlock, x, turns_ * part / parts, turns_ * (part + 1) / parts);
    });
  }

 private:
  // Where a function's code and its weights begin.
  struct Beginning {
    size_t code, weights;
  };

  int64_t of_panel() const { return tuples_ * kLine; }
  int64_t first_tuple(int64_t block) const { return tuples_ * block / blocks_; }
  int64_t first_row(int64_t group) const { return first_row_[static_cast<size_t>(group)]; }
  // Whose codes stay in the second-level cache for all turns; as many as make up for fetching code.
  int64_t blocks_together() const {
    return std::clamp<int64_t>(kBytesTogether / (kPanelsOfBlock * std::max<int64_t>(of_panel(), 1)), 1, 4);
  }
  int64_t row_of_turn(int64_t turn) const { return first_row(first_group_[static_cast<size_t>(turn)]); }
  void pack(const IntegerCall& call, int64_t block, uint8_t* x) const {
    pack_codes(call, columns_, range_, CodeOrder::panels, block * kPanelsOfBlock * kPanel, x);
  }

  // Columns into blocks, rows into turns, and these into groups.
  void cut(int64_t kept) {
    const double rows = static_cast<double>(std::max<int64_t>(rows_, 1));
    // A group's code for all columns.
    const double of_group =
        kBytesOfStep * (static_cast<double>(kept) / rows * kMostRows + static_cast<double>(tuples_));
    blocks_ = std::max<int64_t>(
        {1, (tuples_ + kMostTuples - 1) / kMostTuples, static_cast<int64_t>(of_group / kBytesOfGroup + 0.9)});
    const double of_block = of_group / static_cast<double>(blocks_) + kBytesOfEnds;
    const int64_t groups = std::clamp<int64_t>(static_cast<int64_t>(kBytesOfTurn / of_block), 1, kGroupsOfTurn);
    // Whole lines of Y, where that leaves groups nearly full.
    const int64_t unit = groups >= 4 ? kPanel : 1, most = groups * kMostRows / unit * unit;
    turns_ = (rows_ + most - 1) / most;
    for (int64_t t = 0; t < turns_; ++t) {
      const auto edge = [&](int64_t i) { return i == turns_ ? rows_ : rows_ / unit * i / turns_ * unit; };
      const int64_t first = edge(t), of_turn = edge(t + 1) - first, parts = (of_turn + kMostRows - 1) / kMostRows;
      first_group_.push_back(static_cast<int64_t>(first_row_.size()));
      for (int64_t g = 0; g < parts; ++g) first_row_.push_back(first + of_turn * g / parts);
    }
    first_group_.push_back(static_cast<int64_t>(first_row_.size()));
    first_row_.push_back(rows_);
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
    for (int64_t t = 0; t < first_tuple(block + 1) - first_tuple(block); ++t) {
      uint32_t left = grid.rows(t);
      if (left == 0) continue;
      code.load512(kX, kRdi, walks.codes.to(code, static_cast<int32_t>(t * kLine)));
      for (; left != 0; left &= left - 1) {
        const int row = std::countr_zero(left);
        code.multiply_add_bytes512(row, kX, kRsi, walks.weights.to(code, 4 * walks.steps++));
        weights_.push_back(grid.weights(t, row));
      }
    }
    if (block == blocks_ - 1) {
      const size_t no_floor = code.jump_if_zero(kR8);
      code.zero512(kX);
      for (int r = 0; r < rows; ++r) code.maximum_integer512(r, kX);
      code.land(no_floor);
      const size_t whole = code.jump_if_zero(kR9);
      for (int r = 0; r < rows; ++r) code.convert_integers512(r, r);
      code.land(whole);
    }
    for (int r = 0; r < rows; ++r) code.store512(kRdx, sums(r), r);
  }

  // Panels [first, last), of which x holds the codes, by turns [first_turn, last_turn).
  void run(const IntegerCall& call, const int32_t* start, int64_t first, int64_t last, const uint8_t* x,
           int64_t first_turn, int64_t last_turn) const {
    const bool in_y = call.samples.layout == ESPALIER_SPARSE_LAYOUT_PANELS;
    last = std::min(last, panels_of(call.samples.count));
    // Sums go where they belong, or near, from where some panels' are moved at once.
    const int64_t together = call.samples.layout == ESPALIER_SPARSE_LAYOUT_COLUMNS ? kPanelsInColumns : 1;
    for (int64_t t = first_turn; t < last_turn; ++t) {
      const int64_t from = row_of_turn(t), rows = row_of_turn(t + 1) - from, apart = in_y ? rows_ : rows;
      int32_t* const to =
          in_y ? static_cast<int32_t*>(call.y) + (first * rows_ + from) * kPanel
               : scratch<int32_t>(Scratch::kColumns, (blocks_ == 1 ? together : last - first) * rows * kPanel);
      // All blocks of columns of a turn, whose sums stay near meanwhile.
      for (int64_t b = 0; b < blocks_; ++b) {
        const auto [code, weights] = functions_[static_cast<size_t>(t * blocks_ + b)];
        const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(code)));
        for (int64_t p = 0; p < last - first; p += together) {
          const int64_t count = std::min(together, last - first - p);
          int32_t* const sums = in_y || blocks_ > 1 ? to + p * apart * kPanel : to;
          for (int64_t i = 0; i < count; ++i)
            function(x + (p + i) * of_panel() + first_tuple(b) * kLine, weights_.data() + weights,
                     sums + i * apart * kPanel, start + from, call.relu ? this : nullptr,
                     call.codes == Codes::float32 ? this : nullptr);
          if (b == blocks_ - 1 && !in_y)
            unpack_panels_of_sums(call, rows_, {from, rows}, sums, apart * kPanel, first + p, count);
        }
      }
    }
  }

  int64_t rows_, columns_, tuples_;
  CodeRange range_;
  int64_t blocks_ = 1, turns_ = 0;
  std::vector<int64_t> first_group_, first_row_;  // of each turn, of each group; and where the last ends
  std::vector<Beginning> functions_;              // by turn, then by block of columns
  std::vector<int32_t> weights_;
  BiasedStart start_;
  CodeMemory code_;
};

}  // namespace

bool can_make_integer_generated(int64_t blocks) { return can_generate() && !is_avx2() && blocks <= kMostBlocks; }

std::unique_ptr<IntegerProduct> make_integer_generated(const IntegerEntries& entries, CodeRange range, int64_t blocks) {
  auto made = std::make_unique<IntegerGenerated>(entries, range);
  return made->make(entries, blocks) ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
