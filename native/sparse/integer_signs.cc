// Weights −1 and 1 by generated code, in sums of 16 bits: an addition or a subtraction an entry, the sign in the
// instruction, nowhere a multiplication and no weight in memory. For as many rows as there are registers for their
// sums, a group, code walks the columns of a block once and adds the codes of each to the rows that keep it. Twice as
// many samples stand in a register as sums of 32 bits would let; that 16 hold every one is proved beforehand, and what
// wraps on its way wraps back. Codes are words once X is packed: widened for each group they would cost a shuffle a
// column.
#include <algorithm>
#include <array>
#include <cstddef>

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/by_column.h"
#include "sparse/code_memory.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"
#include "sparse/walk.h"

namespace espalier::sparse {
namespace {

// At most nine bytes of code each.
constexpr int64_t kMostEntries = int64_t{3} << 20;
constexpr int64_t kParts = 8;
constexpr size_t kAlignment = 64;

// Where a group of so many rows has its sums, and how one is added to; codes are at rdi, sums at rsi.
//
// 32 samples. The rows' registers are counted down, so that the last row's is 0 in every group: what is done with a
// group's sums is common code, entered at its first row's.
struct Words512 {
  static constexpr int kRows = 30, kOperands = 30, kOperandCount = 2;
  static constexpr int kSamples = 32, kReach = 128 * 64;
  // Columns of a block: those whose codes fill the first-level cache, or fewer where sums are put down and taken up.
  static constexpr int64_t kMostColumns = 512, kColumnsOfSeveral = 384;

  int rows;
  int reg(int row) const { return rows - 1 - row; }
  void load(Assembler& to, int turn, int32_t offset) const { to.load512(kOperands + turn, kRdi, offset); }
  void start(Assembler& to, int row) const { to.zero512(reg(row)); }
  void resume(Assembler& to, int row) const { to.load512(reg(row), kRsi, 64 * row); }
  void add(Assembler& to, int sign, int row, int turn) const { to.add_words512(sign, reg(row), kOperands + turn); }
  void add_from(Assembler& to, int sign, int row, int32_t offset) const {
    to.add_words512(sign, reg(row), kRdi, offset);
  }
};
// 16 samples, a quarter of a block. Registers 0 to 2 take the codes, for as such they make instructions of four bytes.
struct Words256 {
  static constexpr int kRows = 13, kFirstRow = 3, kOperandCount = 3;
  static constexpr int kSamples = 16, kReach = 128;
  static constexpr int64_t kMostColumns = 768, kColumnsOfSeveral = 768;

  int rows;
  void load(Assembler& to, int turn, int32_t offset) const { to.load_low256(turn, kRdi, offset); }
  void start(Assembler& to, int row) const { to.zero_words256(kFirstRow + row); }
  void resume(Assembler& to, int row) const { to.load256(kFirstRow + row, kRsi, 128 * row); }
  void add(Assembler& to, int sign, int row, int turn) const { to.add_words_low256(sign, kFirstRow + row, turn); }
  void add_from(Assembler& to, int sign, int row, int32_t offset) const {
    to.add_words_low256(sign, kFirstRow + row, kRdi, offset);
  }
  void store(Assembler& to, int row) const { to.store256(kRsi, 128 * row, kFirstRow + row); }
};

// The additions of a group. A column of one entry is added from memory; codes of others are loaded once.
template <class Words>
void emit_additions(const ByColumn& by_column, const int8_t* sign, const Words& words, bool backwards, Walk& x,
                    Assembler& code) {
  int turn = 0;
  for (int64_t i = 0; i < by_column.columns(); ++i) {
    const int64_t c = backwards ? by_column.columns() - 1 - i : i;
    const auto entries = by_column.at(c);
    if (entries.empty()) continue;
    const int32_t offset = x.to(code, static_cast<int32_t>(c * 2 * Words::kSamples));
    if (entries.size() == 1) {
      const auto [row, entry] = entries[0];
      words.add_from(code, sign[entry], row, offset);
      continue;
    }
    turn = (turn + 1) % Words::kOperandCount;
    words.load(code, turn, offset);
    for (const auto [row, entry] : entries) words.add(code, sign[entry], row, turn);
  }
}

// How rows are cut into groups, and columns into blocks.
struct Cut {
  int64_t rows, columns, groups, blocks;
  template <class Words>
  static Cut of(const Pattern& pattern) {
    const int64_t most = pattern.columns <= Words::kMostColumns ? Words::kMostColumns : Words::kColumnsOfSeveral;
    return {pattern.rows, pattern.columns, (pattern.rows + Words::kRows - 1) / Words::kRows,
            std::max<int64_t>(1, (pattern.columns + most - 1) / most)};
  }
  int64_t row(int64_t group) const { return rows * group / groups; }
  int64_t column(int64_t block) const { return columns * block / blocks; }
};

class IntegerSigns : public IntegerProduct {
 public:
  IntegerSigns(const Cut& cut, CodeRange range) : cut_(cut), range_(range) {}

  std::string name() const override { return "signs"; }
  int sum_bits() const override { return 16; }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }

 protected:
  Cut cut_;
  CodeRange range_;
  CodeMemory code_;
};

// AVX-512: all groups' code stands in a row, and runs so for 32 samples: the columns' codes stay in the first-level
// cache, and code comes from the second-level one as fast as it is needed, if nothing but its end interrupts it.
// Between groups common code puts the sums away: finished in Y, where it can take vectors.
class SignsInARow final : public IntegerSigns {
 public:
  SignsInARow(const IntegerEntries& entries, CodeRange range)
      : IntegerSigns(Cut::of<Words512>(entries.pattern), range), no_start_(static_cast<size_t>(cut_.rows)) {}

  int64_t bytes() const override {
    return code_size() + static_cast<int64_t>(group_.size() * sizeof(size_t) + no_start_.size() * sizeof(int32_t));
  }

  // False where the system gives no executable memory.
  bool make(const IntegerEntries& entries) {
    const Pattern& pattern = entries.pattern;
    ByColumn by_column(pattern);
    Assembler code;
    code.expect(static_cast<size_t>(pattern.entries() * 9 + cut_.groups * cut_.blocks * 256 + 16384));
    emit_begin(code);
    for (const Ending ending : {Ending::words, Ending::integers, Ending::floats}) emit_ending(code, ending);
    for (int64_t b = 0; b < cut_.blocks; ++b) {
      const int64_t first = cut_.column(b), last = cut_.column(b + 1);
      std::vector<size_t> leaving;
      code.align(kAlignment);
      for (int64_t g = 0; g < cut_.groups; ++g) {
        group_.push_back(code.size());
        const Words512 words{static_cast<int>(cut_.row(g + 1) - cut_.row(g))};
        for (int r = 0; r < words.rows; ++r) b == 0 ? words.start(code, r) : words.resume(code, r);
        by_column.sort(cut_.row(g), cut_.row(g + 1), first, last);
        // Every other group walks backwards: it begins with what the last one left in the cache.
        const bool backwards = g % 2 == 1;
        Walk x{kRdi, Words512::kReach, backwards};
        emit_additions(by_column, entries.value.data(), words, backwards, x, code);
        if (x.position != 0) code.add(kRdi, -x.position);
        code.call(kRdx, words.rows == most_rows() ? kEndingOfMost : kEndingOfLess);
        code.add(kR11, -1);
        leaving.push_back(code.jump_if_zero(kR11));
      }
      for (const size_t jump : leaving) code.land(jump);
      code.end();
    }
    return code_.hold(code.code());
  }

  void multiply(const IntegerCall& call) const override {
    constexpr int64_t kSamples = Words512::kSamples;
    const int64_t tasks = (call.samples.count + kSamples - 1) / kSamples;
    parallel_for(tasks, [&](int64_t task) {
      int16_t* const x = scratch<int16_t>(Scratch::kPackB, cut_.columns * kSamples);
      int16_t* const sums = scratch<int16_t>(Scratch::kPartial, cut_.rows * kSamples);
      pack_words(call, cut_.columns, range_, task * kSamples, kSamples, x);
      const int64_t parts = tasks > 1 ? 1 : std::min(cut_.groups, kParts);
      parallel_for(parts, [&](int64_t part) {
        run(call, cut_.groups * part / parts, cut_.groups * (part + 1) / parts, task * kSamples, x, sums);
      });
    });
  }

 private:
  // What becomes of sums: they are put down as they are, or finished and stored.
  enum class Ending { words, integers, floats };
  // What generated code is given of a call, beside codes and sums. Strides are in bytes, from row to row.
  struct Given {
    int32_t *y, *y_second;  // of the first row's samples, and of their second half
    int64_t y_row;
    const int32_t* start;
    int64_t groups;
    const uint8_t *first_group, *of_most, *of_less;  // code: the first group's, endings of groups of so many rows
    int32_t floor;
  };
  static constexpr int kEndingOfMost = 48, kEndingOfLess = 56, kFloor = 64;
  static_assert(offsetof(Given, of_most) == kEndingOfMost && offsetof(Given, of_less) == kEndingOfLess &&
                offsetof(Given, floor) == kFloor);
  using Function = void (*)(const int16_t* x, int16_t* sums, const Given* given);

  int64_t most_rows() const { return cut_.groups == 0 ? 0 : (cut_.rows + cut_.groups - 1) / cut_.groups; }

  static void emit_begin(Assembler& code) {
    code.load(kRcx, kRdx, offsetof(Given, y));
    code.load(kR8, kRdx, offsetof(Given, y_second));
    code.load(kR9, kRdx, offsetof(Given, y_row));
    code.load(kR10, kRdx, offsetof(Given, start));
    code.load(kR11, kRdx, offsetof(Given, groups));
    code.jump(kRdx, offsetof(Given, first_group));
  }
  // Row by row, from the one in the last register on. (Code of its own in each group would come from the second-level
  // cache each time, and be as much as a third of the additions'.)
  void emit_ending(Assembler& code, Ending ending) {
    constexpr int kFirst = Words512::kOperands, kSecond = kFirst + 1;
    for (int reg = Words512::kRows - 1; reg >= 0; --reg) {
      ending_[static_cast<size_t>(ending)][static_cast<size_t>(reg)] = code.size();
      if (ending == Ending::words) code.store512(kRsi, 0, reg);
      else {
        code.widen_words512(kFirst, reg);
        code.second_half512(kSecond, reg);
        code.widen_words512(kSecond, kSecond);
        for (const int half : {kFirst, kSecond}) {
          code.add_integer512(half, kR10, 0);
          code.maximum_integer512(half, kRdx, kFloor);
          if (ending == Ending::floats) code.convert_integers512(half, half);
        }
        code.store512(kRcx, 0, kFirst);
        code.store512(kR8, 0, kSecond);
        code.add(kRcx, kR9);
        code.add(kR8, kR9);
        code.add(kR10, sizeof(int32_t));
      }
      code.add(kRsi, 2 * Words512::kSamples);
    }
    code.leave();
  }

  const uint8_t* ending_of(Ending ending, int64_t rows) const {
    return code_.at(ending_[static_cast<size_t>(ending)][static_cast<size_t>(std::max<int64_t>(rows, 1) - 1)]);
  }

  // Rows of Y of groups [first_group, last_group), for 32 samples from `first` on.
  void run(const IntegerCall& call, int64_t first_group, int64_t last_group, int64_t first, const int16_t* x,
           int16_t* sums) const {
    const SumsPlace in_y = place_in_y(call, cut_.rows, first, Words512::kSamples);
    const int64_t r = cut_.row(first_group);
    int16_t* const own_sums = sums + r * Words512::kSamples;
    const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(0)));
    Given given{};
    given.groups = last_group - first_group;
    given.start = (call.start == nullptr ? no_start_.data() : call.start) + r;
    given.floor = call.relu ? 0 : INT32_MIN;
    for (int64_t b = 0; b < cut_.blocks; ++b) {
      Ending ending = Ending::words;
      if (b + 1 == cut_.blocks && in_y.at != nullptr) {
        ending = call.codes == Codes::float32 ? Ending::floats : Ending::integers;
        given.y = in_y.vector_of(r, 0);
        given.y_second = in_y.vector_of(r, 1);
        given.y_row = in_y.row * static_cast<int64_t>(sizeof(int32_t));
      }
      given.first_group = code_.at(group_[static_cast<size_t>(b * cut_.groups + first_group)]);
      given.of_most = ending_of(ending, most_rows());
      given.of_less = ending_of(ending, most_rows() - 1);
      function(x + cut_.column(b) * Words512::kSamples, own_sums, &given);
    }
    if (in_y.at == nullptr)
      finish_words(call, cut_.rows, {r, cut_.row(last_group) - r}, first, Words512::kSamples,
                   {own_sums, Words512::kSamples}, in_y);
  }

  std::vector<size_t> group_;  // code, by block of columns, then by group
  std::array<std::array<size_t, Words512::kRows>, 3> ending_{};
  std::vector<int32_t> no_start_;
};

// AVX2: a function for each group and block of columns.
class SignsByTurns final : public IntegerSigns {
 public:
  SignsByTurns(const IntegerEntries& entries, CodeRange range)
      : IntegerSigns(Cut::of<Words256>(entries.pattern), range), shape_(code_shape()) {}

  int64_t bytes() const override { return code_size() + static_cast<int64_t>(function_.size() * sizeof(size_t)); }

  bool make(const IntegerEntries& entries) {
    const Pattern& pattern = entries.pattern;
    ByColumn by_column(pattern);
    Assembler code;
    code.expect(static_cast<size_t>(pattern.entries() * 9 + cut_.groups * cut_.blocks * 512));
    for (int64_t g = 0; g < cut_.groups; ++g)
      for (int64_t b = 0; b < cut_.blocks; ++b) {
        code.align(kAlignment);
        function_.push_back(code.size());
        const Words256 words{static_cast<int>(cut_.row(g + 1) - cut_.row(g))};
        for (int r = 0; r < words.rows; ++r) b == 0 ? words.start(code, r) : words.resume(code, r);
        by_column.sort(cut_.row(g), cut_.row(g + 1), cut_.column(b), cut_.column(b + 1));
        Walk x{kRdi, Words256::kReach};
        emit_additions(by_column, entries.value.data(), words, false, x, code);
        for (int r = 0; r < words.rows; ++r) words.store(code, r);
        code.end();
      }
    if (!code_.hold(code.code())) return false;
    turns_ = std::clamp<int64_t>(kTurnBytes * cut_.groups * cut_.blocks / std::max<int64_t>(code_size(), 1), 1,
                                 std::max<int64_t>(cut_.groups, 1));
    return true;
  }

  void multiply(const IntegerCall& call) const override {
    const int64_t blocks = (call.samples.count + shape_.samples - 1) / shape_.samples;
    const int64_t tasks = (blocks + kBlocksTogether - 1) / kBlocksTogether;
    parallel_for(tasks, [&](int64_t task) {
      const int64_t first = blocks * task / tasks, count = blocks * (task + 1) / tasks - first;
      const int64_t x_block = cut_.columns * shape_.samples, sums_block = cut_.rows * shape_.samples;
      int16_t* const x = scratch<int16_t>(Scratch::kPackB, count * x_block);
      int16_t* const sums = scratch<int16_t>(Scratch::kPartial, count * sums_block);
      for (int64_t b = 0; b < count; ++b)
        pack_words(call, cut_.columns, range_, (first + b) * shape_.samples, shape_.samples, x + b * x_block);
      const int64_t parts = tasks > 1 ? 1 : std::min(cut_.groups, kParts);
      parallel_for(parts, [&](int64_t part) {
        run(cut_.groups * part / parts, cut_.groups * (part + 1) / parts, x, sums,
            (count - 1) * shape_.samples + samples_computed(call, (first + count - 1) * shape_.samples));
      });
      for (int64_t b = 0; b < count; ++b) finish(call, (first + b) * shape_.samples, sums + b * sums_block);
    });
  }

 private:
  // Code that takes turns; blocks of samples for it; rows finished at once, whose sums are then still near.
  static constexpr int64_t kTurnBytes = 16 << 10, kBlocksTogether = 2, kRowsFinished = 64;
  using Function = void (*)(const int16_t* x, int16_t* sums);

  // Some groups take turns, so that their codes and their code stay in the first-level caches.
  void run(int64_t first, int64_t last, const int16_t* x, int16_t* sums, int64_t samples) const {
    const int64_t calls = shape_.samples / Words256::kSamples;
    for (int64_t from = first; from < last; from += turns_)
      for (int64_t b = 0; b < cut_.blocks; ++b)
        for (int64_t i = 0; i < samples / Words256::kSamples; ++i)
          for (int64_t g = from; g < std::min(from + turns_, last); ++g) {
            const uint8_t* const code = code_.at(function_[static_cast<size_t>(g * cut_.blocks + b)]);
            const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code));
            function(x + (i * cut_.columns + cut_.column(b)) * Words256::kSamples,
                     sums + (i / calls * cut_.rows + cut_.row(g)) * shape_.samples + i % calls * Words256::kSamples);
          }
  }

  void finish(const IntegerCall& call, int64_t first, const int16_t* sums) const {
    const int64_t samples = samples_computed(call, first);
    const SumsPlace in_y = place_in_y(call, cut_.rows, first);
    for (int64_t r = 0; r < cut_.rows; r += kRowsFinished)
      finish_words(call, cut_.rows, {r, std::min(kRowsFinished, cut_.rows - r)}, first, samples,
                   {sums + r * shape_.samples, shape_.samples}, in_y);
  }

  CodeShape shape_;
  int64_t turns_ = 1;
  std::vector<size_t> function_;  // by group, then by block of columns
};

}  // namespace

bool can_make_integer_signs(int64_t entries) { return can_generate() && entries <= kMostEntries; }

std::unique_ptr<IntegerProduct> make_integer_signs(const IntegerEntries& entries, CodeRange range) {
  if (!can_make_integer_signs(entries.pattern.entries())) return nullptr;
  if (is_avx2()) {
    if (auto made = std::make_unique<SignsByTurns>(entries, range); made->make(entries)) return made;
  } else if (auto made = std::make_unique<SignsInARow>(entries, range); made->make(entries)) return made;
  return nullptr;
}

}  // namespace espalier::sparse
