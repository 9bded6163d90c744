#include "sparse/rows.h"

#include <limits>

#include "sparse/cost.h"
#include "sparse/generated.h"
#include "sparse/panel_product.h"
#include "sparse/short_rows.h"

namespace espalier {
namespace {
struct RowsView {
  const int64_t* start;  // of each row, or null where each has in_row
  int64_t in_row;
  const int32_t* wide;
  const uint16_t* narrow;
  const uint8_t* offset;  // from base
  const int32_t* base;    // by place within a row
  const float* values;
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/rows.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// The columns of all entries, told in one of three ways; the vectors of the others are empty.
struct Columns {
  std::vector<int64_t> start;
  int64_t in_row = 0;
  std::vector<int32_t> wide;
  std::vector<uint16_t> narrow;
  std::vector<uint8_t> offset;
  std::vector<int32_t> base;
};
template <class T>
int64_t bytes_of(const std::vector<T>& list) {
  return static_cast<int64_t>(list.size() * sizeof(T));
}
template <class T>
const T* or_null(const std::vector<T>& list) {
  return list.empty() ? nullptr : list.data();
}

class Rows final : public PanelProduct {
 public:
  Rows(const Pattern& pattern, Columns columns, std::vector<int32_t> origin)
      : PanelProduct(pattern.rows, pattern.columns), of_(std::move(columns)), stream_(std::move(origin)) {}

  void set_values(const float* values) override { stream_.set(values); }
  int64_t bytes() const override {
    return stream_.bytes() + bytes_of(of_.start) + bytes_of(of_.wide) + bytes_of(of_.narrow) + bytes_of(of_.offset) +
           bytes_of(of_.base);
  }

 private:
  // As many rows as a thread is worth having for.
  static constexpr int64_t kGroup = 32;
  int64_t groups() const override { return (rows_ + kGroup - 1) / kGroup; }
  int64_t first_row(int64_t group) const override { return rows_ * group / groups(); }

  bool reads_across() const override { return true; }

  void run(const Work& work) const override {
    const float floor = work.relu ? 0.0f : -std::numeric_limits<float>::infinity();
    const RowsView view{or_null(of_.start),  of_.in_row,        or_null(of_.wide), or_null(of_.narrow),
                        or_null(of_.offset), or_null(of_.base), stream_.data()};
    ESPALIER_ON_ISA(multiply_rows(view, first_row(work.first_group), first_row(work.last_group), work.bias, floor,
                                  work.panels, work.x, work.x_panel, work.y, work.y_panel));
  }

  Columns of_;
  Stream stream_;
};

int64_t in_first_row(const Pattern& pattern) { return pattern.rows == 0 ? 0 : pattern.end(0); }

class RowsFormat final : public Format {
 public:
  std::string name() const override { return "rows"; }
  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    return cost_of_rows(pattern, samples, transposed);
  }
  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool) const override {
    return make_rows(std::move(pattern), std::move(origin));
  }
};

}  // namespace

std::unique_ptr<Product> make_rows(Pattern pattern, std::vector<int32_t> origin) {
  if (prefers_short_rows()) return make_short_rows(pattern, origin);
  Columns columns;
  columns.start = std::move(pattern.row_start);
  columns.wide = std::move(pattern.column);
  return std::make_unique<Rows>(pattern, std::move(columns), std::move(origin));
}

std::unique_ptr<Product> make_equal_rows(Pattern pattern, std::vector<int32_t> origin) {
  if (prefers_short_rows()) return make_short_rows(pattern, origin);
  Columns columns;
  columns.in_row = in_first_row(pattern);
  if (pattern.columns <= int64_t{UINT16_MAX} + 1) columns.narrow.assign(pattern.column.begin(), pattern.column.end());
  else columns.wide = std::move(pattern.column);
  return std::make_unique<Rows>(pattern, std::move(columns), std::move(origin));
}

std::unique_ptr<Product> make_grouped_rows(const Pattern& pattern, std::vector<int32_t> origin, int64_t n, int64_t m) {
  if (prefers_short_rows()) return make_short_rows(pattern, origin);
  Columns columns;
  columns.in_row = in_first_row(pattern);
  for (int64_t i = 0; i < columns.in_row; ++i) columns.base.push_back(static_cast<int32_t>(i / n * m));
  for (const int32_t c : pattern.column) columns.offset.push_back(static_cast<uint8_t>(c % m));
  return std::make_unique<Rows>(pattern, std::move(columns), std::move(origin));
}

namespace {
bool code_before_rows(const Pattern& pattern, bool transposed) {
  constexpr int64_t kBatch = 256;
  return !prefers_short_rows() ||
         cost_of_generated(pattern, kBatch, transposed) < cost_of_rows(pattern, kBatch, transposed);
}
}  // namespace

std::unique_ptr<Product> make_code_before_rows(const Pattern& pattern, const std::vector<int32_t>& origin) {
  return code_before_rows(pattern, false) ? make_generated(pattern, origin) : nullptr;
}

double cost_of_code_or_rows(const Pattern& pattern, int64_t samples, bool transposed) {
  const double rows = cost_of_rows(pattern, samples, transposed);
  return code_before_rows(pattern, transposed) ? std::min(cost_of_generated(pattern, samples, transposed), rows) : rows;
}

double cost_of_rows(const Pattern& pattern, int64_t samples, bool transposed) {
  const int64_t rows = transposed ? pattern.columns : pattern.rows,
                columns = transposed ? pattern.rows : pattern.columns;
  const double of_entry = panels_of(samples) < 4 ? rates().in_row_of_few : rates().in_row;
  const int64_t blocks = prefers_short_rows() ? blocks_of_short_rows(columns, rows, pattern.entries()) : 1;
  const double of_panel =
      static_cast<double>(pattern.entries()) * of_entry + static_cast<double>(rows * blocks) * rates().row_of_block;
  return nanoseconds_of(of_panel, rows, columns, samples);
}

std::unique_ptr<Format> rows_format() { return std::make_unique<RowsFormat>(); }

}  // namespace espalier::sparse
