// Tiles of `Height` rows by `Vectors` vectors of samples, whose sums stay in registers while the tile's columns go by.
template <int Height, int Vectors>
ESPALIER_INLINE void tile(const TileRow& row, const int32_t* column, const float* values,
                          const float* const (&x)[Vectors], float* const (&y)[Vectors], const float* bias, bool relu) {
  Vec<float> sum[Height][Vectors];
#pragma GCC unroll 8
  for (int r = 0; r < Height; ++r)
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) sum[r][v] = broadcast(bias == nullptr || row.to[r] < 0 ? 0.0f : bias[row.to[r]]);
  const float* value = values + row.values;
  for (int64_t i = row.begin; i < row.end; ++i, value += Height) {
    const int64_t c = column[i];
    Vec<float> of_x[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) of_x[v] = in_register<float>(load<float>(x[v] + c * 16));
#pragma GCC unroll 8
    for (int r = 0; r < Height; ++r) {
      const Vec<float> by = broadcast(value[r]);
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[r][v] = fma<float>(by, of_x[v], sum[r][v]);
    }
  }
  if (relu) {
    const Vec<float> least{};
#pragma GCC unroll 8
    for (int r = 0; r < Height; ++r)
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[r][v] = sum[r][v] < least ? least : sum[r][v];
  }
  // Rows that follow each other are neighbouring lines of a panel: written panel by panel they cost half as much.
  if (row.to[0] >= 0 && row.to[Height - 1] == row.to[0] + Height - 1) {
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) {
      float* const to = y[v] + row.to[0] * int64_t{16};
#pragma GCC unroll 8
      for (int r = 0; r < Height; ++r) store<float>(to + r * 16, sum[r][v]);
    }
    return;
  }
#pragma GCC unroll 8
  for (int r = 0; r < Height; ++r)
    if (row.to[r] >= 0) {
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) store<float>(y[v] + row.to[r] * int64_t{16}, sum[r][v]);
    }
}

// y is where row 0 would stand.
template <int Height, int Vectors>
void tile_vectors(const TileView& of, int64_t first, int64_t last, const float* bias, bool relu, int64_t vector,
                  const float* x, int64_t x_panel, float* y, int64_t y_panel) {
  constexpr int kInPanel = 16 / kLanes<float>;
  const float* from[Vectors];
  float* to[Vectors];
  for (int v = 0; v < Vectors; ++v) {
    const int64_t panel = (vector + v) / kInPanel, offset = (vector + v) % kInPanel * kLanes<float>;
    from[v] = x + panel * x_panel + offset;
    to[v] = y + panel * y_panel + offset;
  }
  for (int64_t t = first; t < last; ++t) tile<Height, Vectors>(of.rows[t], of.column, of.values, from, to, bias, relu);
}

// As many vectors as leave registers for the operands; then what is left over, at once.
template <int Height, int Vectors>
void rest_of_tiles(const TileView& of, int64_t first, int64_t last, const float* bias, bool relu, int64_t vector,
                   int64_t vectors, const float* x, int64_t x_panel, float* y, int64_t y_panel) {
  if constexpr (Vectors > 0) {
    if (vectors == Vectors) tile_vectors<Height, Vectors>(of, first, last, bias, relu, vector, x, x_panel, y, y_panel);
    else rest_of_tiles<Height, Vectors - 1>(of, first, last, bias, relu, vector, vectors, x, x_panel, y, y_panel);
  }
}
template <int Height, int Most = kMostVectors>
void tiles_of_height(const TileView& of, int64_t first, int64_t last, const float* bias, bool relu, int64_t panels,
                     const float* x, int64_t x_panel, float* y, int64_t y_panel) {
  constexpr int kMost = std::min({Most, Height <= 2 ? 8 : 4, (kRegisters - 1) / (Height + 1)});
  const int64_t vectors = panels * (16 / kLanes<float>);
  int64_t v = 0;
  for (; v + kMost <= vectors; v += kMost)
    tile_vectors<Height, kMost>(of, first, last, bias, relu, v, x, x_panel, y, y_panel);
  rest_of_tiles<Height, kMost - 1>(of, first, last, bias, relu, v, vectors - v, x, x_panel, y, y_panel);
}

inline void multiply_tiles(const TileView& of, int64_t height, int64_t first, int64_t last, const float* bias,
                           bool relu, int64_t panels, int64_t most, const float* x, int64_t x_panel, float* y,
                           int64_t y_panel) {
  if (height == 4 && most == 2)
    return tiles_of_height<4, 2>(of, first, last, bias, relu, panels, x, x_panel, y, y_panel);
  switch (height) {
    case 1: return tiles_of_height<1>(of, first, last, bias, relu, panels, x, x_panel, y, y_panel);
    case 2: return tiles_of_height<2>(of, first, last, bias, relu, panels, x, x_panel, y, y_panel);
    default: return tiles_of_height<4>(of, first, last, bias, relu, panels, x, x_panel, y, y_panel);
  }
}
