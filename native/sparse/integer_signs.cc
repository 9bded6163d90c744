// Weights −1 and 1 by generated code, in sums of 16 bits: an addition or a subtraction an entry, the sign in the
// instruction, nowhere a multiplication and no weight in memory. For as many rows as there are registers for their sums
// a function walks the columns of its block once, widens the codes of one that any of them keeps, and adds them. Twice
// as many samples stand in a register as sums of 32 bits would let; that 16 hold every one is proved beforehand.
#include <algorithm>
#include <array>

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

// What a function is given: codes of its first column, sums of its first row, and what these start from.
using Function = void (*)(const uint8_t* x, int16_t* sums, const int16_t* start);

// Bytes of codes whose columns stay in the first-level cache; blocks of samples whose codes and sums stay in the
// second.
constexpr int64_t kMostBytes = 36 << 10, kTogether = 4;
// As of generated products of float32.
constexpr int64_t kMostEntries = int64_t{3} << 20;
constexpr int64_t kParts = 8;
constexpr size_t kAlignment = 64;

// 32 samples, half of a block of codes, which are bytes.
struct Words512 {
  static constexpr int kRows = 28, kOperands = 28, kOperandCount = 4;
  static constexpr int kSamples = 32, kCodes = 32, kReach = 128 * 32;
  static void load(Assembler& to, int turn, int32_t offset) { to.widen_bytes512(kOperands + turn, kRdi, offset); }
  static void start(Assembler& to, int row) { to.broadcast_word512(row, kRdx, 2 * row); }
  static void resume(Assembler& to, int row) { to.load512(row, kRsi, 128 * row); }
  static void add(Assembler& to, int row, int turn) { to.add_words512(row, kOperands + turn); }
  static void subtract(Assembler& to, int row, int turn) { to.subtract_words512(row, kOperands + turn); }
  static void store(Assembler& to, int row) { to.store512(kRsi, 128 * row, row); }
};
// 16 samples, which are words already.
struct Words256 {
  static constexpr int kRows = 13, kOperands = 13, kOperandCount = 3;
  static constexpr int kSamples = 16, kCodes = 32, kReach = 128;
  static void load(Assembler& to, int turn, int32_t offset) { to.load256(kOperands + turn, kRdi, offset); }
  static void start(Assembler& to, int row) { to.broadcast_word256(row, kRdx, 2 * row); }
  static void resume(Assembler& to, int row) { to.load256(row, kRsi, 32 * row); }
  static void add(Assembler& to, int row, int turn) { to.add_words256(row, kOperands + turn); }
  static void subtract(Assembler& to, int row, int turn) { to.subtract_words256(row, kOperands + turn); }
  static void store(Assembler& to, int row) { to.store256(kRsi, 32 * row, row); }
};

struct Piece {
  int64_t first_row, first_column;
  size_t code;
};

class IntegerSigns final : public IntegerProduct {
 public:
  IntegerSigns(const IntegerEntries& entries, CodeRange range)
      : rows_(entries.pattern.rows), columns_(entries.pattern.columns), range_(range), shape_(code_shape()) {}

  std::string name() const override { return "signs"; }
  int sum_bits() const override { return 16; }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }
  int64_t bytes() const override {
    return code_size() + static_cast<int64_t>(pieces_.size() * sizeof(Piece) + start_.size() * sizeof(int16_t));
  }

  // False where the system gives no executable memory.
  template <class Words>
  bool make(const IntegerEntries& entries) {
    const Pattern& pattern = entries.pattern;
    calls_ = shape_.samples / Words::kSamples;
    call_codes_ = Words::kCodes;
    call_words_ = Words::kSamples;
    groups_ = (rows_ + Words::kRows - 1) / Words::kRows;
    const int64_t of_column = shape_.samples * shape_.bytes, most = kMostBytes / of_column;
    blocks_ = std::max<int64_t>(1, (columns_ + most - 1) / most);
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    Assembler code;
    for (int64_t g = 0; g < groups_; ++g)
      for (int64_t b = 0; b < blocks_; ++b) {
        const int64_t first_row = rows_ * g / groups_, last_row = rows_ * (g + 1) / groups_;
        const int64_t first = columns_ * b / blocks_, last = columns_ * (b + 1) / blocks_;
        code.align(kAlignment);
        pieces_.push_back({first_row, first, code.size()});
        for (int r = 0; r < last_row - first_row; ++r) b == 0 ? Words::start(code, r) : Words::resume(code, r);
        emit<Words>(entries, first_row, last_row, first, last, next, code);
        for (int r = 0; r < last_row - first_row; ++r) Words::store(code, r);
        code.end();
      }
    // Codes with a sign come biased: sums then start from less. (What wraps on the way wraps back.)
    const int32_t bias = range_.low < 0 ? shape_.bias : 0;
    start_.resize(static_cast<size_t>(rows_));
    for (int64_t r = 0; r < rows_; ++r) {
      int32_t sum = 0;
      for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i) sum += entries.value[static_cast<size_t>(i)];
      start_[static_cast<size_t>(r)] = static_cast<int16_t>(static_cast<uint32_t>(-bias * sum));
    }
    return code_.hold(code.code());
  }

  void multiply(const IntegerCall& call) const override {
    const int64_t blocks = (call.samples.count + shape_.samples - 1) / shape_.samples;
    const int64_t tasks = (blocks + kTogether - 1) / kTogether;
    parallel_for(tasks, [&](int64_t task) {
      const int64_t first = blocks * task / tasks, count = blocks * (task + 1) / tasks - first;
      const int64_t x_block = columns_ * shape_.samples * shape_.bytes, sums_block = rows_ * shape_.samples;
      uint8_t* const x = scratch<uint8_t>(Scratch::kPackB, count * x_block);
      int16_t* const sums = scratch<int16_t>(Scratch::kPartial, count * sums_block);
      for (int64_t b = 0; b < count; ++b)
        pack_codes(call, columns_, range_, CodeOrder::columns, (first + b) * shape_.samples, x + b * x_block);
      const int64_t parts = tasks > 1 ? 1 : std::min(groups_, kParts);
      parallel_for(parts, [&](int64_t part) {
        for (int64_t i = groups_ * part / parts * blocks_; i < groups_ * (part + 1) / parts * blocks_; ++i)
          for (int64_t b = 0; b < count; ++b)
            run(pieces_[static_cast<size_t>(i)], x + b * x_block, sums + b * sums_block);
      });
      for (int64_t b = 0; b < count; ++b) finish(call, (first + b) * shape_.samples, sums + b * sums_block);
    });
  }

 private:
  // The entries of a group of rows in a block of columns; `next` says which of each row's is the first, and is moved
  // on.
  template <class Words>
  void emit(const IntegerEntries& entries, int64_t first_row, int64_t last_row, int64_t first, int64_t last,
            std::vector<int64_t>& next, Assembler& code) const {
    struct Entry {
      int row;
      bool minus;
    };
    std::vector<std::vector<Entry>> by_column(static_cast<size_t>(last - first));
    for (int64_t r = first_row; r < last_row; ++r)
      for (int64_t& i = next[static_cast<size_t>(r)]; i < entries.pattern.end(r) && entries.pattern.at(i) < last; ++i)
        by_column[static_cast<size_t>(entries.pattern.at(i) - first)].push_back(
            {static_cast<int>(r - first_row), entries.value[static_cast<size_t>(i)] < 0});
    Walk x{kRdi, Words::kReach};
    int turn = 0;
    for (size_t c = 0; c < by_column.size(); ++c) {
      if (by_column[c].empty()) continue;
      turn = (turn + 1) % Words::kOperandCount;
      Words::load(code, turn,
                  x.to(code, static_cast<int32_t>(static_cast<int64_t>(c) * shape_.samples * shape_.bytes)));
      for (const Entry& one : by_column[c])
        one.minus ? Words::subtract(code, one.row, turn) : Words::add(code, one.row, turn);
    }
  }

  void run(const Piece& piece, const uint8_t* x, int16_t* sums) const {
    const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
    const uint8_t* const from = x + piece.first_column * shape_.samples * shape_.bytes;
    for (int64_t c = 0; c < calls_; ++c)
      function(from + c * call_codes_, sums + piece.first_row * shape_.samples + c * call_words_,
               start_.data() + piece.first_row);
  }

  void finish(const IntegerCall& call, int64_t first, const int16_t* sums) const {
    if (const SumsPlace in_y = place_in_y(call, rows_, first); in_y.at != nullptr) {
      finish_words(call, rows_, sums, in_y);
      return;
    }
    int32_t* const wide = scratch<int32_t>(Scratch::kColumns, rows_ * shape_.samples);
    finish_words(call, rows_, sums, {wide, shape_.samples, shape_.samples / shape_.terms});
    unpack_sums(call, rows_, wide, first, shape_.samples);
  }

  int64_t rows_, columns_;
  CodeRange range_;
  CodeShape shape_;
  int64_t calls_ = 0, call_codes_ = 0,
          call_words_ = 0;  // calls for a block; from one to the next: bytes of codes, sums
  int64_t groups_ = 0, blocks_ = 0;
  std::vector<Piece> pieces_;  // by group, then by block of columns
  std::vector<int16_t> start_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<IntegerProduct> make_integer_signs(const IntegerEntries& entries, CodeRange range) {
#if ESPALIER_X86
  const auto is_sign = [](int8_t w) { return w == 1 || w == -1; };
  if (!can_generate() || entries.pattern.entries() > kMostEntries ||
      !std::all_of(entries.value.begin(), entries.value.end(), is_sign))
    return nullptr;
  auto made = std::make_unique<IntegerSigns>(entries, range);
  const bool done = isa() == Isa::avx512 ? made->make<Words512>(entries) : made->make<Words256>(entries);
  if (done) return made;
#else
  // No emitter for this processor.
  (void)entries, (void)range;
#endif
  return nullptr;
}

}  // namespace espalier::sparse
