// Weights −1 and 1 by generated code, in sums of 16 bits: an addition or a subtraction an entry, the sign in the
// instruction, nowhere a multiplication and no weight in memory. For as many rows as there are registers for their sums
// a function walks the columns of its block once, widens the codes of one that any of them keeps, and adds them. Twice
// as many samples stand in a register as sums of 32 bits would let; that 16 hold every one is proved beforehand.
#include <algorithm>
#include <numeric>

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
using Function = void (*)(const int16_t* x, int16_t* sums, const int16_t* start);

// As of generated products of float32.
constexpr int64_t kMostEntries = int64_t{3} << 20;
constexpr int64_t kParts = 8;
constexpr size_t kAlignment = 64;

// How a product is cut.
struct Cut {
  // Columns of a block: all, if they are no more than these, or fewer if there are several.
  int64_t most_columns, columns_of_several;
  int64_t turn_bytes;  // of code that takes turns; 0: all of it
  int64_t calls;       // of a function, for as many samples each, before sums are finished
};

// 32 samples, 64 bytes a column.
struct Words512 {
  static constexpr int kRows = 30, kOperands = 30, kOperandCount = 2;
  static constexpr int kSamples = 32, kReach = 128 * 64;
  static constexpr Cut kCut{.most_columns = 512, .columns_of_several = 384, .turn_bytes = 0, .calls = 1};
  static void load(Assembler& to, int turn, int32_t offset) { to.load512(kOperands + turn, kRdi, offset); }
  static void start(Assembler& to, int row, int32_t bias) {
    bias == 0 ? to.zero512(row) : to.broadcast_word512(row, kRdx, 2 * row);
  }
  static void resume(Assembler& to, int row) { to.load512(row, kRsi, 64 * row); }
  static void add(Assembler& to, int row, int turn) { to.add_words512(row, kOperands + turn); }
  static void subtract(Assembler& to, int row, int turn) { to.subtract_words512(row, kOperands + turn); }
  static void add_from(Assembler& to, int row, int32_t offset) { to.add_words512(row, kRdi, offset); }
  static void subtract_from(Assembler& to, int row, int32_t offset) { to.subtract_words512(row, kRdi, offset); }
  static void store(Assembler& to, int row) { to.store512(kRsi, 64 * row, row); }
};
// 16 samples. Registers 0 to 2 take the codes, for as such they make instructions of four bytes.
struct Words256 {
  static constexpr int kRows = 13, kFirstRow = 3, kOperandCount = 3;
  static constexpr int kSamples = 16, kReach = 128;
  static constexpr Cut kCut{.most_columns = 768, .columns_of_several = 768, .turn_bytes = 16 << 10, .calls = 8};
  static constexpr int kPitch = 2 * kSamples * kCut.calls;
  static void load(Assembler& to, int turn, int32_t offset) { to.load_low256(turn, kRdi, offset); }
  static void start(Assembler& to, int row, int32_t bias) {
    bias == 0 ? to.zero_words256(kFirstRow + row) : to.broadcast_word256(kFirstRow + row, kRdx, 2 * row);
  }
  static void resume(Assembler& to, int row) { to.load256(kFirstRow + row, kRsi, kPitch * row); }
  static void add(Assembler& to, int row, int turn) { to.add_words_low256(kFirstRow + row, turn); }
  static void subtract(Assembler& to, int row, int turn) { to.subtract_words_low256(kFirstRow + row, turn); }
  static void add_from(Assembler& to, int row, int32_t offset) { to.add_words_low256(kFirstRow + row, kRdi, offset); }
  static void subtract_from(Assembler& to, int row, int32_t offset) {
    to.subtract_words_low256(kFirstRow + row, kRdi, offset);
  }
  static void store(Assembler& to, int row) { to.store256(kRsi, kPitch * row, kFirstRow + row); }
};

struct Piece {
  int64_t first_row, first_column;
  size_t code;
};

struct SignEntry {
  int row;
  bool minus;
};

// The entries of some rows in a block of columns, by column and then row.
class ByColumn {
 public:
  // Of rows and columns [first, last); `next` says which of each row's entries is the first, and is moved on.
  void sort(const IntegerEntries& entries, int64_t first_row, int64_t last_row, int64_t first, int64_t last,
            std::vector<int64_t>& next) {
    const Pattern& pattern = entries.pattern;
    // (A place more: where a column begins becomes where it ends as its entries are placed.)
    start_.assign(static_cast<size_t>(last - first) + 2, 0);
    const auto each = [&](auto body) {
      for (int64_t r = first_row; r < last_row; ++r)
        for (int64_t i = next[static_cast<size_t>(r)]; i < pattern.end(r) && pattern.at(i) < last; ++i)
          body(r, i, static_cast<size_t>(pattern.at(i) - first));
    };
    each([&](int64_t, int64_t, size_t column) { ++start_[column + 2]; });
    std::partial_sum(start_.begin(), start_.end(), start_.begin());
    entries_.resize(static_cast<size_t>(start_.back()));
    each([&](int64_t r, int64_t i, size_t column) {
      entries_[static_cast<size_t>(start_[column + 1]++)] = {static_cast<int>(r - first_row),
                                                             entries.value[static_cast<size_t>(i)] < 0};
      next[static_cast<size_t>(r)] = i + 1;
    });
  }
  int64_t columns() const { return static_cast<int64_t>(start_.size()) - 2; }
  const SignEntry* begin(int64_t column) const { return entries_.data() + start_[static_cast<size_t>(column)]; }
  const SignEntry* end(int64_t column) const { return begin(column + 1); }

 private:
  std::vector<int32_t> start_;
  std::vector<SignEntry> entries_;
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
    samples_ = Words::kSamples;
    calls_ = Words::kCut.calls;
    // Codes with a sign come biased: sums then start from less. (What wraps on the way wraps back.)
    const int32_t bias = code_bias(range_);
    start_.resize(static_cast<size_t>(rows_));
    for (int64_t r = 0; r < rows_; ++r) {
      int32_t sum = 0;
      for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i) sum += entries.value[static_cast<size_t>(i)];
      start_[static_cast<size_t>(r)] = static_cast<int16_t>(static_cast<uint32_t>(-bias * sum));
    }
    groups_ = (rows_ + Words::kRows - 1) / Words::kRows;
    const int64_t most = columns_ <= Words::kCut.most_columns ? columns_ : Words::kCut.columns_of_several;
    blocks_ = most == 0 ? 1 : (columns_ + most - 1) / most;
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    ByColumn by_column;
    Assembler code;
    code.expect(static_cast<size_t>(pattern.entries() * 9 + groups_ * blocks_ * 512));
    for (int64_t g = 0; g < groups_; ++g)
      for (int64_t b = 0; b < blocks_; ++b) {
        const int64_t first_row = first_row_of(g), last_row = first_row_of(g + 1);
        const int64_t first = columns_ * b / blocks_, last = columns_ * (b + 1) / blocks_;
        code.align(kAlignment);
        pieces_.push_back({first_row, first, code.size()});
        for (int r = 0; r < last_row - first_row; ++r) b == 0 ? Words::start(code, r, bias) : Words::resume(code, r);
        by_column.sort(entries, first_row, last_row, first, last, next);
        emit<Words>(by_column, g % 2 == 1, code);
        for (int r = 0; r < last_row - first_row; ++r) Words::store(code, r);
        code.end();
      }
    if (!code_.hold(code.code())) return false;
    turns_ = groups_;
    if (Words::kCut.turn_bytes > 0)
      turns_ = std::clamp<int64_t>(Words::kCut.turn_bytes * groups_ * blocks_ / std::max<int64_t>(code_size(), 1), 1,
                                   groups_);
    return true;
  }

  void multiply(const IntegerCall& call) const override {
    const int64_t of_task = std::max(shape_.samples, calls_ * samples_);
    const int64_t tasks = (call.samples.count + of_task - 1) / of_task;
    parallel_for(tasks, [&](int64_t task) {
      const int64_t first = task * of_task, count = std::min(of_task, call.samples.count - first);
      const int64_t block = columns_ * shape_.samples;
      int16_t* const x = scratch<int16_t>(Scratch::kPackB, (count + shape_.samples - 1) / shape_.samples * block);
      for (int64_t s = 0; s < count; s += shape_.samples)
        pack_codes(call, columns_, range_, CodeOrder::words, first + s, x + s * columns_);
      const int64_t parts = tasks > 1 ? 1 : std::min(groups_, kParts);
      int16_t* const sums = scratch<int16_t>(Scratch::kPartial, rows_ * calls_ * samples_);
      parallel_for(parts, [&](int64_t part) {
        for (int64_t s = 0; s < count; s += calls_ * samples_)
          run(call, groups_ * part / parts, groups_ * (part + 1) / parts, first + s, x + s * columns_, sums);
      });
    });
  }

 private:
  int64_t first_row_of(int64_t group) const { return groups_ == 0 ? 0 : rows_ * group / groups_; }

  // Every other function walks the columns backwards: it begins with those that the last one left in the cache.
  template <class Words>
  static void emit(const ByColumn& by_column, bool backwards, Assembler& code) {
    Walk x{kRdi, Words::kReach, backwards};
    int turn = 0;
    for (int64_t i = 0; i < by_column.columns(); ++i) {
      const int64_t c = backwards ? by_column.columns() - 1 - i : i;
      const SignEntry *const begin = by_column.begin(c), *const end = by_column.end(c);
      if (begin == end) continue;
      const int32_t offset = x.to(code, static_cast<int32_t>(c * 2 * Words::kSamples));
      if (end - begin == 1) {
        begin->minus ? Words::subtract_from(code, begin->row, offset) : Words::add_from(code, begin->row, offset);
        continue;
      }
      turn = (turn + 1) % Words::kOperandCount;
      Words::load(code, turn, offset);
      for (const SignEntry* one = begin; one != end; ++one)
        one->minus ? Words::subtract(code, one->row, turn) : Words::add(code, one->row, turn);
    }
  }

  // Those groups' rows of Y, for the samples of some calls from `first` on. Some groups take turns, so that their codes
  // and their code stay in the first-level caches.
  void run(const IntegerCall& call, int64_t first_group, int64_t last_group, int64_t first, const int16_t* x,
           int16_t* sums) const {
    const int64_t calls = std::min(calls_, (call.samples.count - first + samples_ - 1) / samples_);
    const int64_t pitch = calls_ * samples_;
    for (int64_t from = first_group; from < last_group; from += turns_)
      for (int64_t of_columns = 0; of_columns < blocks_; ++of_columns)
        for (int64_t i = 0; i < calls; ++i)
          for (int64_t g = from; g < std::min(from + turns_, last_group); ++g) {
            const Piece& piece = pieces_[static_cast<size_t>(g * blocks_ + of_columns)];
            const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
            function(x + (i * columns_ + piece.first_column) * samples_, sums + piece.first_row * pitch + i * samples_,
                     start_.data() + piece.first_row);
          }
    const int64_t samples = (calls * samples_ + 31) / 32 * 32;
    const SumsPlace in_y = place_in_y(call, rows_, first, samples);
    const int64_t r = first_row_of(first_group);
    finish_words(call, rows_, {r, first_row_of(last_group) - r}, first, samples, {sums + r * pitch, pitch}, in_y);
  }

  int64_t rows_, columns_;
  CodeRange range_;
  CodeShape shape_;
  int64_t samples_ = 0, calls_ = 0;  // of a call of a function; calls before sums are finished
  int64_t groups_ = 0, blocks_ = 0, turns_ = 1;
  std::vector<Piece> pieces_;  // by group, then by block of columns
  std::vector<int16_t> start_;
  CodeMemory code_;
};

}  // namespace

bool can_make_integer_signs(int64_t entries) {
#if ESPALIER_X86
  return can_generate() && entries <= kMostEntries;
#else
  // No emitter for this processor.
  (void)entries;
  return false;
#endif
}

std::unique_ptr<IntegerProduct> make_integer_signs(const IntegerEntries& entries, CodeRange range) {
#if ESPALIER_X86
  auto made = std::make_unique<IntegerSigns>(entries, range);
  if (isa() == Isa::avx512 ? made->make<Words512>(entries) : made->make<Words256>(entries)) return made;
#else
  (void)entries, (void)range;
#endif
  return nullptr;
}

}  // namespace espalier::sparse
