// As many products at once as a lane adds up (simd/dot.inl): four columns' codes are brought together by shuffles as
// they are needed, any four that the row keeps. No code is generated and nothing is wasted but the last step of a row;
// what is looked up is 3 bytes an entry. Where entries stand in 1×4 blocks the codes of four neighbours are brought
// together once for all rows, and where most blocks are kept some rows share their loads, too.
#include <algorithm>
#include <array>
#include <cstring>

#include "sparse/integer_steps.h"

namespace espalier {
namespace {

using sparse::kOffsetUnit;
// Rows whose steps alternate, so that they need not wait for each other's sums; of as many steps or nearly.
constexpr int kTogether = 4;

// A block of columns: for each group of rows the steps [begin[g], begin[g + 1]), each kTogether rows' one after the
// other.
struct IntegerStepsView {
  const int32_t* row;  // kTogether a group; where there are no more, the last one again
  const int64_t* begin;
  const uint16_t* offset;
  const int32_t* weights;
  bool tuples, shared;  // columns that stand together; the same ones in all rows of a group
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_lanes.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

class IntegerLanes final : public IntegerSteps {
 public:
  explicit IntegerLanes(const ColumnsOfEntries& columns) : kind_(columns.kind), shape_(code_shape()) {
    const Pattern& pattern = columns.entries.pattern;
    const int64_t first = columns.first, last = columns.last, terms = shape_.terms;
    const int64_t unit = shape_.samples * shape_.bytes / kOffsetUnit;  // of a column
    const auto offset_of = [&](int64_t column) { return static_cast<uint16_t>((column - first) * unit); };
    const auto value = [&](int64_t i) { return columns.entries.value[static_cast<size_t>(i)]; };
    std::vector<Row> rows;
    for (int64_t r = 0; r < pattern.rows; ++r) {
      Row row{static_cast<int32_t>(r), {}, {}};
      int64_t& i = columns.next[static_cast<size_t>(r)];
      if (kind_ == IntegerRowsKind::any)
        while (i < pattern.end(r) && pattern.at(i) < last) {
          std::array<int32_t, 4> weight{};
          const uint16_t padding = offset_of(pattern.at(i));
          for (int64_t t = 0; t < terms; ++t) {
            const bool there = i < pattern.end(r) && pattern.at(i) < last;
            row.offsets.push_back(there ? offset_of(pattern.at(i)) : padding);
            if (there) weight[static_cast<size_t>(t)] = value(i++);
          }
          row.steps.push_back(bits_of(weight));
        }
      else
        for (int64_t c = first; c < last; c += terms) {
          std::array<int32_t, 4> weight{};
          bool any = kind_ == IntegerRowsKind::dense;
          for (; i < pattern.end(r) && pattern.at(i) < c + terms; ++i, any = true)
            weight[static_cast<size_t>(pattern.at(i) - c)] = value(i);
          if (!any) continue;
          row.offsets.push_back(offset_of(c));
          row.steps.push_back(bits_of(weight));
        }
      rows.push_back(std::move(row));
    }
    // Rows of as many steps side by side, so that none is filled up by much and loops take as many turns.
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Row& a, const Row& b) { return a.steps.size() > b.steps.size(); });
    const size_t per_step = kind_ == IntegerRowsKind::any ? static_cast<size_t>(terms) : 1;
    begin_.push_back(0);
    for (size_t g = 0; g < rows.size(); g += kTogether) {
      const size_t longest = rows[g].steps.size();
      const auto one = [&](size_t t) -> const Row& { return rows[std::min(g + t, rows.size() - 1)]; };
      for (size_t s = 0; s < longest; ++s)
        for (size_t t = 0; t < kTogether; ++t) {
          const Row& row = one(t);
          const bool there = s < row.steps.size();
          weights_.push_back(there ? row.steps[s] : 0);
          for (size_t i = 0; i < per_step; ++i) offset_.push_back(there ? row.offsets[s * per_step + i] : 0);
        }
      for (size_t t = 0; t < kTogether; ++t) row_.push_back(one(t).row);
      begin_.push_back(begin_.back() + static_cast<int64_t>(longest));
    }
  }

  int64_t bytes() const override {
    return static_cast<int64_t>(row_.size() * sizeof(int32_t) + begin_.size() * sizeof(int64_t) +
                                offset_.size() * sizeof(uint16_t) + weights_.size() * sizeof(int32_t));
  }
  int64_t group_of(int64_t row) const override { return (row + kTogether - 1) / kTogether; }
  int64_t groups() const override { return static_cast<int64_t>(begin_.size()) - 1; }
  void multiply(int64_t first, int64_t last, const void* codes, const StepsCall& call) const override {
    const IntegerStepsView view{row_.data(),
                                begin_.data(),
                                offset_.data(),
                                weights_.data(),
                                kind_ != IntegerRowsKind::any,
                                kind_ == IntegerRowsKind::dense};
    ESPALIER_ON_ISA(
        multiply_integer_lanes(view, first, last, codes, call.start, call.from, call.to, call.relu, call.as_float));
  }

 private:
  // The entries of a row in the block, by column.
  struct Row {
    int32_t row;
    std::vector<int32_t> steps;  // their weights
    std::vector<uint16_t> offsets;
  };
  // As a lane holds them.
  int32_t bits_of(const std::array<int32_t, 4>& weight) const {
    uint32_t bits = 0;
    const int each = 32 / static_cast<int>(shape_.terms);
    for (int t = 0; t < static_cast<int>(shape_.terms); ++t)
      bits |= (static_cast<uint32_t>(weight[static_cast<size_t>(t)]) & (each == 8 ? 0xFFu : 0xFFFFu)) << (each * t);
    return static_cast<int32_t>(bits);
  }

  IntegerRowsKind kind_;
  CodeShape shape_;
  std::vector<int32_t> row_;
  std::vector<int64_t> begin_;
  std::vector<uint16_t> offset_;
  std::vector<int32_t> weights_;
};

}  // namespace

std::unique_ptr<IntegerSteps> make_integer_lanes(const ColumnsOfEntries& columns) {
  return std::make_unique<IntegerLanes>(columns);
}

}  // namespace espalier::sparse
