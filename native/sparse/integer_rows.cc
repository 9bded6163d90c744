// Row by row, through the entries of one block of columns after the other: how the product is cut. What a row does in a
// block, its steps, is of several kinds (integer_steps.h).
#include <algorithm>

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/isa.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"
#include "sparse/integer_steps.h"

namespace espalier::sparse {
namespace {

// Columns of a block: their codes stay in the first-level cache, beside the steps and the sums. (It has 32 KB on cores
// of AVX2 alone; shorter blocks, whose sums are stored and loaded again more often, cost these more than its misses.)
constexpr int64_t kMostBytes = 36 << 10;
// Parts that a product of few samples is cut into at most, of so many rows at least.
constexpr int64_t kParts = 8, kRowsOfPart = 16;

std::unique_ptr<IntegerSteps> steps_of(const ColumnsOfEntries& columns, CodeRange range) {
  return is_avx2() ? make_integer_pairs(columns, range.high + code_bias(range)) : make_integer_lanes(columns);
}

class IntegerRows final : public IntegerProduct {
 public:
  IntegerRows(const IntegerEntries& entries, CodeRange range, IntegerRowsKind kind)
      : rows_(entries.pattern.rows),
        columns_(entries.pattern.columns),
        range_(range),
        kind_(kind),
        shape_(code_shape()),
        start_(entries, range) {
    const Pattern& pattern = entries.pattern;
    const int64_t of_column = shape_.samples * shape_.bytes;
    const int64_t most = std::max<int64_t>(1, kMostBytes / of_column / 16) * 16;
    const int64_t blocks = std::max<int64_t>(1, (columns_ + most - 1) / most);
    std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
    for (int64_t b = 0; b < blocks; ++b) {
      const auto edge = [&](int64_t i) { return i == blocks ? columns_ : columns_ * i / blocks / 16 * 16; };
      first_column_.push_back(edge(b));
      steps_.push_back(steps_of({entries, kind, edge(b), edge(b + 1), next}, range));
    }
  }

  std::string name() const override {
    return kind_ == IntegerRowsKind::any ? "rows" : kind_ == IntegerRowsKind::blocks ? "1x4" : "dense";
  }
  int64_t bytes() const override {
    int64_t bytes = start_.bytes();
    for (const auto& of : steps_) bytes += of->bytes();
    return bytes;
  }

  void multiply(const IntegerCall& call) const override {
    const std::vector<int32_t> start = start_.of(call);
    const int64_t blocks = (call.samples.count + shape_.samples - 1) / shape_.samples;
    if (blocks > 1) {
      parallel_for(blocks, [&](int64_t b) {
        void* const x = scratch<uint8_t>(Scratch::kPackB, bytes_of_block());
        pack(call, b, x);
        run(call, b, x, start.data(), 0, 1);
      });
      return;
    }
    void* const x = scratch<uint8_t>(Scratch::kPackB, bytes_of_block());
    pack(call, 0, x);
    // Groups differ from one block of columns to the next: with several they cannot be shared out.
    const bool apart = place_in_y(call, rows_, 0).at != nullptr && steps_.size() == 1;
    const int64_t parts = apart ? std::clamp<int64_t>((rows_ + 3) / kRowsOfPart, 1, kParts) : 1;
    parallel_for(parts, [&](int64_t part) { run(call, 0, x, start.data(), part, parts); });
  }

 private:
  CodeOrder order() const { return kind_ == IntegerRowsKind::any ? CodeOrder::columns : CodeOrder::tuples; }
  int64_t bytes_of_block() const {
    return (columns_ + shape_.terms - 1) / shape_.terms * shape_.terms * shape_.samples * shape_.bytes;
  }
  void pack(const IntegerCall& call, int64_t block, void* x) const {
    pack_codes(call, columns_, range_, order(), block * shape_.samples, x);
  }

  // Part `part` of the rows, of so many.
  void run(const IntegerCall& call, int64_t block, const void* x, const int32_t* start, int64_t part,
           int64_t parts) const {
    const int64_t samples = shape_.samples, lanes = shape_.lanes, first = block * samples;
    const SumsPlace in_y = place_in_y(call, rows_, first);
    const bool whole = in_y.at != nullptr;
    const SumsPlace near{!whole || steps_.size() > 1 ? scratch<int32_t>(Scratch::kColumns, rows_ * samples) : nullptr,
                         samples, lanes, 2 * lanes};
    // All blocks of columns of some rows, whose sums are still near when they are unpacked.
    const int64_t run = is_avx2() ? kRowsOfRun : rows_;
    const bool by_run = parts == 1 && run < rows_;
    for (int64_t from = 0; from < (by_run ? rows_ : 1); from += run) {
      for (size_t b = 0; b < steps_.size(); ++b) {
        const IntegerSteps& of = *steps_[b];
        const bool last = b + 1 == steps_.size();
        const uint8_t* const codes = static_cast<const uint8_t*>(x) + first_column_[b] * samples * shape_.bytes;
        const StepsCall steps{start,
                              b == 0 ? SumsPlace{nullptr, 0, 0, 0} : near,
                              last && whole ? in_y : near,
                              last && call.relu,
                              last && call.codes == Codes::float32,
                              samples_computed(call, first)};
        const int64_t groups = of.groups();
        if (by_run) of.multiply(of.group_of(from), of.group_of(std::min(from + run, rows_)), codes, steps);
        else of.multiply(groups * part / parts, groups * (part + 1) / parts, codes, steps);
      }
      if (!whole && by_run) unpack_sums(call, rows_, {from, std::min(run, rows_ - from)}, near.at, first, samples);
    }
    if (!whole && !by_run) unpack_sums(call, rows_, {0, rows_}, near.at, first, samples);
  }

  int64_t rows_, columns_;
  CodeRange range_;
  IntegerRowsKind kind_;
  CodeShape shape_;
  // By block of columns.
  std::vector<int64_t> first_column_;
  std::vector<std::unique_ptr<IntegerSteps>> steps_;
  BiasedStart start_;
};

}  // namespace

std::unique_ptr<IntegerProduct> make_integer_rows(const IntegerEntries& entries, CodeRange range,
                                                  IntegerRowsKind kind) {
  return std::make_unique<IntegerRows>(entries, range, kind);
}

}  // namespace espalier::sparse
