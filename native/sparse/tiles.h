// Products of matrices whose entries stand in tiles, some rows by a column: a value is loaded once for several vectors
// of samples and a sample once for several rows, so that no code need be generated. What blocks, channels and dense
// matrices have in common.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "sparse/product.h"

namespace espalier::sparse {

// The tallest tile; heights are 1, 2 and this. Eight rows would save loads, of which four vectors of samples are not
// short; and their sums leave registers for three vectors, with AVX2 for one.
constexpr int64_t kTallest = 4;

// Some rows that keep the same columns.
struct TileRow {
  std::array<int32_t, kTallest> to;  // which row of Y each is, or −1
  int64_t begin, end;                // of their columns in Tiles::column
  int64_t values;                    // where their values begin
};

struct Tiles {
  int64_t rows, columns;
  int64_t height;  // of a tile
  std::vector<TileRow> tile_rows;
  std::vector<int32_t> column;  // of each tile; lists that are alike may be one
  // By tile row, by tile, by row: which value of the matrix, or Stream::kPadding.
  std::vector<int32_t> origin;
  // Whether rows stand in order, `height` a tile row: then they can be shared out among threads.
  bool in_order;
  // Whether tiles keep few columns, far from each other: their samples then come to the first-level cache more than
  // once if they are too many.
  bool scattered = false;
};

// The greatest height that divides `rows` and is worth having.
int64_t height_for(int64_t rows);

std::unique_ptr<Product> make_tiles(Tiles tiles);
// Cycles for a panel of samples: `tiles` tiles, `rows` rows of Y.
double cycles_of_tiles(int64_t height, double tiles, int64_t rows);

}  // namespace espalier::sparse
