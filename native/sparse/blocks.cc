// Entries are kept or dropped by blocks of `height` rows by `width` columns, counted from the first of each; those at
// the edges may be cut. Tall blocks are worth more than wide ones: a sample is loaded once for all rows of a block.
// The transpose has blocks too, lying down.
#include <algorithm>

#include "core/failure.h"
#include "sparse/cost.h"
#include "sparse/format.h"
#include "sparse/rows.h"
#include "sparse/short_rows.h"
#include "sparse/tiles.h"

namespace espalier::sparse {
namespace {

class Blocks final : public Format {
 public:
  Blocks(int64_t height, int64_t width) : height_(height), width_(width) {}
  std::string name() const override { return std::to_string(height_) + "x" + std::to_string(width_); }

  std::string fault(const Pattern& pattern) const override {
    for (int64_t r = 0; r < pattern.rows; ++r) {
      const int64_t first = r / height_ * height_;
      const auto of = [&](int64_t row) { return pattern.column.begin() + pattern.begin(row); };
      if (!std::equal(of(r), of(r + 1), of(first), of(first + 1)))
        return "rows " + std::to_string(first) + " and " + std::to_string(r) + " keep other columns";
    }
    for (int64_t r = 0; r < pattern.rows; r += height_)
      for (int64_t i = pattern.begin(r); i < pattern.end(r);) {
        const int64_t first = pattern.at(i), count = std::min(width_, pattern.columns - first);
        const int64_t last = i + count - 1;
        if (first % width_ != 0 || last >= pattern.end(r) || pattern.at(last) != first + count - 1)
          return "row " + std::to_string(r) + " keeps column " + std::to_string(first) + " but not the whole block";
        i += count;
      }
    return {};
  }

  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    const int64_t height = height_for(transposed ? width_ : height_);
    if (as_rows(height)) return cost_of_rows(pattern, samples, transposed);
    const int64_t rows = transposed ? pattern.columns : pattern.rows,
                  columns = transposed ? pattern.rows : pattern.columns;
    const double of_panel =
        cycles_of_tiles(height, static_cast<double>(pattern.entries()) / static_cast<double>(height), rows);
    return nanoseconds_of(of_panel, rows, columns, samples);
  }

  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool transposed) const override {
    const int64_t height = height_for(transposed ? width_ : height_);
    if (as_rows(height)) return make_rows(std::move(pattern), std::move(origin));
    Tiles tiles{pattern.rows, pattern.columns, height, {}, {}, {}, true, true};
    for (int64_t r = 0; r < pattern.rows; r += height) {
      TileRow row{};
      row.begin = static_cast<int64_t>(tiles.column.size());
      row.values = static_cast<int64_t>(tiles.origin.size());
      const int64_t rows = std::min(height, pattern.rows - r);
      for (int64_t i = 0; i < kTallest; ++i)
        row.to[static_cast<size_t>(i)] = static_cast<int32_t>(i < rows ? r + i : -1);
      for (int64_t at = 0; at < pattern.end(r) - pattern.begin(r); ++at) {
        tiles.column.push_back(static_cast<int32_t>(pattern.at(pattern.begin(r) + at)));
        for (int64_t i = 0; i < height; ++i)
          tiles.origin.push_back(i < rows ? origin[static_cast<size_t>(pattern.begin(r + i) + at)] : Stream::kPadding);
      }
      row.end = static_cast<int64_t>(tiles.column.size());
      tiles.tile_rows.push_back(row);
    }
    return make_tiles(std::move(tiles));
  }

 private:
  // Low blocks share too few loads to be more than rows where these have a kernel of their own.
  static bool as_rows(int64_t height) { return height < 4 && prefers_short_rows(); }

  int64_t height_, width_;
};

}  // namespace

std::unique_ptr<Format> blocks_format(int64_t height, int64_t width) {
  if (height < 1 || width < 1 || height > 64 || width > 64)
    fail(ESPALIER_INVALID_ARGUMENT, "parameters are %lld by %lld, expected 1 to 64 each",
         static_cast<long long>(height), static_cast<long long>(width));
  return std::make_unique<Blocks>(height, width);
}

}  // namespace espalier::sparse
