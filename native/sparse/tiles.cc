#include "sparse/tiles.h"

#include <algorithm>

#include "sparse/cost.h"
#include "sparse/panel_product.h"

namespace espalier {
namespace {
using sparse::TileRow;
// Of samples, that a tile takes at once.
constexpr int kMostVectors = 8;
struct TileView {
  const TileRow* rows;
  const int32_t* column;
  const float* values;
};
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/tiles.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

class TileProduct final : public PanelProduct {
 public:
  explicit TileProduct(Tiles tiles)
      : PanelProduct(tiles.rows, tiles.columns), tiles_(std::move(tiles)), stream_(std::move(tiles_.origin)) {}

  void set_values(const float* values) override { stream_.set(values); }
  int64_t bytes() const override {
    return stream_.bytes() +
           static_cast<int64_t>(tiles_.column.size() * sizeof(int32_t) + tiles_.tile_rows.size() * sizeof(TileRow));
  }

 private:
  int64_t groups() const override { return tiles_.in_order ? static_cast<int64_t>(tiles_.tile_rows.size()) : 1; }
  int64_t first_row(int64_t group) const override {
    return group == groups() ? rows_ : std::min(rows_, group * tiles_.height);
  }
  // With AVX-512 low tiles read eight panels at once: an even number of lines apart they fill every way of their places
  // in either cache, and take up to a fifth longer. Four leave room, and are read where they stand: copying them costs
  // a sixth. (Nor do twelve ways mind eight.) With AVX2, where that was not measured, all are copied that read several.
  bool reads_across() const override {
    return core() != Core::zen5 && (is_avx2() ? !by_panel() : tiles_.height < kTallest);
  }
  // AVX2 has registers for twelve sums: four rows by three vectors. Where columns are scattered eight are the faster,
  // by four rows: a panel, 32 KB of 512 columns, then stands alone in the first-level cache.
  bool by_panel() const { return is_avx2() && tiles_.scattered && tiles_.height == kTallest; }

  void run(const Work& work) const override {
    const TileView view{tiles_.tile_rows.data(), tiles_.column.data(), stream_.data()};
    const int64_t most = by_panel() ? 2 : kMostVectors;
    const int64_t last = tiles_.in_order ? work.last_group : static_cast<int64_t>(tiles_.tile_rows.size());
    ESPALIER_ON_ISA(multiply_tiles(view, tiles_.height, work.first_group, last, work.bias, work.relu, work.panels, most,
                                   work.x, work.x_panel, row_zero(work.y, first_row(work.first_group), kPanel),
                                   work.y_panel));
  }

  Tiles tiles_;
  Stream stream_;
};

}  // namespace

int64_t height_for(int64_t rows) {
  for (int64_t height = kTallest; height > 1; height /= 2)
    if (rows % height == 0) return height;
  return 1;
}

std::unique_ptr<Product> make_tiles(Tiles tiles) { return std::make_unique<TileProduct>(std::move(tiles)); }

double cycles_of_tiles(int64_t height, double tiles, int64_t rows) {
  const double of_entry = rates().in_tile[height == 1 ? 0 : height == 2 ? 1 : 2];
  return tiles * static_cast<double>(height) * of_entry + static_cast<double>(rows) * 4;
}

}  // namespace espalier::sparse
