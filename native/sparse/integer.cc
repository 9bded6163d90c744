#include "sparse/integer.h"

#include <algorithm>
#include <cstring>

#include "core/failure.h"
#include "simd/isa.h"
#include "sparse/cost.h"
#include "sparse/format.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"

namespace espalier::sparse {
namespace {

void require(CodeRange range) {
  if (range.low > range.high)
    fail(ESPALIER_INVALID_ARGUMENT, "range is [%d, %d], expected its low end first", range.low, range.high);
  const bool plain = range.low >= 0 && range.high <= 255, with_sign = range.low >= -128 && range.high <= 127;
  if (!plain && !with_sign)
    fail(ESPALIER_INVALID_ARGUMENT, "range is [%d, %d], expected it within 0…255 or within −128…127", range.low,
         range.high);
}

// What is to be known of a matrix before it is made: from its weights, in one pass.
struct Survey {
  Extremes extremes;
  int64_t entries = 0;
  bool signs = true;                         // all of them −1 or 1
  double magnitude = 0;                      // of all weights, added up
  double anywhere = 0, blocks = 0, all = 0;  // steps of four products
  double columns = 0;                        // that groups of rows load, of additions
  double rows = 0;
  int64_t width = 0;  // in columns
};

// A row's share. (Plain loops over bytes, which compilers turn into vectors.)
struct RowSurvey {
  int32_t entries = 0, up = 0, down = 0, blocks = 0;
};
RowSurvey survey_row(const int8_t* weight, int64_t columns) {
  RowSurvey row;
  for (int64_t c = 0; c < columns; ++c) {
    row.entries += weight[c] != 0;
    row.up += std::max<int32_t>(weight[c], 0);
    row.down += std::min<int32_t>(weight[c], 0);
  }
  int64_t c = 0;
  for (; c + 4 <= columns; c += 4) {
    int32_t four;
    std::memcpy(&four, weight + c, sizeof four);
    row.blocks += four != 0;
  }
  int32_t rest = 0;
  for (; c < columns; ++c) rest |= weight[c];
  row.blocks += rest != 0;
  return row;
}

// That a group of additions holds.
int64_t rows_of_signs() { return is_avx2() ? 13 : 30; }

Survey survey(int64_t rows, int64_t columns, const int8_t* weight, const uint8_t* mask, CodeRange range) {
  Survey all;
  // What a partial sum misses counts as 0: the range is widened to hold it.
  const int64_t low = std::min(range.low, 0), high = std::max(range.high, 0);
  std::vector<int8_t> kept(mask == nullptr ? 0 : static_cast<size_t>(columns));
  std::vector<uint8_t> loaded(static_cast<size_t>(columns));
  const int64_t group = rows_of_signs();
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* row = weight + r * columns;
    if (mask != nullptr) {
      for (int64_t c = 0; c < columns; ++c)
        kept[static_cast<size_t>(c)] = static_cast<int8_t>(mask[r * columns + c] != 0 ? row[c] : 0);
      row = kept.data();
    }
    const RowSurvey one = survey_row(row, columns);
    all.extremes.least = std::min(all.extremes.least, one.up * low + one.down * high);
    all.extremes.greatest = std::max(all.extremes.greatest, one.up * high + one.down * low);
    all.entries += one.entries;
    all.signs = all.signs && one.up - one.down == one.entries;
    all.magnitude += one.up - one.down;
    all.anywhere += (one.entries + 3) / 4;
    all.blocks += one.blocks;
    for (int64_t c = 0; c < columns; ++c) loaded[static_cast<size_t>(c)] |= static_cast<uint8_t>(row[c]);
    if (r % group == group - 1 || r == rows - 1) {
      int64_t columns_loaded = 0;
      for (int64_t c = 0; c < columns; ++c) columns_loaded += loaded[static_cast<size_t>(c)] != 0;
      all.columns += static_cast<double>(columns_loaded);
      std::fill(loaded.begin(), loaded.end(), uint8_t{0});
    }
  }
  all.rows = static_cast<double>(rows);
  all.width = columns;
  all.all = all.rows * static_cast<double>((columns + 3) / 4);
  return all;
}

// Cycles for 64 samples; they rank kernels, and tell time roughly. A step of four products whose codes are brought
// together, stand together, or are shared by some rows; an addition of words, and a column that is loaded for a group
// of them; storing a row's sums, widened for the latter; a step of four products by generated code, with its share of
// what is loaded, and a row's sums there; with entries anywhere a four that is brought together for a group, a step, at
// least, and a row's sums.
struct IntegerRates {
  double anywhere, in_blocks, shared, addition, loaded, sums, widened, coded, coded_sums, four, four_step, least_step,
      four_sums;
};
// One Zen 5 core, which also stands for processors without AVX-512, however much slower they are. (Generated code was
// not measured on it; additions are as much slower than its steps as they are, on a Zen 4 core, than steps of half the
// time.)
constexpr IntegerRates kZen5Rates{4.1, 2.9, 2.1, 0.54, 0.5, 2, 3.5, Format::kNever, 0, Format::kNever, 0, 0, 0};
// One Zen 4 core, for all others with AVX-512.
[[maybe_unused]] constexpr IntegerRates kLanesRates{7.2, 5.5, 4, 0.87, 0.8, 15, 5.6, 4.1, 6, 3, 3.25, 4, 14};
// One Zen 3 core; with steps that are widened at once, and as much faster as they are where they are added in words.
[[maybe_unused]] constexpr IntegerRates kPairsRates{13.5, 10.2,           9.7, 1.4, 1.4, 26, 20, Format::kNever,
                                                    0,    Format::kNever, 0,   0,   0};
[[maybe_unused]] constexpr double kAddedInWords = 0.65;

// With the instruction set in use, and how much longer steps and the rest take than these say.
struct Speed {
  IntegerRates rates;
  double steps, rest;
};
Speed speed(const Survey& of, CodeRange range) {
#if ESPALIER_X86
  switch (isa()) {
    case Isa::avx512: return {core() == Core::zen5 ? kZen5Rates : kLanesRates, 1, 1};
    case Isa::avx2: {
      // A row's positive weights, or negative ones, in each of its four words, and how many of them a word holds.
      const double asked = of.magnitude / std::max(1.0, of.rows) / 8;
      const double held = INT16_MAX / std::max(1.0, static_cast<double>(range.high + code_bias(range)));
      return {kPairsRates, asked < 0.8 * held ? kAddedInWords : 1, 1};
    }
    case Isa::baseline: break;
  }
#endif
  (void)of, (void)range;
  return {kZen5Rates, 9, 9};
}

double cycles_of_coded_blocks(const Survey& of, CodeRange range) {
  if (!can_make_integer_generated(static_cast<int64_t>(of.blocks))) return Format::kNever;
  const IntegerRates rates = speed(of, range).rates;
  if (rates.coded == Format::kNever) return Format::kNever;  // (of no blocks, too)
  return of.blocks * rates.coded + of.rows * rates.coded_sums;
}

double cycles_of_matched(const Survey& of, CodeRange range) {
  if (!can_make_integer_matched(static_cast<int64_t>(of.rows), of.width, of.entries)) return Format::kNever;
  const IntegerRates rates = speed(of, range).rates;
  if (rates.four == Format::kNever) return Format::kNever;  // (of no entries, too)
  const auto [fours, steps] = matched_steps(static_cast<int64_t>(of.rows), of.width, of.entries);
  return std::max(fours * rates.four + steps * rates.four_step, steps * rates.least_step) + of.rows * rates.four_sums;
}

// Without generated code where `code` is false.
double cycles_of(const Survey& of, CodeRange range, espalier_integer_kernel kernel, bool code) {
  const auto [rates, steps, rest] = speed(of, range);
  const double sums = rest * of.rows * rates.sums;
  switch (kernel) {
    case ESPALIER_INTEGER_KERNEL_ROWS:
      return std::min(steps * of.anywhere * rates.anywhere + sums,
                      code ? cycles_of_matched(of, range) : Format::kNever);
    case ESPALIER_INTEGER_KERNEL_BLOCKS:
      return std::min(steps * of.blocks * rates.in_blocks + sums,
                      code ? cycles_of_coded_blocks(of, range) : Format::kNever);
    case ESPALIER_INTEGER_KERNEL_DENSE: return steps * of.all * rates.shared + sums;
    case ESPALIER_INTEGER_KERNEL_SIGNS:
      return rest *
             (static_cast<double>(of.entries) * rates.addition + of.columns * rates.loaded + of.rows * rates.widened);
    case ESPALIER_INTEGER_KERNEL_VECTOR:
    case ESPALIER_INTEGER_KERNEL_AUTOMATIC: break;
  }
  return Format::kNever;
}

// The kernel that is expected to be the fastest, or was asked for, whether it is generated code, and what it takes for
// a block of samples.
struct Choice {
  espalier_integer_kernel kernel;
  bool code;
  double cycles;
};
bool can_be_signs(const Survey& of, const IntegerOptions& options) {
  return options.bits != 32 && of.signs && of.extremes.bits() <= 16 && can_make_integer_signs(of.entries);
}
Choice choose(const Survey& of, const IntegerOptions& options, bool code = true) {
  const auto choice = [&](espalier_integer_kernel kernel) {
    const double cycles = cycles_of(of, options.range, kernel, code);
    const bool coded =
        kernel == ESPALIER_INTEGER_KERNEL_SIGNS ||
        (code && kernel == ESPALIER_INTEGER_KERNEL_BLOCKS && cycles == cycles_of_coded_blocks(of, options.range)) ||
        (code && kernel == ESPALIER_INTEGER_KERNEL_ROWS && cycles == cycles_of_matched(of, options.range));
    return Choice{kernel, coded, cycles};
  };
  Choice best = choice(options.kernel);
  if (options.kernel != ESPALIER_INTEGER_KERNEL_AUTOMATIC) return best;
  for (const auto kernel : {ESPALIER_INTEGER_KERNEL_ROWS, ESPALIER_INTEGER_KERNEL_BLOCKS, ESPALIER_INTEGER_KERNEL_DENSE,
                            ESPALIER_INTEGER_KERNEL_SIGNS}) {
    if (kernel == ESPALIER_INTEGER_KERNEL_SIGNS && !(code && can_be_signs(of, options))) continue;
    if (const Choice other = choice(kernel); other.cycles < best.cycles) best = other;
  }
  return best;
}

IntegerRowsKind kind_of(espalier_integer_kernel kernel) {
  if (kernel == ESPALIER_INTEGER_KERNEL_BLOCKS) return IntegerRowsKind::blocks;
  return kernel == ESPALIER_INTEGER_KERNEL_DENSE ? IntegerRowsKind::dense : IntegerRowsKind::any;
}

void require_held(const Survey& of, const IntegerOptions& options) {
  const Extremes& extremes = of.extremes;
  if (const int needed = extremes.bits(); needed > 32 || (options.bits != 0 && needed > options.bits))
    fail(ESPALIER_INVALID_ARGUMENT,
         "sums of %d bits do not hold this matrix: with codes in [%d, %d] they reach from %lld to %lld, which takes %d",
         needed > 32 ? 32 : options.bits, options.range.low, options.range.high, static_cast<long long>(extremes.least),
         static_cast<long long>(extremes.greatest), needed);
}
void require(const IntegerOptions& options) {
  require(options.range);
  if (options.bits != 0 && options.bits != 16 && options.bits != 32)
    fail(ESPALIER_INVALID_ARGUMENT, "bits is %d, expected 0, 16 or 32", options.bits);
}

// Of so many samples: a call, and packing, beside what a block takes; or sample by sample.
IntegerCost cost_of_samples(const BlockCost& block, const VectorCost& few, int64_t rows, int64_t columns,
                            int64_t samples) {
  const double parts = static_cast<double>((samples + block.samples - 1) / block.samples);
  // (Of no samples no parts, however long one is expected to take.)
  const double blocks = samples == 0 ? 0
                                     : parts * static_cast<double>(block.samples) / 64 *
                                           (block.cycles + static_cast<double>(rows * 6 + columns * 4));
  const double vector = few.of(samples);
  return {rates().nanoseconds * (kCyclesOfCall + std::min(blocks, vector)), vector < blocks};
}

BlockCost cost_of_block(const Choice& choice) {
  if (!choice.code) return {choice.cycles, code_shape().half()};
  // Signs go by 32 samples, the code of blocks by panels, that of matched fours by four of them.
  switch (choice.kernel) {
    case ESPALIER_INTEGER_KERNEL_SIGNS: return {choice.cycles, 32};
    case ESPALIER_INTEGER_KERNEL_BLOCKS: return {choice.cycles, 16};
    default: return {choice.cycles, 64};
  }
}

// Sample by sample; never where another kernel was asked for.
VectorCost cost_of_few(const Survey& of, int64_t columns, espalier_integer_kernel kernel) {
  VectorCost cost = cost_of_integer_vector(static_cast<int64_t>(of.rows), columns, of.entries, of.signs);
  if (kernel != ESPALIER_INTEGER_KERNEL_AUTOMATIC && kernel != ESPALIER_INTEGER_KERNEL_VECTOR)
    cost.once = Format::kNever;
  return cost;
}

}  // namespace

int Extremes::bits() const {
  int bits = 1;
  while (least < -(int64_t{1} << (bits - 1)) || greatest > (int64_t{1} << (bits - 1)) - 1) ++bits;
  return bits;
}

IntegerMatrix::IntegerMatrix(int64_t rows, int64_t columns, const int8_t* weight, const uint8_t* mask,
                             const IntegerOptions& options)
    : range_(options.range) {
  require(options);
  const Survey of = survey(rows, columns, weight, mask, range_);
  require_held(of, options);
  extremes_ = of.extremes;
  take(rows, columns, weight, mask, of.entries);
  few_ = cost_of_few(of, columns, options.kernel);
  if (options.kernel == ESPALIER_INTEGER_KERNEL_VECTOR) {
    product_ = make_integer_vector(entries_, range_, few_.kind);
    block_.cycles = Format::kNever;
    return;
  }
  Choice choice = choose(of, options);
  if (choice.kernel == ESPALIER_INTEGER_KERNEL_SIGNS) {
    if (can_be_signs(of, options)) product_ = make_integer_signs(entries_, range_);
    if (product_ == nullptr && options.kernel == ESPALIER_INTEGER_KERNEL_SIGNS)
      fail(ESPALIER_INVALID_ARGUMENT,
           "signs: needs weights −1 and 1 whose sums 16 bits hold (these take %d), an instruction set with an emitter, "
           "executable memory and not too many entries",
           extremes_.bits());
  } else if (choice.code)
    product_ = choice.kernel == ESPALIER_INTEGER_KERNEL_ROWS
                   ? make_integer_matched(entries_, range_)
                   : make_integer_generated(entries_, range_, static_cast<int64_t>(of.blocks));
  // The system may give no executable memory.
  if (product_ == nullptr && choice.code) choice = choose(of, options, false);
  if (product_ == nullptr) product_ = make_integer_rows(entries_, range_, kind_of(choice.kernel));
  block_ = cost_of_block(choice);
}

IntegerCost IntegerMatrix::cost_of(int64_t rows, int64_t columns, const int8_t* weight, const IntegerOptions& options,
                                   int64_t samples) {
  require(options);
  const Survey of = survey(rows, columns, weight, nullptr, options.range);
  require_held(of, options);
  return cost_of_samples(cost_of_block(choose(of, options)), cost_of_few(of, columns, options.kernel), rows, columns,
                         samples);
}

// The entries, of which there are so many.
void IntegerMatrix::take(int64_t rows, int64_t columns, const int8_t* weight, const uint8_t* mask, int64_t count) {
  Pattern& pattern = entries_.pattern;
  pattern.rows = rows;
  pattern.columns = columns;
  pattern.row_start.reserve(static_cast<size_t>(rows) + 1);
  pattern.row_start.push_back(0);
  // (A place more: each is written before it is known whether it is kept.)
  pattern.column.resize(static_cast<size_t>(count) + 1);
  entries_.value.resize(static_cast<size_t>(count) + 1);
  int32_t* const column = pattern.column.data();
  int8_t* const value = entries_.value.data();
  int64_t at = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const int8_t* const row = weight + r * columns;
    const uint8_t* const kept = mask == nullptr ? nullptr : mask + r * columns;
    const auto one = [&](int64_t c) {
      column[at] = static_cast<int32_t>(c);
      value[at] = row[c];
      at += row[c] != 0 && (kept == nullptr || kept[c] != 0);
    };
    int64_t c = 0;
    for (; c + 8 <= columns; c += 8) {
      uint64_t eight;
      std::memcpy(&eight, row + c, sizeof eight);
      if (eight == 0) continue;
      for (int64_t i = c; i < c + 8; ++i) one(i);
    }
    for (; c < columns; ++c) one(c);
    pattern.row_start.push_back(at);
  }
  pattern.column.pop_back();
  entries_.value.pop_back();
}

int64_t IntegerMatrix::bytes() const {
  const Pattern& pattern = entries_.pattern;
  const std::lock_guard lock(making_);
  return product_->bytes() + (vector_ == nullptr ? 0 : vector_->bytes()) +
         static_cast<int64_t>(entries_.value.size() + pattern.column.size() * sizeof(int32_t) +
                              pattern.row_start.size() * sizeof(int64_t));
}

IntegerCost IntegerMatrix::cost_of(int64_t samples) const {
  return cost_of_samples(block_, few_, rows(), columns(), samples);
}

const IntegerProduct& IntegerMatrix::product(int64_t samples) const {
  if (block_.cycles == Format::kNever || !cost_of(samples).vector) return *product_;
  const std::lock_guard lock(making_);
  if (vector_ == nullptr) vector_ = make_integer_vector(entries_, range_, few_.kind);
  return *vector_;
}

void IntegerMatrix::multiply(const IntegerCall& call) const {
  if (call.samples.count > 0 && rows() > 0) product(call.samples.count).multiply(call);
}
void IntegerMatrix::multiply(const Samples& samples, const uint8_t* x, const int32_t* start, bool relu,
                             int32_t* y) const {
  multiply({samples, Codes::uint8, x, start, relu, y});
}
void IntegerMatrix::multiply(const Samples& samples, const int8_t* x, const int32_t* start, bool relu,
                             int32_t* y) const {
  multiply({samples, Codes::int8, x, start, relu, y});
}
void IntegerMatrix::multiply(const Samples& samples, const float* x, const int32_t* start, bool relu, float* y) const {
  multiply({samples, Codes::float32, x, start, relu, y});
}

void IntegerMatrix::unpack(int8_t* weight) const {
  std::fill_n(weight, rows() * columns(), int8_t{0});
  for (int64_t r = 0; r < rows(); ++r)
    for (int64_t i = entries_.pattern.begin(r); i < entries_.pattern.end(r); ++i)
      weight[r * columns() + entries_.pattern.at(i)] = entries_.value[static_cast<size_t>(i)];
}

}  // namespace espalier::sparse
