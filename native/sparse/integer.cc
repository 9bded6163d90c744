#include "sparse/integer.h"

#include <algorithm>

#include "core/failure.h"
#include "simd/isa.h"
#include "sparse/cost.h"
#include "sparse/format.h"
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

// What a partial sum misses counts as 0: the range is widened to hold it.
Extremes extremes_of(const IntegerEntries& entries, CodeRange range) {
  const int64_t low = std::min(range.low, 0), high = std::max(range.high, 0);
  Extremes all;
  for (int64_t r = 0; r < entries.pattern.rows; ++r) {
    int64_t least = 0, greatest = 0;
    for (int64_t i = entries.pattern.begin(r); i < entries.pattern.end(r); ++i) {
      const int64_t w = entries.value[static_cast<size_t>(i)];
      least += std::min(w * low, w * high);
      greatest += std::max(w * low, w * high);
    }
    all.least = std::min(all.least, least);
    all.greatest = std::max(all.greatest, greatest);
  }
  return all;
}

// Cycles for 64 samples, measured on one Zen 5 core; they rank kernels, and tell time roughly. A step of four products
// whose codes are brought together, stand together, or are shared by some rows; an addition of half as many samples,
// with its share of what is loaded; storing a row's sums, widened for the latter.
constexpr double kAnywhere = 4.1, kInBlocks = 2.9, kShared = 2.1, kAddition = 0.65, kSums = 2, kWidened = 14;
constexpr int64_t kSignRows = 28;

// How much longer it takes with other instruction sets.
double slower(bool signs) {
#if ESPALIER_X86
  switch (isa()) {
    case Isa::avx512: return 1;
    case Isa::avx2: return signs ? 2.3 : 3.6;
    case Isa::baseline: return 9;
  }
#endif
  return signs ? Format::kNever : 9;
}

// What each kernel has to do.
struct Counts {
  double anywhere = 0, blocks = 0, all = 0;  // steps of four products
  double additions = 0;                      // entries, and columns that a group of rows loads
  double rows = 0;
};
Counts counts_of(const Pattern& pattern) {
  Counts counts;
  std::vector<int64_t> last_group(static_cast<size_t>(pattern.columns), -1);
  for (int64_t r = 0; r < pattern.rows; ++r) {
    counts.anywhere += static_cast<double>((pattern.end(r) - pattern.begin(r) + 3) / 4);
    for (int64_t i = pattern.begin(r), last = -1; i < pattern.end(r); ++i) {
      if (pattern.at(i) / 4 != last) last = pattern.at(i) / 4, ++counts.blocks;
      int64_t& group = last_group[static_cast<size_t>(pattern.at(i))];
      counts.additions += group != r / kSignRows ? 2 : 1;
      group = r / kSignRows;
    }
  }
  counts.all = static_cast<double>(pattern.rows) * static_cast<double>((pattern.columns + 3) / 4);
  counts.rows = static_cast<double>(pattern.rows);
  return counts;
}
double cycles_of(const Counts& counts, IntegerRowsKind kind) {
  const double steps = kind == IntegerRowsKind::any      ? counts.anywhere * kAnywhere
                       : kind == IntegerRowsKind::blocks ? counts.blocks * kInBlocks
                                                         : counts.all * kShared;
  return slower(false) * (steps + counts.rows * kSums);
}
double cycles_of_signs(const Counts& counts) {
  return slower(true) * (counts.additions * kAddition + counts.rows * kWidened);
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
  require(options.range);
  if (options.bits != 0 && options.bits != 16 && options.bits != 32)
    fail(ESPALIER_INVALID_ARGUMENT, "bits is %d, expected 0, 16 or 32", options.bits);
  Pattern& pattern = entries_.pattern;
  pattern.rows = rows;
  pattern.columns = columns;
  pattern.row_start.reserve(static_cast<size_t>(rows) + 1);
  pattern.row_start.push_back(0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = r * columns; i < (r + 1) * columns; ++i)
      if (weight[i] != 0 && (mask == nullptr || mask[i] != 0)) {
        pattern.column.push_back(static_cast<int32_t>(i - r * columns));
        entries_.value.push_back(weight[i]);
      }
    pattern.row_start.push_back(pattern.entries());
  }
  extremes_ = extremes_of(entries_, range_);
  if (const int needed = extremes_.bits(); needed > 32 || (options.bits != 0 && needed > options.bits))
    fail(ESPALIER_INVALID_ARGUMENT,
         "sums of %d bits do not hold this matrix: with codes in [%d, %d] they reach from %lld to %lld, which takes %d",
         needed > 32 ? 32 : options.bits, range_.low, range_.high, static_cast<long long>(extremes_.least),
         static_cast<long long>(extremes_.greatest), needed);
  make(options);
}

void IntegerMatrix::make(const IntegerOptions& options) {
  const Counts counts = counts_of(entries_.pattern);
  const auto take_rows = [&](IntegerRowsKind kind) {
    product_ = make_integer_rows(entries_, range_, kind);
    cycles_ = cycles_of(counts, kind);
  };
  const auto take_signs = [&] {
    if (extremes_.bits() > 16 || options.bits == 32) return false;
    product_ = make_integer_signs(entries_, range_);
    cycles_ = cycles_of_signs(counts);
    return product_ != nullptr;
  };
  switch (options.kernel) {
    case ESPALIER_INTEGER_KERNEL_AUTOMATIC: {
      IntegerRowsKind best = IntegerRowsKind::any;
      for (const IntegerRowsKind kind : {IntegerRowsKind::blocks, IntegerRowsKind::dense})
        if (cycles_of(counts, kind) < cycles_of(counts, best)) best = kind;
      if (cycles_of_signs(counts) >= cycles_of(counts, best) || !take_signs()) take_rows(best);
      break;
    }
    case ESPALIER_INTEGER_KERNEL_SIGNS:
      if (!take_signs())
        fail(ESPALIER_INVALID_ARGUMENT,
             "signs: needs weights −1 and 1 whose sums 16 bits hold (these take %d), an instruction set with an "
             "emitter, executable memory and not too many entries",
             extremes_.bits());
      break;
    case ESPALIER_INTEGER_KERNEL_ROWS: take_rows(IntegerRowsKind::any); break;
    case ESPALIER_INTEGER_KERNEL_BLOCKS: take_rows(IntegerRowsKind::blocks); break;
    case ESPALIER_INTEGER_KERNEL_DENSE: take_rows(IntegerRowsKind::dense); break;
  }
}

int64_t IntegerMatrix::bytes() const {
  const Pattern& pattern = entries_.pattern;
  return product_->bytes() + static_cast<int64_t>(entries_.value.size() + pattern.column.size() * sizeof(int32_t) +
                                                  pattern.row_start.size() * sizeof(int64_t));
}

double IntegerMatrix::cost(int64_t samples) const {
  constexpr int64_t kBlock = 64;
  const double blocks = static_cast<double>((samples + kBlock - 1) / kBlock);
  return kCycle * (kCycleOfCall + blocks * (cycles_ + static_cast<double>(rows() * 6 + columns() * 4)));
}

void IntegerMatrix::multiply(const IntegerCall& call) const {
  if (call.samples.count > 0 && rows() > 0) product_->multiply(call);
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
