#include "sparse/generated.h"

#include <algorithm>
#include <numeric>

#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/cost.h"
#include "sparse/panel_product.h"
#include "sparse/walk.h"

// A function is made for each group of rows and block of columns. It holds its rows' sums of one panel in
// registers, walks the columns of its block once, loads the 16 samples of a column that has kept entries, and
// issues a multiply-add for each of these. The values stand in a stream of their own, in the order in which
// the code reads them: an optimiser's step writes the stream and leaves the code.
namespace espalier::sparse {
namespace {

// What a function is given: the panel from its first column on, its part of the value stream, where to
// write (a line a row), what the sums start from, and the least they may end at, if there is one (0 for ReLU).
using Function = void (*)(const float* x, const float* values, float* sums, const float* start, const float* floor);

// Columns of a block: X and the sums then mostly stay in the second-level cache.
constexpr int64_t kMostColumns = 800;
// Entries whose code no longer stays in the second-level cache. Then each function's is to be fetched once for as many
// panels as there are, and to stay in the first-level cache meanwhile.
constexpr int64_t kMuchCode = 100'000, kEntriesOfPiece = 2600, kPanelsOfMuchCode = 16;
// About ten bytes of code an entry; more than this is fetched from memory, slower than entries are looked up.
constexpr int64_t kMostEntries = int64_t{3} << 20;
constexpr double kBytesOfEntry = 9.6, kNearbyCode = 1.5e6, kNearbyBytesACycle = 16, kFarBytesACycle = 2;
constexpr size_t kAlignment = 64;

// The registers of a group's sums, by instruction set: rows × (16 samples).
struct Shape512 {
  static constexpr int kRows = 28;
  static constexpr int kOperands = 28, kOperandCount = 4;
  static void load_x(Assembler& to, int turn, int32_t offset) { to.load512(kOperands + turn, kRdi, offset); }
  static void multiply(Assembler& to, int row, int turn, int32_t offset) {
    to.multiply_add512(row, kOperands + turn, kRsi, offset);
  }
  static void start(Assembler& to, int row) { to.broadcast512(row, kRcx, 4 * row); }
  static void resume(Assembler& to, int row) { to.load512(row, kRdx, 64 * row); }
  static void load_floor(Assembler& to) { to.broadcast512(kOperands, kR8, 0); }
  static void raise(Assembler& to, int row) { to.maximum512(row, kOperands); }
  static void store(Assembler& to, int row) { to.store512(kRdx, 64 * row, row); }
  // Bytes to either side that a one-byte displacement reaches.
  static constexpr int32_t kReachX = 128 * 64, kReachValues = 128 * 4;
};
// Two registers a row, which share the broadcast that AVX2's multiply-add cannot make for itself.
struct Shape256 {
  static constexpr int kRows = 6;
  static constexpr int kOperands = 12, kOperandCount = 1, kValue = 14;
  static void load_x(Assembler& to, int, int32_t offset) {
    to.load256(kOperands, kRdi, offset);
    to.load256(kOperands + 1, kRdi, offset + 32);
  }
  static void multiply(Assembler& to, int row, int, int32_t offset) {
    // Two registers by turns, so that one broadcast need not wait for the last one's use.
    const int value = kValue + (row & 1);
    to.broadcast256(value, kRsi, offset);
    to.multiply_add256(2 * row, kOperands, value);
    to.multiply_add256(2 * row + 1, kOperands + 1, value);
  }
  static void start(Assembler& to, int row) {
    to.broadcast256(2 * row, kRcx, 4 * row);
    to.broadcast256(2 * row + 1, kRcx, 4 * row);
  }
  static void resume(Assembler& to, int row) {
    to.load256(2 * row, kRdx, 64 * row);
    to.load256(2 * row + 1, kRdx, 64 * row + 32);
  }
  static void load_floor(Assembler& to) { to.broadcast256(kValue, kR8, 0); }
  static void raise(Assembler& to, int row) {
    to.maximum256(2 * row, kValue);
    to.maximum256(2 * row + 1, kValue);
  }
  static void store(Assembler& to, int row) {
    to.store256(kRdx, 64 * row, 2 * row);
    to.store256(kRdx, 64 * row + 32, 2 * row + 1);
  }
  static constexpr int32_t kReachX = 96, kReachValues = 128;
};

// One function: the rows [first, last) and the entries of each that lie in its block, from `next` on.
struct Block {
  int64_t first_row, last_row;
  int64_t first_column, last_column;
  bool starts, ends;  // the first, the last block of its rows
};

// The entries of a block by column and then row.
struct Entry {
  int row;  // within the block
  int32_t entry;
};
class ByColumn {
 public:
  // `next` says for each row which of its entries is the first in this block, and is moved to the next block's.
  ByColumn(const Block& block, const Pattern& pattern, std::vector<int64_t>& next)
      : start_(static_cast<size_t>(block.last_column - block.first_column) + 1) {
    std::vector<int64_t> end;
    for (int64_t r = block.first_row; r < block.last_row; ++r) {
      int64_t i = next[static_cast<size_t>(r)];
      for (; i < pattern.end(r) && pattern.at(i) < block.last_column; ++i)
        ++start_[static_cast<size_t>(pattern.at(i) - block.first_column) + 1];
      end.push_back(i);
    }
    std::partial_sum(start_.begin(), start_.end(), start_.begin());
    entries_.resize(static_cast<size_t>(start_.back()));
    std::vector<int32_t> place(start_.begin(), start_.end() - 1);
    for (int64_t r = block.first_row; r < block.last_row; ++r) {
      const int row = static_cast<int>(r - block.first_row);
      int64_t& from = next[static_cast<size_t>(r)];
      for (; from < end[static_cast<size_t>(row)]; ++from) {
        int32_t& at = place[static_cast<size_t>(pattern.at(from) - block.first_column)];
        entries_[static_cast<size_t>(at++)] = {row, static_cast<int32_t>(from)};
      }
    }
  }
  const Entry* begin(int64_t column) const { return entries_.data() + start_[static_cast<size_t>(column)]; }
  const Entry* end(int64_t column) const { return begin(column + 1); }

 private:
  std::vector<int32_t> start_;
  std::vector<Entry> entries_;
};

template <class Shape>
void emit(const Block& block, const ByColumn& entries, Assembler& code, std::vector<int32_t>& order) {
  const int rows = static_cast<int>(block.last_row - block.first_row);
  for (int r = 0; r < rows; ++r) block.starts ? Shape::start(code, r) : Shape::resume(code, r);
  Walk x{kRdi, Shape::kReachX}, values{kRsi, Shape::kReachValues};
  int turn = 0;
  int32_t value = 0;
  for (int64_t c = 0; c < block.last_column - block.first_column; ++c) {
    if (entries.begin(c) == entries.end(c)) continue;
    turn = (turn + 1) % Shape::kOperandCount;
    Shape::load_x(code, turn, x.to(code, static_cast<int32_t>(c * kPanel * 4)));
    for (const Entry* e = entries.begin(c); e != entries.end(c); ++e, ++value) {
      Shape::multiply(code, e->row, turn, values.to(code, value * 4));
      order.push_back(e->entry);
    }
  }
  if (block.ends) {
    const size_t no_floor = code.jump_if_zero(kR8);
    Shape::load_floor(code);
    for (int r = 0; r < rows; ++r) Shape::raise(code, r);
    code.land(no_floor);
  }
  for (int r = 0; r < rows; ++r) Shape::store(code, r);
  code.end();
}

class Generated final : public PanelProduct {
 public:
  using PanelProduct::PanelProduct;

  // False where the system gives no executable memory.
  template <class Shape>
  bool make(const Pattern& pattern, const std::vector<int32_t>& origin) {
    groups_ = (rows_ + Shape::kRows - 1) / Shape::kRows;
    int64_t most_columns = kMostColumns;
    if (pattern.entries() > kMuchCode)
      most_columns = std::clamp(kEntriesOfPiece * groups_ * columns_ / pattern.entries(), int64_t{128}, kMostColumns);
    blocks_ = (columns_ + most_columns - 1) / most_columns;
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    std::vector<int32_t> order;
    order.reserve(origin.size());
    Assembler code;
    for (int64_t g = 0; g < groups_; ++g)
      for (int64_t b = 0; b < blocks_; ++b) {
        // Blocks alike in size, groups too: a last one of a row or two would waste its loads.
        const Block block{first_row(g), first_row(g + 1), columns_ * b / blocks_, columns_ * (b + 1) / blocks_,
                          b == 0,       b == blocks_ - 1};
        code.align(kAlignment);
        pieces_.push_back({block, code.size(), static_cast<int64_t>(order.size())});
        emit<Shape>(block, ByColumn(block, pattern, next), code, order);
      }
    for (int32_t& entry : order) entry = origin[static_cast<size_t>(entry)];
    stream_ = Stream(std::move(order));
    return code_.hold(code.code());
  }

  void set_values(const float* values) override { stream_.set(values); }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }
  int64_t bytes() const override { return code_size() + stream_.bytes(); }

 private:
  struct Piece {
    Block block;
    size_t code;
    int64_t values;
  };

  int64_t groups() const override { return groups_; }
  int64_t first_row(int64_t group) const override { return rows_ * group / groups_; }
  int64_t panels_together() const override {
    return has_much_code() ? kPanelsOfMuchCode : PanelProduct::panels_together();
  }
  bool has_much_code() const { return stream_.size() > kMuchCode; }

  // A function's code is fetched once for all panels; its sums stay in the first-level cache from block to block.
  void run(const Work& work) const override {
    constexpr float kZeros[Shape512::kRows] = {};
    const float floor = 0.0f;
    const int64_t begin = first_row(work.first_group);
    for (int64_t i = work.first_group * blocks_; i < work.last_group * blocks_; ++i) {
      const Piece& piece = pieces_[static_cast<size_t>(i)];
      const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
      const float* const x = work.x + piece.block.first_column * kPanel;
      const float* const start = work.bias == nullptr ? kZeros : work.bias + piece.block.first_row;
      float* const y = work.y + (piece.block.first_row - begin) * kPanel;
      for (int64_t p = 0; p < work.panels; ++p) {
        if (has_much_code()) fetch_ahead(i + 1, p, work.panels);
        function(x + p * work.x_panel, stream_.data() + piece.values, y + p * work.y_panel, start,
                 work.relu ? &floor : nullptr);
      }
    }
  }

  // A part of what a piece will need, into the second-level cache: processors hardly look ahead for instructions.
  void fetch_ahead(int64_t piece, int64_t part, int64_t parts) const {
    if (piece == static_cast<int64_t>(pieces_.size())) return;
    const int64_t from = static_cast<int64_t>(pieces_[static_cast<size_t>(piece)].code);
    const int64_t lines = (end_of_code(piece) - from + 63) / 64;
    for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line)
      __builtin_prefetch(code_.at(static_cast<size_t>(from + line * 64)), 0, 2);
  }
  int64_t end_of_code(int64_t piece) const {
    const size_t next = static_cast<size_t>(piece) + 1;
    return static_cast<int64_t>(next < pieces_.size() ? pieces_[next].code : code_.size());
  }

  int64_t groups_ = 0, blocks_ = 0;
  std::vector<Piece> pieces_;  // by group, then by block
  Stream stream_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<Product> make_generated(const Pattern& pattern, const std::vector<int32_t>& origin) {
#if ESPALIER_X86
  if (!can_generate() || pattern.entries() > kMostEntries) return nullptr;
  auto made = std::make_unique<Generated>(pattern.rows, pattern.columns);
  const bool done =
      isa() == Isa::avx512 ? made->make<Shape512>(pattern, origin) : made->make<Shape256>(pattern, origin);
  return done ? std::move(made) : nullptr;
#else
  // No emitter for this processor.
  (void)pattern, (void)origin;
  return nullptr;
#endif
}

namespace {

// Lines of X that groups of rows ask for: columns in which a group has an entry.
int64_t lines_of(const Pattern& pattern, bool transposed) {
  int64_t lines = 0;
  if (transposed) {
    for (int64_t r = 0; r < pattern.rows; ++r)
      for (int64_t i = pattern.begin(r), group = -1; i < pattern.end(r); ++i)
        if (pattern.at(i) / Shape512::kRows != group) group = pattern.at(i) / Shape512::kRows, ++lines;
    return lines;
  }
  std::vector<int64_t> last(static_cast<size_t>(pattern.columns), -1);
  for (int64_t r = 0; r < pattern.rows; ++r)
    for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i) {
      int64_t& group = last[static_cast<size_t>(pattern.at(i))];
      lines += group != r / Shape512::kRows;
      group = r / Shape512::kRows;
    }
  return lines;
}

}  // namespace

double cost_of_generated(const Pattern& pattern, int64_t samples, bool transposed) {
  if (!can_generate() || pattern.entries() > kMostEntries) return Format::kNever;
  const int64_t rows = transposed ? pattern.columns : pattern.rows,
                columns = transposed ? pattern.rows : pattern.columns;
  const double entries = static_cast<double>(pattern.entries());
  // The first-level cache gives values and samples through the ports that take in what the second-level one sends.
  const double lines = static_cast<double>(lines_of(pattern, transposed));
  const double cycles =
      std::max(entries * cycles_of_entry(), entries * 0.5 + lines * 2.2) + static_cast<double>(rows) * 3;
  // With few panels the code is fetched for hardly any use.
  const double bytes = entries * kBytesOfEntry;
  const double fetching = bytes / (bytes < kNearbyCode ? kNearbyBytesACycle : kFarBytesACycle);
  return kCycle * (kCycleOfCall + static_cast<double>(panels_of(samples)) * cycles + fetching +
                   cycles_of_panels(rows, columns, samples));
}

namespace {

class GeneratedFormat final : public Format {
 public:
  std::string name() const override { return "generated"; }
  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    return cost_of_generated(pattern, samples, transposed);
  }
  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool) const override {
    return make_generated(pattern, origin);
  }
};

}  // namespace

std::unique_ptr<Format> generated_format() { return std::make_unique<GeneratedFormat>(); }

}  // namespace espalier::sparse
