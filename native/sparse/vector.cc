// For few samples, where the matrix is read once and hardly used: what counts is its bytes. Rows are taken in groups
// of as many as a vector has lanes, a row a lane, and columns in tiles of as many as fit two registers, less one: an
// entry is then looked up by a byte, and 5 bytes are all it takes. Within a tile rows of fewer entries than the
// longest are filled up with entries of value 0 that look up the place left over, which holds 0 (any other would make
// NaN of an infinity); at one entry in ten that doubles them, and is still cheaper than a gather.
#include <algorithm>
#include <cstring>

#include "sparse/cost.h"
#include "sparse/format.h"

namespace espalier {
namespace {
struct Tile {
  int32_t tile, steps;  // which, and vectors of entries
};
struct VectorView {
  const float* values;
  const uint8_t* index;
  const int64_t *step_start, *tile_start;  // by group
  const Tile* tiles;
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/vector.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

int64_t lanes() {
  int64_t count = 1;
  ESPALIER_ON_ISA(vector_lanes(count));
  return count;
}

class Vector final : public Product {
 public:
  Vector(const Pattern& pattern, const std::vector<int32_t>& origin)
      : rows_(pattern.rows), columns_(pattern.columns), lanes_(lanes()), columns_of_tile_(2 * lanes_ - 1) {
    const int64_t groups = (rows_ + lanes_ - 1) / lanes_, tiles = tiles_of(columns_);
    std::vector<int32_t> order;
    step_start_.push_back(0);
    tile_start_.push_back(0);
    for (int64_t g = 0; g < groups; ++g) {
      add_group(pattern, g * lanes_, std::min(rows_, (g + 1) * lanes_), tiles);
      for (size_t t = static_cast<size_t>(tile_start_.back()); t < tiles_.size(); ++t)
        add_tile(pattern, origin, g * lanes_, std::min(rows_, (g + 1) * lanes_), tiles_[t], order);
      tile_start_.push_back(static_cast<int64_t>(tiles_.size()));
      step_start_.push_back(static_cast<int64_t>(index_.size()) / lanes_);
    }
    stream_ = Stream(std::move(order));
  }

  void set_values(const float* values) override { stream_.set(values); }
  int64_t bytes() const override {
    return stream_.bytes() + static_cast<int64_t>(index_.size() + tiles_.size() * sizeof(Tile) +
                                                  (step_start_.size() + tile_start_.size()) * sizeof(int64_t));
  }

  void multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const override {
    const int64_t groups = static_cast<int64_t>(step_start_.size()) - 1;
    const int64_t pitch = tiles_of(columns_) * 2 * lanes_, sums_pitch = groups * lanes_;
    float* const tables = scratch<float>(Scratch::kPackB, samples.count * pitch);
    float* const sums = scratch<float>(Scratch::kColumns, samples.count * sums_pitch);
    for (int64_t s = 0; s < samples.count; ++s) fill_tables(samples, s, x, tables + s * pitch);
    const VectorView view{stream_.data(), index_.data(), step_start_.data(), tile_start_.data(), tiles_.data()};
    parallel_ranges(groups, kGroupsATask, [&](int64_t first, int64_t last) {
      ESPALIER_ON_ISA(multiply_vectors(view, first, last, samples.count, tables, pitch, sums, sums_pitch));
    });
    for (int64_t s = 0; s < samples.count; ++s)
      for (int64_t r = 0; r < rows_; ++r) {
        const float sum = sums[s * sums_pitch + r] + (bias == nullptr ? 0.0f : bias[r]);
        y[place(samples, s, r, rows_)] = relu && sum < 0.0f ? 0.0f : sum;
      }
  }

 private:
  static constexpr int64_t kGroupsATask = 16;

  int64_t tiles_of(int64_t columns) const { return (columns + columns_of_tile_ - 1) / columns_of_tile_; }

  // Which tiles of a group of rows have entries; those with as many steps stand together, so that the number of turns
  // of the loop over them can be foretold.
  void add_group(const Pattern& pattern, int64_t first, int64_t last, int64_t tiles) {
    std::vector<int32_t> steps(static_cast<size_t>(tiles)), of_row(static_cast<size_t>(tiles));
    for (int64_t r = first; r < last; ++r) {
      std::fill(of_row.begin(), of_row.end(), 0);
      for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i)
        ++of_row[static_cast<size_t>(pattern.at(i) / columns_of_tile_)];
      for (size_t t = 0; t < steps.size(); ++t) steps[t] = std::max(steps[t], of_row[t]);
    }
    const size_t before = tiles_.size();
    for (size_t t = 0; t < steps.size(); ++t)
      if (steps[t] > 0) tiles_.push_back({static_cast<int32_t>(t), steps[t]});
    std::stable_sort(tiles_.begin() + static_cast<int64_t>(before), tiles_.end(),
                     [](const Tile& a, const Tile& b) { return a.steps > b.steps; });
  }
  void add_tile(const Pattern& pattern, const std::vector<int32_t>& origin, int64_t first, int64_t last,
                const Tile& tile, std::vector<int32_t>& order) {
    const size_t at = order.size(), count = static_cast<size_t>(tile.steps * lanes_);
    order.resize(at + count, Stream::kPadding);
    index_.resize(at + count, static_cast<uint8_t>(columns_of_tile_));
    const int64_t left = tile.tile * columns_of_tile_;
    for (int64_t r = first; r < last; ++r) {
      const auto begin = pattern.column.begin() + pattern.begin(r), end = pattern.column.begin() + pattern.end(r);
      size_t to = at + static_cast<size_t>(r - first);
      for (auto i = std::lower_bound(begin, end, left); i != end && *i < left + columns_of_tile_; ++i) {
        order[to] = origin[static_cast<size_t>(i - pattern.column.begin())];
        index_[to] = static_cast<uint8_t>(*i - left);
        to += static_cast<size_t>(lanes_);
      }
    }
  }

  // Where component c of sample s stands.
  static int64_t place(const Samples& samples, int64_t s, int64_t c, int64_t components) {
    switch (samples.layout) {
      case ESPALIER_SPARSE_LAYOUT_COLUMNS: return c * samples.count + s;
      case ESPALIER_SPARSE_LAYOUT_ROWS: return s * components + c;
      case ESPALIER_SPARSE_LAYOUT_PANELS: return (s / kPanel * components + c) * kPanel + s % kPanel;
    }
    return 0;
  }
  void fill_tables(const Samples& samples, int64_t s, const float* x, float* tables) const {
    for (int64_t c = 0; c < columns_; c += columns_of_tile_, tables += 2 * lanes_) {
      const int64_t count = std::min(columns_of_tile_, columns_ - c);
      if (samples.layout == ESPALIER_SPARSE_LAYOUT_ROWS)
        std::memcpy(tables, x + s * columns_ + c, static_cast<size_t>(count) * sizeof(float));
      else
        for (int64_t i = 0; i < count; ++i) tables[i] = x[place(samples, s, c + i, columns_)];
      std::fill(tables + count, tables + 2 * lanes_, 0.0f);
    }
  }

  int64_t rows_, columns_, lanes_, columns_of_tile_;
  std::vector<Tile> tiles_;
  std::vector<int64_t> step_start_, tile_start_;  // by group
  std::vector<uint8_t> index_;                    // by step and lane
  Stream stream_;
};

class VectorFormat final : public Format {
 public:
  std::string name() const override { return "vector"; }
  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    const int64_t rows = transposed ? pattern.columns : pattern.rows;
    const double size = std::max(1.0, static_cast<double>(pattern.rows) * static_cast<double>(pattern.columns));
    const double per_row = static_cast<double>(pattern.entries()) / size * static_cast<double>(2 * lanes() - 1);
    // The longest of a vector's rows: some standard deviations above the mean.
    const double steps =
        static_cast<double>(rows) / static_cast<double>(lanes()) *
        (size / std::max<double>(1, static_cast<double>(rows)) / static_cast<double>(2 * lanes() - 1)) *
        std::min(per_row + 1.9 * std::sqrt(per_row), static_cast<double>(2 * lanes() - 1));
    const double of_sample = steps * rates().looked_up + static_cast<double>(pattern.rows + pattern.columns);
    return rates().nanoseconds * (kCyclesOfCall + steps * rates().fetched + static_cast<double>(samples) * of_sample);
  }
  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool) const override {
    return std::make_unique<Vector>(pattern, origin);
  }
};

}  // namespace

std::unique_ptr<Format> vector_format() { return std::make_unique<VectorFormat>(); }

}  // namespace espalier::sparse
