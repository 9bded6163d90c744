#include "sparse/generated.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/panels.h"

// A function is made for each group of rows and block of columns. It holds its rows' sums of one panel in
// registers, walks the columns of its block once, loads the 16 samples of a column that has kept entries, and
// issues a multiply-add for each of these. The values stand in a stream of their own, in the order in which
// the code reads them: an optimiser's step writes the stream and leaves the code.
namespace espalier::sparse {
namespace {

// What a function is given: the panel from its first column on, its part of the value stream, where to
// write (a line a row), what the sums start from, and the least they may end at, if there is one (0 for ReLU).
using Function = void (*)(const float* x, const float* values, float* sums, const float* start, const float* floor);

// Columns of a block: their part of a panel (64 bytes each) stays in the first-level cache.
constexpr int64_t kBlockColumns = 384;
// One block up to here: cutting in two costs a pass over the sums.
constexpr int64_t kMostColumns = 400;
// Bytes of code that are worth fetching again for every panel.
constexpr int64_t kCodeNearby = 512 << 10;
// Panels a piece of code is used for before the next: it is fetched once for all of them, while their part of
// X (24 KiB each) stays in the second-level cache.
constexpr int64_t kPanelsAtOnce = 12;
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

// Where a pointer register stands in its array, as the code is written.
struct Walk {
  Gpr base;
  int32_t reach, position = 0;
  // A displacement from the register to `target`; moves the register where one byte would not hold it.
  int32_t to(Assembler& code, int32_t target) {
    if (target - position >= reach || target - position < -reach) {
      code.add(base, target + reach - position);
      position = target + reach;
    }
    return target - position;
  }
};

// One function: the rows [first, last) and the entries of each that lie in its block, from `next` on.
struct Block {
  int64_t first_row, last_row;
  int64_t first_column, last_column;
  bool starts, ends;  // the first, the last block of its rows
};

template <class Shape>
void emit(const Block& block, const Pattern& pattern, std::vector<int64_t>& next, Assembler& code,
          std::vector<int64_t>& order) {
  const int rows = static_cast<int>(block.last_row - block.first_row);
  for (int r = 0; r < rows; ++r) block.starts ? Shape::start(code, r) : Shape::resume(code, r);
  Walk x{kRdi, Shape::kReachX}, values{kRsi, Shape::kReachValues};
  int turn = 0;
  const size_t before = order.size();
  for (int64_t c = block.first_column; c < block.last_column; ++c) {
    bool loaded = false;
    for (int r = 0; r < rows; ++r) {
      const size_t row = static_cast<size_t>(block.first_row + r);
      int64_t& at = next[row];
      if (at == pattern.row_start[row + 1] || pattern.column[static_cast<size_t>(at)] != c) continue;
      if (!loaded) {
        turn = (turn + 1) % Shape::kOperandCount;
        Shape::load_x(code, turn, x.to(code, static_cast<int32_t>((c - block.first_column) * kPanel * 4)));
        loaded = true;
      }
      Shape::multiply(code, r, turn, values.to(code, static_cast<int32_t>((order.size() - before) * 4)));
      order.push_back(at++);
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

class Generated final : public Product {
 public:
  Generated(Pattern pattern) : rows_(pattern.rows), columns_(pattern.columns) {}

  // False where the code would not fit or the system gives no executable memory.
  template <class Shape>
  bool make(const Pattern& pattern, const std::vector<int64_t>& origin, int64_t most_bytes) {
    const int64_t groups = (rows_ + Shape::kRows - 1) / Shape::kRows;
    const int64_t blocks = columns_ <= kMostColumns ? 1 : (columns_ + kBlockColumns - 1) / kBlockColumns;
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1), order;
    order.reserve(origin.size());
    Assembler code;
    for (int64_t b = 0; b < blocks; ++b) {
      // Blocks alike in size, groups too: a last one of a row or two would waste its loads.
      const int64_t first = columns_ * b / blocks, last = columns_ * (b + 1) / blocks;
      for (int64_t g = 0; g < groups; ++g) {
        const Block block{rows_ * g / groups, rows_ * (g + 1) / groups, first, last, b == 0, b == blocks - 1};
        code.align(kAlignment);
        pieces_.push_back({block, code.size(), static_cast<int64_t>(order.size())});
        emit<Shape>(block, pattern, next, code, order);
        if (static_cast<int64_t>(code.size()) > most_bytes) return false;
      }
    }
    groups_ = groups;
    origin_.resize(order.size());
    for (size_t i = 0; i < order.size(); ++i) origin_[i] = origin[static_cast<size_t>(order[i])];
    stream_.resize(order.size());
    return code_.hold(code.code());
  }

  void set_values(const float* values) override {
    for (size_t i = 0; i < origin_.size(); ++i) stream_[i] = values[origin_[i]];
  }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }

  void multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const override {
    const int64_t panels = panels_of(samples.count);
    const int64_t tasks = (panels + kPanelsAtOnce - 1) / kPanelsAtOnce;
    if (tasks > 1) {
      parallel_for(tasks, [&](int64_t task) {
        const int64_t first = panels * task / tasks, count = panels * (task + 1) / tasks - first;
        float* const packed = scratch<float>(Scratch::kPackB, count * stacked(columns_).panel);
        pack_panels(samples, columns_, x, first, count, stacked(columns_), packed);
        run(samples, first, count, 0, groups_, packed, bias, relu, y);
      });
      return;
    }
    // Few samples: the groups of rows are shared out instead.
    float* const packed = scratch<float>(Scratch::kPackB, panels * stacked(columns_).panel);
    pack_panels(samples, columns_, x, 0, panels, stacked(columns_), packed);
    const int64_t parts = std::min<int64_t>(groups_, kParts);
    parallel_for(parts, [&](int64_t part) {
      run(samples, 0, panels, groups_ * part / parts, groups_ * (part + 1) / parts, packed, bias, relu, y);
    });
  }

 private:
  struct Piece {
    Block block;
    size_t code;
    int64_t values;
  };
  // Parts that a product of few samples is cut into at most.
  static constexpr int64_t kParts = 8;

  // The rows of groups [first_group, last_group) for some panels, packed.
  void run(const Samples& samples, int64_t first, int64_t count, int64_t first_group, int64_t last_group,
           const float* packed, const float* bias, bool relu, float* y) const {
    constexpr float kZeros[Shape512::kRows] = {};
    const float floor = 0.0f;
    const int64_t begin = rows_ * first_group / groups_, rows = rows_ * last_group / groups_ - begin;
    // The sums go to panels of their own first: rows of Y may lie 4 KiB apart, and writing a line of each of a
    // group's in turn is slow.
    const Layout of_x = stacked(columns_), of_y = stacked(rows);
    float* const sums = scratch<float>(Scratch::kColumns, count * of_y.panel);
    const auto call = [&](const Piece& piece, int64_t p) {
      const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
      function(packed + p * of_x.panel + piece.block.first_column * kPanel, stream_.data() + piece.values,
               sums + p * of_y.panel + (piece.block.first_row - begin) * kPanel,
               bias == nullptr ? kZeros : bias + piece.block.first_row, relu ? &floor : nullptr);
    };
    for (size_t b = 0; b < pieces_.size(); b += static_cast<size_t>(groups_)) {
      const Piece* const pieces = pieces_.data() + b;
      const size_t end = b + static_cast<size_t>(groups_) < pieces_.size() ? pieces[groups_].code : code_.size();
      // Either the code of a block or the panels are fetched once for all of the others' turns; the panels stay in
      // the nearer cache where the code of the block stays in the second-level one.
      if (static_cast<int64_t>(end - pieces[0].code) <= kCodeNearby)
        for (int64_t p = 0; p < count; ++p)
          for (int64_t g = first_group; g < last_group; ++g) call(pieces[g], p);
      else
        for (int64_t g = first_group; g < last_group; ++g)
          for (int64_t p = 0; p < count; ++p) call(pieces[g], p);
    }
    unpack_panels(samples, {begin, rows, rows_}, sums, of_y, first, count, y);
  }

  int64_t rows_, columns_, groups_ = 0;
  std::vector<Piece> pieces_;    // by block, then by group
  std::vector<int64_t> origin_;  // of each value of the stream, its place in the matrix
  std::vector<float> stream_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<Product> make_generated(const Pattern& pattern, const std::vector<int64_t>& origin,
                                        int64_t most_bytes) {
  if (!can_generate()) return nullptr;
  auto made = std::make_unique<Generated>(pattern);
#if ESPALIER_X86
  const bool done = isa() == Isa::avx512 ? made->make<Shape512>(pattern, origin, most_bytes)
                                         : made->make<Shape256>(pattern, origin, most_bytes);
#else
  const bool done = false;
#endif
  return done ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
