// Row by row, as many products at once as a lane adds up (simd/dot.inl): four columns' codes are brought together by
// shuffles as they are needed, any four that the row keeps. No code is generated and nothing is wasted but the last
// step of a row; what is looked up is 3 bytes an entry. Where entries stand in 1×4 blocks the codes of four neighbours
// are brought together once for all rows, and where most blocks are kept some rows share their loads, too.
#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "core/parallel.h"
#include "core/scratch.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"

namespace espalier {
namespace {

// Rows whose steps alternate, so that they need not wait for each other's sums; of as many steps or nearly.
constexpr int kTogether = 4;
// Offsets count in these: 16 bits then reach half a megabyte, and addressing multiplies for nothing.
constexpr int kOffsetUnit = 8;

// A block of columns: for each group of rows the steps [begin[g], begin[g + 1]), each kTogether rows' one after the
// other.
struct IntegerStepsView {
  const int32_t* row;  // kTogether a group, −1 for none
  const int64_t* begin;
  const uint16_t* offset;
  const int32_t* weights;
  bool tuples, shared;  // columns that stand together; the same ones in all rows of a group
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_rows.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Columns of a block: their codes stay in the first-level cache, beside the steps and the sums.
constexpr int64_t kMostBytes = 36 << 10;
// Parts that a product of few samples is cut into at most.
constexpr int64_t kParts = 8;

struct Steps {
  int64_t first_column;
  std::vector<int32_t> row;
  std::vector<int64_t> begin;
  std::vector<uint16_t> offset;
  std::vector<int32_t> weights;
};

class IntegerRows final : public IntegerProduct {
 public:
  IntegerRows(const IntegerEntries& entries, CodeRange range, IntegerRowsKind kind)
      : rows_(entries.pattern.rows),
        columns_(entries.pattern.columns),
        range_(range),
        kind_(kind),
        shape_(code_shape()) {
    const Pattern& pattern = entries.pattern;
    const int64_t of_column = shape_.samples * shape_.bytes;
    const int64_t most = std::max<int64_t>(1, kMostBytes / of_column / 16) * 16;
    const int64_t blocks = std::max<int64_t>(1, (columns_ + most - 1) / most);
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    for (int64_t b = 0; b < blocks; ++b) {
      const auto edge = [&](int64_t i) { return i == blocks ? columns_ : columns_ * i / blocks / 16 * 16; };
      steps_.push_back(steps_of(entries, edge(b), edge(b + 1), next));
    }
    weight_sum_.resize(static_cast<size_t>(rows_));
    for (int64_t r = 0; r < rows_; ++r)
      for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i)
        weight_sum_[static_cast<size_t>(r)] += entries.value[static_cast<size_t>(i)];
  }

  std::string name() const override {
    return kind_ == IntegerRowsKind::any ? "rows" : kind_ == IntegerRowsKind::blocks ? "1x4" : "dense";
  }
  int64_t bytes() const override {
    int64_t bytes = static_cast<int64_t>(weight_sum_.size() * sizeof(int32_t));
    for (const Steps& of : steps_)
      bytes += static_cast<int64_t>(of.row.size() * sizeof(int32_t) + of.begin.size() * sizeof(int64_t) +
                                    of.offset.size() * sizeof(uint16_t) + of.weights.size() * sizeof(int32_t));
    return bytes;
  }

  void multiply(const IntegerCall& call) const override {
    const int32_t bias = range_.low < 0 ? shape_.bias : 0;
    std::vector<int32_t> start(static_cast<size_t>(rows_));
    for (size_t r = 0; r < start.size(); ++r)
      start[r] = static_cast<int32_t>((call.start == nullptr ? 0u : static_cast<uint32_t>(call.start[r])) -
                                      static_cast<uint32_t>(weight_sum_[r]) * static_cast<uint32_t>(bias));
    const int64_t blocks = (call.samples.count + shape_.samples - 1) / shape_.samples;
    if (blocks > 1) {
      parallel_for(blocks, [&](int64_t b) {
        void* const x = scratch<uint8_t>(Scratch::kPackB, bytes_of_block());
        pack(call, b, x);
        run(call, b, x, start.data(), 0, groups());
      });
      return;
    }
    void* const x = scratch<uint8_t>(Scratch::kPackB, bytes_of_block());
    pack(call, 0, x);
    // Groups differ from one block of columns to the next: with several they cannot be shared out.
    const bool apart = place_in_y(call, rows_, 0).at != nullptr && steps_.size() == 1;
    const int64_t parts = apart ? std::clamp<int64_t>(groups() / 4, 1, kParts) : 1;
    parallel_for(parts, [&](int64_t part) {
      run(call, 0, x, start.data(), groups() * part / parts, groups() * (part + 1) / parts);
    });
  }

 private:
  int64_t groups() const { return (rows_ + kTogether - 1) / kTogether; }
  CodeOrder order() const { return kind_ == IntegerRowsKind::any ? CodeOrder::columns : CodeOrder::tuples; }
  int64_t bytes_of_block() const {
    return (columns_ + shape_.terms - 1) / shape_.terms * shape_.terms * shape_.samples * shape_.bytes;
  }
  void pack(const IntegerCall& call, int64_t block, void* x) const {
    pack_codes(call, columns_, range_, order(), block * shape_.samples, x);
  }

  void run(const IntegerCall& call, int64_t block, const void* x, const int32_t* start, int64_t first_group,
           int64_t last_group) const {
    const int64_t samples = shape_.samples, lanes = samples / shape_.terms, first = block * samples;
    const bool as_float = call.codes == Codes::float32;
    const SumsPlace in_y = place_in_y(call, rows_, first);
    const bool whole = in_y.at != nullptr;
    const SumsPlace near{!whole || steps_.size() > 1 ? scratch<int32_t>(Scratch::kColumns, rows_ * samples) : nullptr,
                         samples, lanes};
    const SumsPlace to = whole ? in_y : near;
    for (size_t b = 0; b < steps_.size(); ++b) {
      const Steps& of = steps_[b];
      const bool last = b + 1 == steps_.size();
      const IntegerStepsView view{of.row.data(),
                                  of.begin.data(),
                                  of.offset.data(),
                                  of.weights.data(),
                                  kind_ != IntegerRowsKind::any,
                                  kind_ == IntegerRowsKind::dense};
      const uint8_t* const from = static_cast<const uint8_t*>(x) + of.first_column * samples * shape_.bytes;
      const SumsPlace begun = b == 0 ? SumsPlace{nullptr, 0, 0} : near;
      ESPALIER_ON_ISA(multiply_integer_rows(view, first_group, last_group, from, start, begun, last ? to : near,
                                            last && call.relu, last && as_float));
    }
    if (!whole) unpack_sums(call, rows_, near.at, first, samples);
  }

  // The entries of a row in the block, by column; `next` is moved past them.
  struct Row {
    int32_t row;
    std::vector<std::pair<int32_t, int32_t>> steps;  // offset of tuple, or place in `offsets`; weights
    std::vector<uint16_t> offsets;
  };

  Steps steps_of(const IntegerEntries& entries, int64_t first, int64_t last, std::vector<int64_t>& next) const {
    const Pattern& pattern = entries.pattern;
    const int64_t terms = shape_.terms;
    const int64_t unit = shape_.samples * shape_.bytes / kOffsetUnit;  // of a column
    const auto offset_of = [&](int64_t column) { return static_cast<uint16_t>((column - first) * unit); };
    std::vector<Row> rows;
    for (int64_t r = 0; r < rows_; ++r) {
      Row row{static_cast<int32_t>(r), {}, {}};
      int64_t& i = next[static_cast<size_t>(r)];
      if (kind_ == IntegerRowsKind::any)
        while (i < pattern.end(r) && pattern.at(i) < last) {
          std::array<int32_t, 4> weight{};
          const uint16_t padding = offset_of(pattern.at(i));
          for (int64_t t = 0; t < terms; ++t) {
            const bool there = i < pattern.end(r) && pattern.at(i) < last;
            row.offsets.push_back(there ? offset_of(pattern.at(i)) : padding);
            if (there) weight[static_cast<size_t>(t)] = entries.value[static_cast<size_t>(i++)];
          }
          row.steps.emplace_back(0, bits_of(weight));
        }
      else
        for (int64_t c = first; c < last; c += terms) {
          std::array<int32_t, 4> weight{};
          bool any = kind_ == IntegerRowsKind::dense;
          for (; i < pattern.end(r) && pattern.at(i) < c + terms; ++i, any = true)
            weight[static_cast<size_t>(pattern.at(i) - c)] = entries.value[static_cast<size_t>(i)];
          if (!any) continue;
          row.offsets.push_back(offset_of(c));
          row.steps.emplace_back(0, bits_of(weight));
        }
      rows.push_back(std::move(row));
    }
    // Rows of as many steps side by side, so that none is filled up by much and loops take as many turns.
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Row& a, const Row& b) { return a.steps.size() > b.steps.size(); });
    const size_t per_step = kind_ == IntegerRowsKind::any ? static_cast<size_t>(terms) : 1;
    Steps made{first, {}, {0}, {}, {}};
    for (size_t g = 0; g < rows.size(); g += kTogether) {
      const size_t longest = rows[g].steps.size();
      for (size_t s = 0; s < longest; ++s)
        for (size_t t = g; t < g + kTogether; ++t) {
          const bool there = t < rows.size() && s < rows[t].steps.size();
          made.weights.push_back(there ? rows[t].steps[s].second : 0);
          for (size_t i = 0; i < per_step; ++i) made.offset.push_back(there ? rows[t].offsets[s * per_step + i] : 0);
        }
      for (size_t t = g; t < g + kTogether; ++t) made.row.push_back(t < rows.size() ? rows[t].row : -1);
      made.begin.push_back(made.begin.back() + static_cast<int64_t>(longest));
    }
    return made;
  }
  // As a lane holds them.
  int32_t bits_of(const std::array<int32_t, 4>& weight) const {
    uint32_t bits = 0;
    const int each = 32 / static_cast<int>(shape_.terms);
    for (int t = 0; t < static_cast<int>(shape_.terms); ++t)
      bits |= (static_cast<uint32_t>(weight[static_cast<size_t>(t)]) & (each == 8 ? 0xFFu : 0xFFFFu)) << (each * t);
    return static_cast<int32_t>(bits);
  }

  int64_t rows_, columns_;
  CodeRange range_;
  IntegerRowsKind kind_;
  CodeShape shape_;
  std::vector<Steps> steps_;  // by block of columns
  std::vector<int32_t> weight_sum_;
};

}  // namespace

std::unique_ptr<IntegerProduct> make_integer_rows(const IntegerEntries& entries, CodeRange range,
                                                  IntegerRowsKind kind) {
  return std::make_unique<IntegerRows>(entries, range, kind);
}

}  // namespace espalier::sparse
