// Row by row: a row's sums of some panels in registers, in the vector vocabulary. On every processor.
#include "core/parallel.h"
#include "core/scratch.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"

namespace espalier {
namespace {
struct IntegerRowsView {
  const int64_t* start;
  const int32_t* column;
  const int32_t* value;
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_rows.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

class IntegerRows final : public IntegerProduct {
 public:
  IntegerRows(const IntegerEntries& entries, CodeRange range)
      : rows_(entries.pattern.rows),
        columns_(entries.pattern.columns),
        range_(range),
        start_(entries.pattern.row_start),
        column_(entries.pattern.column),
        value_(entries.value.begin(), entries.value.end()) {}

  std::string name() const override { return "rows"; }
  int64_t bytes() const override {
    return static_cast<int64_t>(start_.size() * sizeof(int64_t) + (column_.size() + value_.size()) * sizeof(int32_t));
  }

  void multiply(const IntegerCall& call) const override {
    const IntegerRowsView view{start_.data(), column_.data(), value_.data()};
    const int64_t panels = panels_of(call.samples.count);
    parallel_for((panels + kPanels - 1) / kPanels, [&](int64_t task) {
      const int64_t first = task * kPanels, count = std::min(kPanels, panels - first);
      int32_t* const x = scratch<int32_t>(Scratch::kPackB, count * columns_ * kPanel);
      int32_t* const sums = scratch<int32_t>(Scratch::kColumns, count * rows_ * kPanel);
      pack_wide(call, columns_, range_, first * kPanel, count * kPanel, x);
      ESPALIER_ON_ISA(multiply_integer_rows(view, rows_, count, x, columns_ * kPanel, sums, rows_ * kPanel));
      unpack_wide(call, rows_, sums, first * kPanel, count * kPanel);
    });
  }

 private:
  static constexpr int64_t kPanels = 4;  // at a time

  int64_t rows_, columns_;
  CodeRange range_;
  std::vector<int64_t> start_;
  std::vector<int32_t> column_, value_;
};

}  // namespace

std::unique_ptr<IntegerProduct> make_integer_rows(const IntegerEntries& entries, CodeRange range) {
  return std::make_unique<IntegerRows>(entries, range);
}

}  // namespace espalier::sparse
