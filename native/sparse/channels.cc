// Whole rows and columns are dropped, as filters and input channels are: what is left is dense, on fewer of them. The
// transpose is alike. A matrix of which nothing is dropped is the plainest of these.
#include <algorithm>

#include "sparse/cost.h"
#include "sparse/format.h"
#include "sparse/tiles.h"

namespace espalier::sparse {
namespace {

class Channels : public Format {
 public:
  std::string name() const override { return "channels"; }
  std::string fault(const Pattern& pattern) const override {
    int64_t model = -1;  // the first row that keeps any
    for (int64_t r = 0; r < pattern.rows; ++r) {
      if (pattern.begin(r) == pattern.end(r)) continue;
      if (model < 0) model = r;
      const auto of = [&](int64_t row) { return pattern.column.begin() + pattern.begin(row); };
      if (!std::equal(of(r), of(r + 1), of(model), of(model + 1)))
        return "rows " + std::to_string(model) + " and " + std::to_string(r) + " keep other columns";
    }
    return {};
  }

  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    const int64_t rows = transposed ? pattern.columns : pattern.rows,
                  columns = transposed ? pattern.rows : pattern.columns;
    const double of_panel =
        cycles_of_tiles(kTallest, static_cast<double>(pattern.entries()) / static_cast<double>(kTallest), rows);
    return nanoseconds_of(of_panel, rows, columns, samples);
  }

  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool) const override {
    std::vector<int64_t> kept, dropped;
    for (int64_t r = 0; r < pattern.rows; ++r) (pattern.begin(r) < pattern.end(r) ? kept : dropped).push_back(r);
    Tiles tiles{pattern.rows, pattern.columns, kTallest, {}, {}, {}, dropped.empty()};
    if (!kept.empty())
      tiles.column.assign(pattern.column.begin() + pattern.begin(kept[0]),
                          pattern.column.begin() + pattern.end(kept[0]));
    const int64_t columns = static_cast<int64_t>(tiles.column.size());
    const auto add = [&](const std::vector<int64_t>& rows, int64_t width) {
      for (size_t first = 0; first < rows.size(); first += kTallest) {
        TileRow row{{}, 0, width, static_cast<int64_t>(tiles.origin.size())};
        for (size_t i = 0; i < row.to.size(); ++i)
          row.to[i] = first + i < rows.size() ? static_cast<int32_t>(rows[first + i]) : -1;
        for (int64_t c = 0; c < width; ++c)
          for (size_t i = 0; i < kTallest; ++i)
            tiles.origin.push_back(row.to[i] < 0 ? Stream::kPadding
                                                 : origin[static_cast<size_t>(pattern.begin(row.to[i]) + c)]);
        tiles.tile_rows.push_back(row);
      }
    };
    add(kept, columns);
    // Dropped rows have a bias all the same.
    add(dropped, 0);
    return make_tiles(std::move(tiles));
  }
};

class Dense final : public Channels {
 public:
  std::string name() const override { return "dense"; }
  std::string fault(const Pattern& pattern) const override {
    if (pattern.entries() == pattern.rows * pattern.columns) return {};
    return std::to_string(pattern.entries()) + " of " + std::to_string(pattern.rows * pattern.columns) +
           " entries are kept";
  }
};

}  // namespace

std::unique_ptr<Format> channels_format() { return std::make_unique<Channels>(); }
std::unique_ptr<Format> dense_format() { return std::make_unique<Dense>(); }

}  // namespace espalier::sparse
