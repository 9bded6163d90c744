#include "sparse/generated.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/by_column.h"
#include "sparse/code_memory.h"
#include "sparse/cost.h"
#include "sparse/gathered_rows.h"
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

// About ten bytes of code an entry; more than this is fetched from memory, slower than entries are looked up.
constexpr int64_t kMostEntries = int64_t{4} << 20;
// Sums of rows, wherever these are, stand at displacements of 32 bits from the first one's, a line each.
constexpr int64_t kMostProductRows = std::numeric_limits<int32_t>::max() / (kPanel * 4);
bool can_make(int64_t rows, int64_t entries) {
  return can_generate() && rows <= kMostProductRows && entries <= kMostEntries;
}
constexpr double kBytesOfEntry = 9.6, kMuchCode = 200e3;
constexpr size_t kAlignment = 64;
constexpr int kMostRows = 31;

// How many entries a group of so many rows has, on average, in a column in which it has any.
double entries_of_line(const Pattern& pattern, int rows) {
  const double size = static_cast<double>(pattern.rows) * static_cast<double>(pattern.columns);
  const double density = static_cast<double>(pattern.entries()) / std::max(1.0, size);
  return rows * density / std::max(1e-9, 1 - std::pow(1 - density, rows));
}
// Zen 4 waits for lines of X as well as for multiply-adds where there are few of these to a line: some (from 90% on),
// and so few that fewer lines are worth a search (from 92.5% on).
bool has_few_to_a_line(const Pattern& pattern, double entries) {
  return !is_avx2() && core() == Core::common && entries_of_line(pattern, kMostRows) < entries;
}
constexpr double kFew = 3.4, kVeryFew = 2.6;

// How the work is cut, by core.
struct Cut {
  int64_t columns;         // of a block, at most
  int64_t uncut_entries;   // of a matrix whose functions may be as long as they come
  int64_t function_bytes;  // of the others: what executes without being decoded again
  int64_t bytes_together;  // of functions that take turns with one panel's block, which the first-level cache holds
  int64_t near_bytes;      // of code that stays in the second-level cache beside samples and sums
  int64_t panel_bytes;     // of code that is worth fetching from further away for each panel
  int64_t asked_bytes;     // of code that does not come fast enough unless it is asked for

  static Cut of(const Pattern& pattern) {
    if (core() == Core::zen5) return {512, 0, 30'000, 20'000, 400'000, 200'000, 400'000};
    // (A Zen 3 has half the second-level cache of a Zen 4.)
    if (is_avx2()) return {800, 100'000, 25'000, 0, 960'000, 200'000, 960'000};
    Cut cut{800, 100'000, 25'000, 0, 960'000, 300'000, 5'000'000};
    if (has_few_to_a_line(pattern, kFew)) {
      // A block of 26 KB stays in the first-level cache while all functions go through it: these then come from the
      // second-level one, beside products that wait for other things. Up to 512 columns are not worth cutting in two:
      // most of their lines stay, if the functions do as well.
      const bool whole = pattern.columns > 420 && pattern.columns <= 512;
      cut.columns = whole ? 512 : 420;
      cut.bytes_together = whole ? 33'000 : std::numeric_limits<int64_t>::max();
    }
    return cut;
  }
};

// The registers of a group's sums, by instruction set: rows × (16 samples).
//
// A multiply-add takes its value from memory and spreads it over the samples, which costs a load an entry. A core that
// starts two multiply-adds a cycle, and two loads, would wait for those and the loads of X, and so does any where few
// entries share a line of X; there, of each eight fours of values, `fours` are loaded by one load each and spread by
// shuffles, which cost it nothing but code.
struct Shape512 {
  int fours;

  static Shape512 of(const Pattern& pattern) {
    if (core() != Core::zen5) {
      const double entries = entries_of_line(pattern, kMostRows);
      return {entries > 2.2 ? 0 : entries > 1.7 ? 2 : 3};
    }
    // As many as make up for the loads of X and the lines of it that the first-level cache takes in; more than six
    // would wait for the shuffles. They are twice as much code an entry, of which a large matrix has too much as it is.
    const double balanced = 1.6 / std::max(1.0, entries_of_line(pattern, kMostRows - 2));
    const bool much = static_cast<double>(pattern.entries()) * kBytesOfEntry > kMuchCode;
    return {std::clamp(static_cast<int>(8 * balanced * (much ? 0.5 : 1)), 0, 6)};
  }
  // Whether this four of a function is one of those, which are spread evenly.
  bool at_once(int32_t four) const { return (four + 1) * fours / 8 > four * fours / 8; }
  int rows() const { return fours == 0 ? kMostRows : kMostRows - 2; }
  int64_t bytes_of_function(const Cut& cut) const {
    return fours == 0 || core() != Core::zen5 ? cut.function_bytes : cut.function_bytes * 3 / 4;
  }
  double bytes_of_entry() const { return 7 + 7.75 * fours / 8; }

  static constexpr int kX = 31, kFour = 30, kValue = 29;
  void load_x(Assembler& to, int32_t offset) const { to.load512(kX, kRdi, offset); }
  // Entry `i` of the function, whose value is the i-th of its stream.
  void multiply(Assembler& to, int row, int32_t i, Walk& values) const {
    if (!at_once(i / 4)) {
      to.multiply_add512(row, kX, kRsi, values.to(to, i * 4));
      return;
    }
    if (i % 4 == 0) to.broadcast_four512(kFour, kRsi, values.to(to, i * 4));
    to.spread_one512(kValue, kFour, i % 4);
    to.multiply_add512(row, kX, kValue);
  }
  void start(Assembler& to, int row, int32_t of) const { to.broadcast512(row, kRcx, 4 * of); }
  void resume(Assembler& to, int row, int32_t of) const { to.load512(row, kRdx, 64 * of); }
  void load_floor(Assembler& to) const { to.broadcast512(kX, kR8, 0); }
  void raise(Assembler& to, int row) const { to.maximum512(row, kX); }
  void store(Assembler& to, int row, int32_t of) const { to.store512(kRdx, 64 * of, row); }
  // Bytes to either side that a one-byte displacement reaches.
  static constexpr int32_t kReachX = 128 * 64, kReachValues = 128 * 4;
};
// Two registers a row, which share the broadcast that AVX2's multiply-add cannot make for itself.
struct Shape256 {
  static Shape256 of(const Pattern&) { return {}; }
  static constexpr int rows() { return 6; }
  static constexpr int64_t bytes_of_function(const Cut&) { return 25'000; }
  static constexpr double bytes_of_entry() { return 16; }
  static constexpr double bytes_of_line() { return 12; }

  static constexpr int kX = 12, kValue = 14;
  void load_x(Assembler& to, int32_t offset) const {
    to.load256(kX, kRdi, offset);
    to.load256(kX + 1, kRdi, offset + 32);
  }
  void multiply(Assembler& to, int row, int32_t i, Walk& values) const {
    // Two registers by turns, so that one broadcast need not wait for the last one's use.
    const int value = kValue + (row & 1);
    to.broadcast256(value, kRsi, values.to(to, i * 4));
    to.multiply_add256(2 * row, kX, value);
    to.multiply_add256(2 * row + 1, kX + 1, value);
  }
  void start(Assembler& to, int row, int32_t of) const {
    to.broadcast256(2 * row, kRcx, 4 * of);
    to.broadcast256(2 * row + 1, kRcx, 4 * of);
  }
  void resume(Assembler& to, int row, int32_t of) const {
    to.load256(2 * row, kRdx, 64 * of);
    to.load256(2 * row + 1, kRdx, 64 * of + 32);
  }
  void load_floor(Assembler& to) const { to.broadcast256(kValue, kR8, 0); }
  void raise(Assembler& to, int row) const {
    to.maximum256(2 * row, kValue);
    to.maximum256(2 * row + 1, kValue);
  }
  void store(Assembler& to, int row, int32_t of) const {
    to.store256(kRdx, 64 * of, 2 * row);
    to.store256(kRdx, 64 * of + 32, 2 * row + 1);
  }
  static constexpr int32_t kReachX = 96, kReachValues = 128;
};

// One function: some rows, and the entries of each that lie in its block of columns.
struct Block {
  const int32_t* rows;
  int count;
  int64_t first_column, last_column;
  bool starts, ends;  // the first, the last block of its rows
};

template <class Shape>
void emit(const Shape& shape, const Block& block, const ByColumn& entries, Assembler& code,
          std::vector<int32_t>& order) {
  for (int r = 0; r < block.count; ++r)
    block.starts ? shape.start(code, r, block.rows[r]) : shape.resume(code, r, block.rows[r]);
  Walk x{kRdi, Shape::kReachX}, values{kRsi, Shape::kReachValues};
  int32_t i = 0;
  for (int64_t c = 0; c < entries.columns(); ++c) {
    if (entries.at(c).empty()) continue;
    shape.load_x(code, x.to(code, static_cast<int32_t>(c * kPanel * 4)));
    for (const auto [row, entry] : entries.at(c)) {
      shape.multiply(code, row, i++, values);
      order.push_back(entry);
    }
  }
  // The next function's values begin with a four: the places before it hold one that nobody reads.
  while (order.size() % 4 != 0) order.push_back(order.back());
  if (block.ends) {
    const size_t no_floor = code.jump_if_zero(kR8);
    shape.load_floor(code);
    for (int r = 0; r < block.count; ++r) shape.raise(code, r);
    code.land(no_floor);
  }
  for (int r = 0; r < block.count; ++r) shape.store(code, r, block.rows[r]);
  code.end();
}

class Generated final : public PanelProduct {
 public:
  using PanelProduct::PanelProduct;

  // False where the system gives no executable memory.
  template <class Shape>
  bool make(const Pattern& pattern, const std::vector<int32_t>& origin) {
    const Shape shape = Shape::of(pattern);
    cut_ = Cut::of(pattern);
    groups_ = (rows_ + shape.rows() - 1) / shape.rows();
    int64_t most_columns = cut_.columns;
    if (pattern.entries() > cut_.uncut_entries) {
      const double of_column =
          static_cast<double>(pattern.entries()) / static_cast<double>(groups_ * columns_) * shape.bytes_of_entry() + 7;
      most_columns = std::clamp(static_cast<int64_t>(static_cast<double>(shape.bytes_of_function(cut_)) / of_column),
                                int64_t{64}, most_columns);
    }
    blocks_ = (columns_ + most_columns - 1) / most_columns;
    std::vector<int32_t> rows(static_cast<size_t>(rows_));
    gathered_ = has_few_to_a_line(pattern, kVeryFew);
    if (gathered_) rows = gathered_rows(pattern, groups_);
    else std::iota(rows.begin(), rows.end(), 0);
    no_bias_.assign(static_cast<size_t>(rows_), 0.0f);
    ByColumn entries(pattern, rows);
    std::vector<int32_t> order;
    order.reserve(origin.size() + static_cast<size_t>(3 * groups_ * blocks_));
    Assembler code;
    code.expect(static_cast<size_t>(static_cast<double>(pattern.entries()) * (shape.bytes_of_entry() + 3)));
    for (int64_t b = 0; b < blocks_; ++b)
      for (int64_t g = 0; g < groups_; ++g) {
        // Blocks alike in size, groups too: a last one of a row or two would waste its loads.
        const int64_t first = rows_ * g / groups_, last = rows_ * (g + 1) / groups_;
        const Block block{.rows = rows.data() + first,
                          .count = static_cast<int>(last - first),
                          .first_column = columns_ * b / blocks_,
                          .last_column = columns_ * (b + 1) / blocks_,
                          .starts = b == 0,
                          .ends = b == blocks_ - 1};
        code.align(kAlignment);
        pieces_.push_back({block.first_column, code.size(), static_cast<int64_t>(order.size())});
        entries.sort(first, last, block.first_column, block.last_column);
        emit(shape, block, entries, code, order);
      }
    for (int32_t& entry : order) entry = origin[static_cast<size_t>(entry)];
    stream_ = Stream(std::move(order));
    return code_.hold(code.code());
  }

  void set_values(const float* values) override { stream_.set(values); }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }
  int64_t bytes() const override {
    return code_size() + stream_.bytes() +
           static_cast<int64_t>(pieces_.size() * sizeof(Piece) + no_bias_.size() * sizeof(float));
  }

 private:
  struct Piece {
    int64_t first_column;
    size_t code;
    int64_t values;
  };

  int64_t groups() const override { return groups_; }
  int64_t first_row(int64_t group) const override { return gathered_ ? 0 : rows_ * group / groups_; }
  bool rows_in_order() const override { return !gathered_; }
  int64_t panels_together() const override {
    return code_size() > cut_.near_bytes ? std::clamp<int64_t>(code_size() / cut_.panel_bytes, 8, 16)
                                         : PanelProduct::panels_together();
  }

  // Block by block of columns, so that X comes from the second-level cache; functions for all panels, so that their
  // code is fetched once; those that are short by turns, so that a panel's block is.
  void run(const Work& work) const override {
    const bool asks = code_size() > cut_.asked_bytes;
    for (int64_t b = 0; b < blocks_; ++b) {
      const int64_t first = b * groups_ + work.first_group, last = b * groups_ + work.last_group;
      for (int64_t from = first, to; from < last; from = to) {
        for (to = from + 1; to < last && end_of_code(to) - start_of_code(from) <= cut_.bytes_together;) ++to;
        const int64_t next = to < last ? to : first + groups_;
        for (int64_t p = 0; p < work.panels; ++p) {
          if (asks && next < blocks_ * groups_) fetch_ahead(next, p, work.panels);
          for (int64_t i = from; i < to; ++i) call(pieces_[static_cast<size_t>(i)], work, p);
        }
      }
    }
  }

  void call(const Piece& piece, const Work& work, int64_t panel) const {
    static constexpr float kFloor = 0;
    const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
    function(work.x + panel * work.x_panel + piece.first_column * kPanel, stream_.data() + piece.values,
             row_zero(work.y + panel * work.y_panel, first_row(work.first_group), kPanel),
             work.bias == nullptr ? no_bias_.data() : work.bias, work.relu ? &kFloor : nullptr);
  }

  // A part of a function's code, into the second-level cache: processors hardly look ahead for instructions.
  // (Inlined by force: GCC takes a function that does nothing but prefetch for one without effects, and drops its
  // calls.)
  [[gnu::always_inline]] void fetch_ahead(int64_t piece, int64_t part, int64_t parts) const {
    const int64_t from = start_of_code(piece), lines = (end_of_code(piece) - from + 63) / 64;
    for (int64_t line = lines * part / parts; line < lines * (part + 1) / parts; ++line)
      __builtin_prefetch(code_.at(static_cast<size_t>(from + line * 64)), 0, 2);
  }
  int64_t start_of_code(int64_t piece) const { return static_cast<int64_t>(pieces_[static_cast<size_t>(piece)].code); }
  int64_t end_of_code(int64_t piece) const {
    return piece + 1 < static_cast<int64_t>(pieces_.size()) ? start_of_code(piece + 1)
                                                            : static_cast<int64_t>(code_.size());
  }

  Cut cut_{};
  int64_t groups_ = 0, blocks_ = 0;
  std::vector<Piece> pieces_;  // by block, then by group
  bool gathered_ = false;      // its rows are in an order of its own
  std::vector<float> no_bias_;
  Stream stream_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<Product> make_generated(const Pattern& pattern, const std::vector<int32_t>& origin) {
  if (!can_make(pattern.rows, pattern.entries())) return nullptr;
  auto made = std::make_unique<Generated>(pattern.rows, pattern.columns);
  const bool done = is_avx2() ? made->make<Shape256>(pattern, origin) : made->make<Shape512>(pattern, origin);
  return done ? std::move(made) : nullptr;
}

namespace {

// Lines of X that groups of rows ask for: columns in which a group has an entry.
int64_t lines_of(const Pattern& pattern, int64_t rows, bool transposed) {
  int64_t lines = 0;
  if (transposed) {
    for (int64_t r = 0; r < pattern.rows; ++r)
      for (int64_t i = pattern.begin(r), group = -1; i < pattern.end(r); ++i)
        if (pattern.at(i) / rows != group) group = pattern.at(i) / rows, ++lines;
    return lines;
  }
  std::vector<int64_t> last(static_cast<size_t>(pattern.columns), -1);
  for (int64_t r = 0; r < pattern.rows; ++r)
    for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i) {
      int64_t& group = last[static_cast<size_t>(pattern.at(i))];
      lines += group != r / rows;
      group = r / rows;
    }
  return lines;
}

}  // namespace

double cost_of_generated(const Pattern& pattern, int64_t samples, bool transposed) {
  const int64_t rows = transposed ? pattern.columns : pattern.rows,
                columns = transposed ? pattern.rows : pattern.columns;
  if (!can_make(rows, pattern.entries())) return Format::kNever;
  const double entries = static_cast<double>(pattern.entries());
  const Rates& rate = rates();
  const bool narrow = is_avx2();
  const double lines = static_cast<double>(lines_of(pattern, narrow ? Shape256::rows() : kMostRows, transposed));
  const double of_panel =
      std::max(entries * rate.entry, entries * rate.value + lines * rate.line) + static_cast<double>(rows) * 3;
  // With few panels the code is fetched for hardly any use.
  const double bytes =
      narrow ? entries * Shape256::bytes_of_entry() + lines * Shape256::bytes_of_line() : entries * kBytesOfEntry;
  const double fetching =
      bytes < rate.near_code
          ? bytes / rate.near_bytes
          : bytes / rate.far_bytes * std::ceil(static_cast<double>(panels_of(samples)) / rate.panels_of_code);
  return nanoseconds_of(of_panel, rows, columns, samples) + rate.nanoseconds * fetching;
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
