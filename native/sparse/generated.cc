#include "sparse/generated.h"

#include <algorithm>
#include <limits>

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

// What a function is given: the panel from its first column on, its part of the value stream, where to write
// (a row every `stride` bytes), what the sums start from, and the least they may end at (−∞, or 0 for ReLU).
using Function = void (*)(const float* x, const float* values, float* y, int64_t stride, const float* start,
                          const float* floor);

// Columns of a block: their part of a panel (64 bytes each) stays in the first-level cache.
constexpr int64_t kBlockColumns = 384;
// One block up to here: cutting in two costs a pass over the sums.
constexpr int64_t kMostColumns = 640;
// Panels a piece of code is used for before the next: it is fetched once for all of them, while their part of
// X (24 KiB each) stays in the second-level cache.
constexpr int64_t kPanelsAtOnce = 24;
constexpr size_t kAlignment = 64;

// The registers of a group's sums, by instruction set: rows × (16 samples).
struct Shape512 {
  static constexpr int kRows = 28;
  static constexpr int kOperands = 28, kOperandCount = 4;
  static void load_x(Assembler& to, int turn, int32_t offset) { to.load512(kOperands + turn, kRdi, offset); }
  static void multiply(Assembler& to, int row, int turn, int32_t offset) {
    to.multiply_add512(row, kOperands + turn, kRsi, offset);
  }
  static void start(Assembler& to, int row) { to.broadcast512(row, kR8, 4 * row); }
  static void resume(Assembler& to, int row, Gpr at) { to.load512(row, at, 0); }
  static void load_floor(Assembler& to) { to.broadcast512(kOperands, kR9, 0); }
  static void raise(Assembler& to, int row) { to.maximum512(row, kOperands); }
  static void store(Assembler& to, int row) { to.store512(kRdx, 0, row); }
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
    to.broadcast256(2 * row, kR8, 4 * row);
    to.broadcast256(2 * row + 1, kR8, 4 * row);
  }
  static void resume(Assembler& to, int row, Gpr at) {
    to.load256(2 * row, at, 0);
    to.load256(2 * row + 1, at, 32);
  }
  static void load_floor(Assembler& to) { to.broadcast256(kValue, kR9, 0); }
  static void raise(Assembler& to, int row) {
    to.maximum256(2 * row, kValue);
    to.maximum256(2 * row + 1, kValue);
  }
  static void store(Assembler& to, int row) {
    to.store256(kRdx, 0, 2 * row);
    to.store256(kRdx, 32, 2 * row + 1);
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
  if (!block.starts) code.move(kR10, kRdx);
  for (int r = 0; r < rows; ++r) {
    if (block.starts) Shape::start(code, r);
    else {
      if (r > 0) code.add(kR10, kRcx);
      Shape::resume(code, r, kR10);
    }
  }
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
    Shape::load_floor(code);
    for (int r = 0; r < rows; ++r) Shape::raise(code, r);
  }
  for (int r = 0; r < rows; ++r) {
    if (r > 0) code.add(kRdx, kRcx);
    Shape::store(code, r);
  }
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
        float* const packed = scratch<float>(Scratch::kPackB, count * columns_ * kPanel);
        pack_panels(samples, columns_, x, first, count, packed);
        run(samples, first, count, 0, groups_, packed, bias, relu, y);
      });
      return;
    }
    // Few samples: the groups of rows are shared out instead.
    float* const packed = scratch<float>(Scratch::kPackB, panels * columns_ * kPanel);
    pack_panels(samples, columns_, x, 0, panels, packed);
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
    const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
    const int64_t begin = rows_ * first_group / groups_, rows = rows_ * last_group / groups_ - begin;
    // Whole panels of columns are written where they belong; others go through panels of their own.
    const bool whole = !samples.by_row && (first + count) * kPanel <= samples.count;
    float* const sums = whole ? nullptr : scratch<float>(Scratch::kColumns, count * rows * kPanel);
    const int64_t stride = (whole ? samples.count : kPanel) * static_cast<int64_t>(sizeof(float));
    for (size_t b = 0; b < pieces_.size(); b += static_cast<size_t>(groups_))
      for (int64_t g = first_group; g < last_group; ++g) {
        const Piece& piece = pieces_[b + static_cast<size_t>(g)];
        const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
        const float* const start = bias == nullptr ? kZeros : bias + piece.block.first_row;
        for (int64_t p = 0; p < count; ++p)
          function(packed + (p * columns_ + piece.block.first_column) * kPanel, stream_.data() + piece.values,
                   whole ? y + piece.block.first_row * samples.count + (first + p) * kPanel
                         : sums + (p * rows + piece.block.first_row - begin) * kPanel,
                   stride, start, &floor);
      }
    if (!whole) unpack_panels(samples, {begin, rows, rows_}, sums, first, count, y);
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
