// A tile of C, kTileRows × two vectors of columns, lives in registers while it walks k: at each step two
// vectors of B and one broadcast element of A a row. B comes in panels two vectors wide, [k][width],
// packed beforehand, just now, or (where that is how B lies) in place. A is read in place or from a
// copy whose rows do not fall on each other in the cache.
//
// k is cut into passes that depend on k alone, and a pass adds its terms in order: an element's bits
// do not depend on the tile, the packing or the thread it came from.

constexpr int kTileRows = kRegisters == 16 ? (ESPALIER_LEVEL == 1 ? 6 : 4) : (ESPALIER_LEVEL == 2 ? 14 : 8);
template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

template <class T>
void panel_width(int64_t* width) {
  *width = kPanel<T>;
}

// ---- packing

// Columns [0, columns) of op(B), rows [0, k), as one panel; columns short of its width become zeros.
template <class T>
void pack_panel(int64_t k, int64_t columns, const T* b, int64_t b_row, int64_t b_column, T* panel) {
  constexpr int64_t L = kLanes<T>;
  if (b_column == 1 && columns == kPanel<T>) {
    for (int64_t p = 0; p < k; ++p, b += b_row, panel += kPanel<T>) {
      store<T>(panel, load<T>(b));
      store<T>(panel + L, load<T>(b + L));
    }
    return;
  }
  for (int64_t p = 0; p < k; ++p, panel += kPanel<T>) {
    for (int64_t j = 0; j < columns; ++j) panel[j] = b[p * b_row + j * b_column];
    for (int64_t j = columns; j < kPanel<T>; ++j) panel[j] = 0;
  }
}

// The header of a packed buffer. Sizes in two parts of 2^24, so that float32 holds them exactly.
template <class T>
void packed_header(int64_t n, int64_t k, T (&header)[kGemmHeader]) {
  constexpr int64_t kPart = 1 << 24;
  const T facts[] = {T(0x6e5a), T(kPanel<T>), T(n % kPart), T(n / kPart % kPart), T(k % kPart), T(k / kPart % kPart)};
  for (int64_t i = 0; i < kGemmHeader; ++i) header[i] = i < 6 ? facts[i] : T(0);
}

template <class T>
void pack_all(int64_t n, int64_t k, const T* b, int64_t b_row, int64_t b_column, T* packed) {
  T header[kGemmHeader];
  packed_header<T>(n, k, header);
  std::copy(header, header + kGemmHeader, packed);
  T* const panels = packed + kGemmHeader;
  if (k == 0) return;
  parallel_for((n + kPanel<T> - 1) / kPanel<T>, [=](int64_t j) {
    pack_panel<T>(k, std::min(kPanel<T>, n - j * kPanel<T>), b + j * kPanel<T> * b_column, b_row, b_column,
                  panels + j * kPanel<T> * k);
  });
}

template <class T>
void is_packed(int64_t n, int64_t k, const T* packed, bool* same) {
  T header[kGemmHeader];
  packed_header<T>(n, k, header);
  *same = std::equal(header, header + kGemmHeader, packed);
}

// ---- a tile

// Where a tile stands and what becomes of it: one pass over k of a part of C.
template <class T>
struct Pass {
  const Product<T>& whole;
  int64_t k;         // of this pass
  bool first, last;  // pass over k
};

// C ← α·sums + β·C and the epilogue, for a tile that left the registers. `sums` has rows of kPanel.
template <class T>
[[gnu::noinline]] void finish(const Pass<T>& pass, const T* sums, int64_t row, int64_t column, int64_t rows,
                              int64_t columns) {
  const Product<T>& g = pass.whole;
  const Vec<T> alpha = broadcast<T>(g.alpha), beta = broadcast<T>(g.beta);
  const bool adds = !pass.first || g.beta != 0;
  for (int64_t i = 0; i < rows; ++i, sums += kPanel<T>) {
    T* const c = g.c + (row + i) * g.ldc + column;
    for (int64_t j = 0; j < columns; j += kLanes<T>) {
      const int64_t count = std::min<int64_t>(kLanes<T>, columns - j);
      Vec<T> v = alpha * load<T>(sums + j);
      if (adds) v = v + (pass.first ? beta : broadcast<T>(1)) * load_first<T>(c + j, count);
      if (pass.last) {
        if (g.epilogue.row_bias) v = v + g.epilogue.row_bias[row + i];
        if (g.epilogue.column_bias) v = v + load_first<T>(g.epilogue.column_bias + column + j, count);
        if (g.epilogue.relu) v = max<T>(v, Vec<T>{});
      }
      if (count == kLanes<T>) store<T>(c + j, v);
      else store_first<T>(c + j, v, count);
    }
  }
}

// R rows by N vectors. `a`: the first element of the tile's rows of A; `b`: of its panel, whose rows
// are b_row apart.
template <class T, int R, int N>
[[gnu::noinline]] void tile(const Pass<T>& pass, const T* a, int64_t a_row, int64_t a_column, const T* b, int64_t b_row,
                            int64_t row, int64_t column, int64_t columns) {
  constexpr int64_t L = kLanes<T>;
  Vec<T> sums[R][N] = {};
  for (int64_t p = pass.k; p > 0; --p) {
    Vec<T> v[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) v[j] = load<T>(b + j * L);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> x = broadcast<T>(a[i * a_row]);
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) sums[i][j] = fma<T>(x, v[j], sums[i][j]);
    }
    a += a_column;
    b += b_row;
  }
  const Product<T>& g = pass.whole;
  if (columns == N * L && g.alpha == 1 && !g.epilogue.row_bias && !g.epilogue.column_bias && !g.epilogue.relu) {
    T* c = g.c + row * g.ldc + column;
    if (pass.first && g.beta == 0) {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i, c += g.ldc)
#pragma GCC unroll 2
        for (int j = 0; j < N; ++j) store<T>(c + j * L, sums[i][j]);
      return;
    }
    if (!pass.first || g.beta == 1) {
#pragma GCC unroll 16
      for (int i = 0; i < R; ++i, c += g.ldc)
#pragma GCC unroll 2
        for (int j = 0; j < N; ++j) store<T>(c + j * L, load<T>(c + j * L) + sums[i][j]);
      return;
    }
  }
  alignas(64) T left[R * kPanel<T>];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) store<T>(left + i * kPanel<T> + j * L, sums[i][j]);
  finish<T>(pass, left, row, column, R, columns);
}

// The tile of that many rows and columns.
template <class T, int R = kTileRows>
ESPALIER_INLINE void any_tile(int64_t rows, const Pass<T>& pass, const T* a, int64_t a_row, int64_t a_column,
                              const T* b, int64_t b_row, int64_t row, int64_t column, int64_t columns) {
  if constexpr (R > 1) {
    if (rows != R) return any_tile<T, R - 1>(rows, pass, a, a_row, a_column, b, b_row, row, column, columns);
  }
  if (columns > kLanes<T>) tile<T, R, 2>(pass, a, a_row, a_column, b, b_row, row, column, columns);
  else tile<T, R, 1>(pass, a, a_row, a_column, b, b_row, row, column, columns);
}

// ---- the loops around it

// The panels of B for a pass: panel j of a group starts at data + j·stride.
template <class T>
struct Panels {
  const T* data;
  int64_t stride;
};

// Rows [row, row + rows) of C against a group of panels that starts at `column`. The rows of A are
// copied when that pays, then stay in the first-level cache.
template <class T>
void block(const Pass<T>& pass, const T* a, int64_t row, int64_t rows, Panels<T> panels, int64_t column,
           int64_t columns) {
  const Product<T>& g = pass.whole;
  for (int64_t i = 0; i < rows; i += kTileRows) {
    const int64_t height = std::min<int64_t>(kTileRows, rows - i);
    const T* from = a + (row + i) * g.a_row;
    for (int64_t j = 0; j < columns; j += kPanel<T>)
      any_tile<T>(height, pass, from, g.a_row, g.a_column, panels.data + j / kPanel<T> * panels.stride, kPanel<T>,
                  row + i, column + j, std::min(kPanel<T>, columns - j));
  }
}

template <class T>
void gemm(const Product<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  constexpr int64_t kDepth = kGemmDepthBytes / static_cast<int64_t>(sizeof(T));
  const int64_t passes = std::max<int64_t>(1, (g.k + kDepth - 1) / kDepth);
  const int64_t depth = (g.k + passes - 1) / passes;
  T* const packed = g.packed ? nullptr : scratch<T>(Scratch::kPackB, kGemmGroupColumns * depth);
  for (int64_t column = 0; column < g.n; column += kGemmGroupColumns) {
    const int64_t columns = std::min(kGemmGroupColumns, g.n - column);
    for (int64_t p = 0, index = 0; index < passes; p += depth, ++index) {
      const Pass<T> pass{g, std::min(depth, g.k - p), index == 0, index == passes - 1};
      Panels<T> panels{packed, kPanel<T> * depth};
      if (g.packed) {
        panels = {g.packed + column * g.k + p * kPanel<T>, kPanel<T> * g.k};
      } else {
        parallel_for((columns + kPanel<T> - 1) / kPanel<T>, [&](int64_t j) {
          const int64_t at = j * kPanel<T>;
          pack_panel<T>(pass.k, std::min(kPanel<T>, columns - at), g.b + p * g.b_row + (column + at) * g.b_column,
                        g.b_row, g.b_column, packed + j * panels.stride);
        });
      }
      const int64_t grain = kTileRows * 4;
      parallel_ranges(g.m, grain, [&](int64_t begin, int64_t end) {
        block<T>(pass, g.a + p * g.a_column, begin, end - begin, panels, column, columns);
      });
    }
  }
}
