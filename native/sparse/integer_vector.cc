// For few samples, where the matrix is read once and hardly used: an entry is a byte of value and one of place. Rows go
// in groups of as many as a vector has lanes of 32 bits, a row a lane, four entries of it a step. A step looks its
// codes up in a window of so many columns as registers hold of bytes (128 with AVX-512, one instruction; 64 with AVX2),
// multiplies and adds: nothing is gathered from memory. Of each row a step takes the next entries that its window has;
// windows lie half over each other, so that a row that is ahead seldom waits for those behind. Rows of as many entries
// make a group. At one entry in ten four of five places are taken; the others have weight 0.
//
// Where all weights are −1 and 1 the sign is a bit of the place, and an entry a byte; places that are not taken look up
// 0, which the last place of a window is for. Where most columns are kept all are taken, and no places are held.
#include <algorithm>
#include <numeric>

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/isa.h"
#include "sparse/cost.h"
#include "sparse/integer_codes.h"
#include "sparse/integer_kernels.h"

namespace espalier {
namespace {
// How the instruction set in use looks codes up: rows of a group, columns of a window, and what windows lie apart at
// least. Where places carry signs a window may have less columns, and the place after its last one looks up 0; none if
// that cannot be.
struct IntegerVectorShape {
  int64_t rows, window, apart, window_of_signs;
};
struct Window {
  int32_t first, steps;  // its first column
};
struct IntegerVectorView {
  sparse::VectorSteps kind;
  const uint8_t* steps;
  const int64_t *step_start, *window_start;  // by group
  const Window* windows;
  const uint32_t* base;  // what each row's sum starts from
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_vector.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

#if ESPALIER_X86
// AVX-512 without its lookups takes AVX2's.
bool takes_avx2() { return isa() == Isa::avx2 || (isa() == Isa::avx512 && !looks_up_bytes()); }
#endif

IntegerVectorShape vector_shape() {
  IntegerVectorShape shape{};
#if ESPALIER_X86
  if (takes_avx2()) avx2::tell_vector_shape(shape);
  else
#endif
    ESPALIER_ON_ISA(tell_vector_shape(shape));
  return shape;
}

void multiply_vectors(const IntegerVectorView& view, int64_t first, int64_t last, int64_t samples, const uint8_t* codes,
                      int64_t pitch, uint32_t* sums, int64_t sums_pitch) {
#if ESPALIER_X86
  if (takes_avx2()) {
    avx2::multiply_integer_vectors(view, first, last, samples, codes, pitch, sums, sums_pitch);
    return;
  }
#endif
  ESPALIER_ON_ISA(multiply_integer_vectors(view, first, last, samples, codes, pitch, sums, sums_pitch));
}

class IntegerVector final : public IntegerProduct {
 public:
  IntegerVector(const IntegerEntries& entries, CodeRange range, VectorSteps kind)
      : rows_(entries.pattern.rows),
        columns_(entries.pattern.columns),
        range_(range),
        // (Not code_bias: lookups take codes of either sign so on every instruction set.)
        bias_(range.low < 0 ? 128 : 0),
        kind_(kind),
        shape_(vector_shape()),
        row_(static_cast<size_t>(rows_)) {
    const Pattern& pattern = entries.pattern;
    std::iota(row_.begin(), row_.end(), 0);
    if (kind_ != VectorSteps::dense)
      std::stable_sort(row_.begin(), row_.end(), [&](int32_t a, int32_t b) {
        return pattern.end(a) - pattern.begin(a) > pattern.end(b) - pattern.begin(b);
      });
    step_start_.push_back(0);
    window_start_.push_back(0);
    for (int64_t r = 0; r < rows_; r += shape_.rows) {
      const int64_t count = std::min(shape_.rows, rows_ - r);
      if (kind_ == VectorSteps::dense) add_dense_group(entries, r, count);
      else add_group(entries, r, count);
      window_start_.push_back(static_cast<int64_t>(windows_.size()));
      step_start_.push_back(steps());
    }
    const std::vector<uint32_t> of = of_bias(entries, bias_);
    base_.resize(static_cast<size_t>(groups() * shape_.rows));
    for (size_t i = 0; i < row_.size(); ++i) base_[i] = 0u - of[static_cast<size_t>(row_[i])];
  }

  std::string name() const override { return "vector"; }
  int64_t bytes() const override {
    return static_cast<int64_t>(lines_.size() * sizeof(Line) + windows_.size() * sizeof(Window) +
                                (step_start_.size() + window_start_.size()) * sizeof(int64_t) +
                                row_.size() * sizeof(int32_t) + base_.size() * sizeof(uint32_t));
  }

  void multiply(const IntegerCall& call) const override {
    // (Windows reach past the last column.)
    const int64_t pitch = (columns_ + shape_.window + 63) / 64 * 64, sums_pitch = groups() * shape_.rows;
    uint8_t* const codes = scratch<uint8_t>(Scratch::kPackB, kTogether * pitch);
    uint32_t* const sums = scratch<uint32_t>(Scratch::kColumns, kTogether * sums_pitch);
    const IntegerVectorView view{kind_,           lines_.data()->bytes, step_start_.data(), window_start_.data(),
                                 windows_.data(), base_.data()};
    for (int64_t first = 0; first < call.samples.count; first += kTogether) {
      const int64_t count = std::min(kTogether, call.samples.count - first);
      for (int64_t s = 0; s < count; ++s) {
        pack_sample(call, columns_, range_, first + s, bias_, codes + s * pitch);
        std::fill(codes + s * pitch + columns_, codes + (s + 1) * pitch, uint8_t{0});
      }
      parallel_ranges(groups(), kGroupsATask, [&](int64_t begin, int64_t end) {
        multiply_vectors(view, begin, end, count, codes, pitch, sums, sums_pitch);
        for (int64_t s = 0; s < count; ++s)
          finish(call, begin * shape_.rows, std::min(end * shape_.rows, rows_), first + s, sums + s * sums_pitch);
      });
    }
  }

 private:
  // Samples whose codes and sums are held at once: of 4,096 columns they nearly fill the first-level cache.
  static constexpr int64_t kTogether = 8;
  static constexpr int64_t kGroupsATask = 16;
  // So that no load of a step crosses a line.
  struct alignas(64) Line {
    uint8_t bytes[64];
  };

  int64_t groups() const { return static_cast<int64_t>(step_start_.size()) - 1; }
  int64_t bytes_of_vector() const { return 4 * shape_.rows; }
  int64_t bytes_of_step() const { return (kind_ == VectorSteps::entries ? 2 : 1) * bytes_of_vector(); }
  int64_t steps() const { return made_ / bytes_of_step(); }
  // The next bytes of steps, 0 as yet.
  uint8_t* extend(int64_t bytes) {
    const int64_t before = made_;
    made_ += bytes;
    lines_.resize(static_cast<size_t>((made_ + 63) / 64));
    return lines_.data()->bytes + before;
  }

  void add_dense_group(const IntegerEntries& entries, int64_t first, int64_t count) {
    uint8_t* const to = extend((columns_ + 3) / 4 * bytes_of_step());
    for (int64_t l = 0; l < count; ++l)
      for (int64_t i = entries.pattern.begin(first + l); i < entries.pattern.end(first + l); ++i) {
        const int64_t c = entries.pattern.at(i);
        to[c / 4 * bytes_of_step() + l * 4 + c % 4] = static_cast<uint8_t>(entries.value[static_cast<size_t>(i)]);
      }
  }

  // Rows row_[first] … with `count` of them. Windows of as many steps stand together, so that the number of turns of
  // the loop over them can be foretold.
  void add_group(const IntegerEntries& entries, int64_t first, int64_t count) {
    const Pattern& pattern = entries.pattern;
    const int64_t taken = kind_ == VectorSteps::signs ? shape_.window_of_signs : shape_.window;
    std::vector<int64_t> next(static_cast<size_t>(count)), end(next);
    for (size_t l = 0; l < next.size(); ++l) {
      next[l] = pattern.begin(row_[static_cast<size_t>(first) + l]);
      end[l] = pattern.end(row_[static_cast<size_t>(first) + l]);
    }
    std::vector<uint8_t> made;
    struct Made {
      Window window;
      size_t at;  // of its steps in `made`
    };
    std::vector<Made> windows;
    const auto size = static_cast<size_t>(bytes_of_step());
    for (;;) {
      int64_t least = columns_;
      for (size_t l = 0; l < next.size(); ++l)
        if (next[l] < end[l]) least = std::min(least, pattern.at(next[l]));
      if (least == columns_) break;
      const int64_t left = least / shape_.apart * shape_.apart, right = left + taken;
      if (windows.empty() || windows.back().window.first != left)
        windows.push_back({{static_cast<int32_t>(left), 0}, made.size()});
      ++windows.back().window.steps;
      const size_t at = made.size();
      made.resize(at + size);
      if (kind_ == VectorSteps::signs)
        std::fill(made.begin() + static_cast<int64_t>(at), made.end(), static_cast<uint8_t>(taken));
      for (size_t l = 0; l < next.size(); ++l)
        for (size_t t = 0; t < 4 && next[l] < end[l] && pattern.at(next[l]) < right; ++t, ++next[l]) {
          const auto place = static_cast<uint8_t>(pattern.at(next[l]) - left);
          const int8_t value = entries.value[static_cast<size_t>(next[l])];
          uint8_t& to = made[at + l * 4 + t];
          if (kind_ == VectorSteps::signs) to = static_cast<uint8_t>(place | (value < 0 ? 0x80 : 0));
          else {
            to = place;
            made[at + static_cast<size_t>(bytes_of_vector()) + l * 4 + t] = static_cast<uint8_t>(value);
          }
        }
    }
    std::stable_sort(windows.begin(), windows.end(),
                     [](const Made& a, const Made& b) { return a.window.steps > b.window.steps; });
    uint8_t* to = extend(static_cast<int64_t>(made.size()));
    for (const Made& one : windows) {
      to = std::copy_n(made.data() + one.at, size * static_cast<size_t>(one.window.steps), to);
      windows_.push_back(one.window);
    }
  }

  // Rows row_[begin] … row_[end − 1] of a sample.
  void finish(const IntegerCall& call, int64_t begin, int64_t end, int64_t sample, const uint32_t* sums) const {
    int64_t by_row = 1, at = 0;
    switch (call.samples.layout) {
      case ESPALIER_SPARSE_LAYOUT_COLUMNS: by_row = call.samples.count, at = sample; break;
      case ESPALIER_SPARSE_LAYOUT_ROWS: at = sample * rows_; break;
      case ESPALIER_SPARSE_LAYOUT_PANELS:
        by_row = kPanel, at = sample / kPanel * kPanel * rows_ + sample % kPanel;
        break;
    }
    const auto put = [&](auto* y) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t r = row_[static_cast<size_t>(i)];
        const auto sum =
            static_cast<int32_t>(sums[i] + (call.start == nullptr ? 0u : static_cast<uint32_t>(call.start[r])));
        y[r * by_row + at] = static_cast<std::remove_pointer_t<decltype(y)>>(call.relu ? std::max(sum, 0) : sum);
      }
    };
    if (call.codes == Codes::float32) put(static_cast<float*>(call.y));
    else put(static_cast<int32_t*>(call.y));
  }

  int64_t rows_, columns_;
  CodeRange range_;
  int32_t bias_;
  VectorSteps kind_;
  IntegerVectorShape shape_;
  std::vector<int32_t> row_;  // in the order of lanes
  int64_t made_ = 0;          // bytes of steps
  std::vector<Line> lines_{1};
  std::vector<int64_t> step_start_, window_start_;  // by group
  std::vector<Window> windows_;
  std::vector<uint32_t> base_;
};

// Cycles: of a step by what it holds, once and for each sample; of a row and a column for each sample. And how much of
// a step is not taken, at one entry in two.
struct VectorRates {
  struct Step {
    double once, of_sample;
  };
  Step entries, signs, dense;
  double row, column, uneven;
};
// A Zen 4 core. (The same core's figures with AVX2, where products in blocks were measured on a Zen 3: a sixth more.)
[[maybe_unused]] constexpr VectorRates kLanesRates{{2.8, 1.8}, {2, 1.8}, {2, 1.2}, 2.7, 0.35, 0.026};
[[maybe_unused]] constexpr VectorRates kPairsRates{{1.5, 6}, {1.5, 5.6}, {1, 4.5}, 3, 0.4, 0.033};
// NEON, by its instructions; not measured. Where nothing looks bytes up blocks of few samples are faster.
constexpr VectorRates kPortableRates = ESPALIER_X86 ? VectorRates{{0, 40}, {0, 40}, {0, 40}, 4, 0.4, 0.02}
                                                    : VectorRates{{1, 8}, {1, 8}, {1, 6}, 4, 0.4, 0.033};

const VectorRates& vector_rates() {
#if ESPALIER_X86
  if (takes_avx2()) return kPairsRates;
  if (isa() == Isa::avx512) return kLanesRates;
#endif
  return kPortableRates;
}

}  // namespace

VectorCost cost_of_integer_vector(int64_t rows, int64_t columns, int64_t entries, bool signs) {
  const IntegerVectorShape shape = vector_shape();
  const VectorRates& rates = vector_rates();
  const double size = std::max(1.0, static_cast<double>(rows) * static_cast<double>(columns));
  const double density = static_cast<double>(entries) / size;
  const double groups = static_cast<double>((rows + shape.rows - 1) / shape.rows);
  const double of_all = groups * static_cast<double>((columns + 3) / 4);
  // Of a random pattern: the fewer columns are kept, the more unequal are what rows keep of them.
  const double of_entries = static_cast<double>(entries) / static_cast<double>(4 * shape.rows) *
                            (1 + rates.uneven * (1 - density) / std::max(density, 1e-9));
  const double of_sample = rates.row * static_cast<double>(rows) + rates.column * static_cast<double>(columns);
  const auto cost = [&](VectorSteps kind, const VectorRates::Step& step, double steps) {
    return VectorCost{kind, step.once * steps, of_sample + step.of_sample * steps};
  };
  const VectorCost dense = cost(VectorSteps::dense, rates.dense, of_all);
  const VectorCost sparse = signs && shape.window_of_signs > 0 ? cost(VectorSteps::signs, rates.signs, of_entries)
                                                               : cost(VectorSteps::entries, rates.entries, of_entries);
  return dense.of(1) < sparse.of(1) ? dense : sparse;
}

std::unique_ptr<IntegerProduct> make_integer_vector(const IntegerEntries& entries, CodeRange range, VectorSteps kind) {
  return std::make_unique<IntegerVector>(entries, range, kind);
}

}  // namespace espalier::sparse
