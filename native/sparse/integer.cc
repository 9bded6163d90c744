#include "sparse/integer.h"

#include <algorithm>
#include <limits>

#include "core/failure.h"
#include "sparse/cost.h"
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
  const auto rows_of = [&](IntegerRowsKind kind) { return make_integer_rows(entries_, range_, kind); };
  switch (options.kernel) {
    case ESPALIER_INTEGER_KERNEL_AUTOMATIC:
    case ESPALIER_INTEGER_KERNEL_SIGNS:
    case ESPALIER_INTEGER_KERNEL_ROWS: product_ = rows_of(IntegerRowsKind::any); break;
    case ESPALIER_INTEGER_KERNEL_BLOCKS: product_ = rows_of(IntegerRowsKind::blocks); break;
    case ESPALIER_INTEGER_KERNEL_DENSE: product_ = rows_of(IntegerRowsKind::dense); break;
  }
}

int64_t IntegerMatrix::bytes() const {
  const Pattern& pattern = entries_.pattern;
  return product_->bytes() + static_cast<int64_t>(entries_.value.size() + pattern.column.size() * sizeof(int32_t) +
                                                  pattern.row_start.size() * sizeof(int64_t));
}

double IntegerMatrix::cost(int64_t samples) const {
  return kCycle * (kCycleOfCall + static_cast<double>(panels_of(samples)) * static_cast<double>(entries()) * 3 +
                   cycles_of_panels(rows(), columns(), samples));
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
