// A tile of C, kTileRows × two vectors of columns, lives in registers while it walks k: at each step two
// vectors of B and one broadcast element of A a row. B comes in panels two vectors wide, [k][width],
// packed beforehand, just now, or (where that is how B lies) in place. A is read in place or from a
// copy whose rows do not fall on each other in the cache.
//
// k is cut into passes that depend on k alone, and a pass adds its terms in order: an element's bits
// do not depend on the tile, the packing or the thread it came from. Products of few rows or columns
// take other ways, chosen by their shape.

constexpr int kTileRows = kRegisters == 16 ? (ESPALIER_LEVEL == 1 ? 6 : 4) : (ESPALIER_LEVEL == 2 ? 14 : 8);
template <class T>
constexpr int64_t kPanel = 2 * kLanes<T>;

template <class T>
void panel_width(int64_t* width) {
  *width = kPanel<T>;
}

// ---- packing

// Lane l of v[i] becomes lane i of v[l]. Each round exchanges, between vectors `step` apart, the
// blocks of `step` lanes that stand on the wrong side of the diagonal.
template <class T, int step, size_t... lane>
ESPALIER_INLINE void transpose_round(Vec<T> (&v)[kLanes<T>], std::index_sequence<lane...>) {
#pragma GCC unroll 16
  for (int i = 0; i < kLanes<T>; ++i) {
    if (i & step) continue;
    const Vec<T> low = v[i], high = v[i + step];
    v[i] = __builtin_shufflevector(low, high, (lane & step ? kLanes<T> + lane - step : lane)...);
    v[i + step] = __builtin_shufflevector(low, high, (lane & step ? kLanes<T> + lane : lane + step)...);
  }
}
template <class T, int step = 1>
ESPALIER_INLINE void transpose(Vec<T> (&v)[kLanes<T>]) {
  if constexpr (step < kLanes<T>) {
    transpose_round<T, step>(v, std::make_index_sequence<kLanes<T>>());
    transpose<T, 2 * step>(v);
  }
}

// Columns [0, columns) of op(B), rows [0, k), as one panel; columns short of its width become zeros.
template <class T>
void pack_panel(int64_t k, int64_t columns, const T* b, int64_t b_row, int64_t b_column, T* panel) {
  constexpr int64_t L = kLanes<T>;
  if (b_column == 1 && columns == kPanel<T>) {
    for (int64_t p = 0; p < k; ++p, b += b_row, panel += kPanel<T>) {
      const Vec<T> low = load<T>(b), high = load<T>(b + L);
      store<T>(panel, low);
      store<T>(panel + L, high);
    }
  } else if (b_column == 1) {
    for (int64_t p = 0; p < k; ++p, b += b_row, panel += kPanel<T>) {
      for (int64_t j = 0; j < columns; ++j) panel[j] = b[j];
      for (int64_t j = columns; j < kPanel<T>; ++j) panel[j] = 0;
    }
  } else {
    // B lies transposed: squares of L×L.
    for (int64_t half = 0; half < kPanel<T>; half += L, columns -= L, b += L * b_column) {
      for (int64_t p = 0; p < k; p += L) {
        const int64_t depth = std::min(L, k - p);
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int64_t j = 0; j < L; ++j) {
          if (j >= columns) v[j] = Vec<T>{};
          else if (depth == L) v[j] = load<T>(b + j * b_column + p);
          else v[j] = load_first<T>(b + j * b_column + p, depth);
        }
        transpose<T>(v);
        T* const to = panel + p * kPanel<T> + half;
        if (depth == L) {
#pragma GCC unroll 16
          for (int64_t i = 0; i < L; ++i) store<T>(to + i * kPanel<T>, v[i]);
        } else {
#pragma GCC unroll 16
          for (int64_t i = 0; i < L; ++i)
            if (i < depth) store<T>(to + i * kPanel<T>, v[i]);
        }
      }
    }
  }
}

// The panels of `columns` columns, `stride` apart. Rows of B are read several panels wide: panel by
// panel, each row would be a short visit to another page.
template <class T>
void pack_panels(int64_t k, int64_t columns, const T* b, int64_t b_row, int64_t b_column, T* panels, int64_t stride) {
  constexpr int64_t L = kLanes<T>, kAbreast = 8;
  int64_t j = 0;
  if (b_column == 1) {
    for (; j + kAbreast * kPanel<T> <= columns; j += kAbreast * kPanel<T>, panels += kAbreast * stride) {
      for (int64_t p = 0; p < k; ++p) {
        const T* const from = b + p * b_row + j;
        T* const to = panels + p * kPanel<T>;
#pragma GCC unroll 8
        for (int64_t q = 0; q < kAbreast; ++q) {
          const Vec<T> low = load<T>(from + q * kPanel<T>), high = load<T>(from + q * kPanel<T> + L);
          store<T>(to + q * stride, low);
          store<T>(to + q * stride + L, high);
        }
      }
    }
  }
  for (; j < columns; j += kPanel<T>, panels += stride)
    pack_panel<T>(k, std::min(kPanel<T>, columns - j), b + j * b_column, b_row, b_column, panels);
}

// A tile reads A in place, unless that would evict itself: rows (or, of a transposed A, steps of k) whose
// starts share a set of the first-level cache.
template <class T>
bool rows_collide(const Product<T>& g) {
  return (g.a_column == 1 ? g.a_row : g.a_column) * static_cast<int64_t>(sizeof(T)) % 2048 == 0;
}

// A tile's rows side by side, [k][kTileRows]. Writes up to a vector past their end.
template <class T>
void copy_rows(int64_t height, int64_t k, const T* a, int64_t a_row, int64_t a_column, T* to) {
  constexpr int64_t L = kLanes<T>;
  if (a_column == 1) {
    for (int64_t r = 0; r < kTileRows; r += L) {
      for (int64_t p = 0; p < k; p += L) {
        const int64_t depth = std::min(L, k - p);
        Vec<T> v[L];
#pragma GCC unroll 16
        for (int64_t i = 0; i < L; ++i) {
          if (r + i >= height) v[i] = Vec<T>{};
          else if (depth == L) v[i] = load<T>(a + (r + i) * a_row + p);
          else v[i] = load_first<T>(a + (r + i) * a_row + p, depth);
        }
        transpose<T>(v);
        const int64_t wide = std::min<int64_t>(L, kTileRows - r);
#pragma GCC unroll 16
        for (int64_t i = 0; i < L; ++i)
          if (kTileRows <= L) store<T>(to + (p + i) * kTileRows, v[i]);
          else if (i < depth) store_first<T>(to + (p + i) * kTileRows + r, v[i], wide);
      }
    }
  } else if (height == kTileRows) {
    for (int64_t p = 0; p < k; ++p) std::memcpy(to + p * kTileRows, a + p * a_column, kTileRows * sizeof(T));
  } else {
    for (int64_t p = 0; p < k; ++p)
      for (int64_t i = 0; i < height; ++i) to[p * kTileRows + i] = a[p * a_column + i];
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
  parallel_ranges(n, 8 * kPanel<T>, [=](int64_t begin, int64_t end) {
    pack_panels<T>(k, end - begin, b + begin * b_column, b_row, b_column, panels + begin * k, kPanel<T> * k);
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
  T* const to = pass.whole.c + row * pass.whole.ldc + column;
  Vec<T> sums[R][N] = {};
  // The sums' place in C is fetched meanwhile, a row at a time.
  const int64_t share = pass.k / R + 1;
  for (int64_t left = pass.k, line = 0; left > 0; ++line) {
    int64_t steps = left;
    if (line < R) {
      steps = std::min(left, share);
#pragma GCC unroll 4
      for (int64_t j = 0; j < N * L; j += 64 / sizeof(T)) __builtin_prefetch(to + line * pass.whole.ldc + j, 1);
    }
    left -= steps;
    for (; steps > 0; --steps) {
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

// R rows of A against S columns of B where both lie along k: sums of products, vectors at a time. For
// the few rows of a product that would not repay packing B.
template <class T, int R, int S>
[[gnu::noinline]] void dot_tile(int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_column, T* sums) {
  constexpr int64_t L = kLanes<T>;
  Vec<T> total[R][S] = {};
  const auto step = [&](auto read) {
    Vec<T> v[S];
#pragma GCC unroll 4
    for (int j = 0; j < S; ++j) v[j] = read(b + j * b_column);
#pragma GCC unroll 4
    for (int i = 0; i < R; ++i) {
      const Vec<T> x = read(a + i * a_row);
#pragma GCC unroll 4
      for (int j = 0; j < S; ++j) total[i][j] = fma<T>(x, v[j], total[i][j]);
    }
  };
  int64_t p = 0;
  for (; p + L <= k; p += L, a += L, b += L) step([](const T* from) { return load<T>(from); });
  if (p < k) step([&](const T* from) { return load_first<T>(from, k - p); });
#pragma GCC unroll 4
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < S; ++j) sums[i * kPanel<T> + j] = sum_lanes<T>(total[i][j]);
}

template <class T, int R = kDotSide, int S = kDotSide>
void any_dot_tile(int64_t rows, int64_t columns, int64_t k, const T* a, int64_t a_row, const T* b, int64_t b_column,
                  T* sums) {
  if constexpr (R > 1) {
    if (rows < R) return any_dot_tile<T, R - 1, S>(rows, columns, k, a, a_row, b, b_column, sums);
  }
  if constexpr (S > 1) {
    if (columns < S) return any_dot_tile<T, R, S - 1>(rows, columns, k, a, a_row, b, b_column, sums);
  }
  dot_tile<T, R, S>(k, a, a_row, b, b_column, sums);
}

template <class T>
void dots(const Product<T>& g) {
  const Pass<T> pass{g, g.k, true, true};
  const int64_t across = (g.n + kPanel<T> - 1) / kPanel<T>, down = (g.m + kDotSide - 1) / kDotSide;
  // Short of kGemmSerial multiplications, several tiles go together.
  const int64_t grain = std::max<int64_t>(1, kGemmSerial / (kDotSide * kPanel<T> * std::max<int64_t>(g.k, 1)));
  parallel_ranges(across * down, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = t % down * kDotSide, column = t / down * kPanel<T>;
      const int64_t rows = std::min<int64_t>(kDotSide, g.m - row), columns = std::min(kPanel<T>, g.n - column);
      alignas(64) T sums[kDotSide * kPanel<T>];
      for (int64_t j = 0; j < columns; j += kDotSide)
        any_dot_tile<T>(rows, columns - j, g.k, g.a + row * g.a_row, g.a_row, g.b + (column + j) * g.b_column,
                        g.b_column, sums + j);
      finish<T>(pass, sums, row, column, rows, columns);
    }
  });
}

// R rows of A against a B that lies in place, columns [left, right): four rows of B at a time are read from
// end to end, and the sums wait in the first-level cache. By panels, each step of k would visit another page.
template <class T, int R>
void few_rows(const Product<T>& g, int64_t left, int64_t right) {
  constexpr int64_t L = kLanes<T>, kSteps = 4;
  alignas(64) T sums[R * kGemmGroupColumns];  // by panels, as finish takes them
  std::fill(sums, sums + (right - left + kPanel<T> - 1) / kPanel<T> * kPanel<T> * R, T(0));
  for (int64_t p = 0; p < g.k; p += kSteps) {
    const int64_t steps = std::min(kSteps, g.k - p);
    Vec<T> x[R][kSteps];
#pragma GCC unroll 2
    for (int i = 0; i < R; ++i)
#pragma GCC unroll 4
      for (int64_t q = 0; q < kSteps; ++q)
        x[i][q] = broadcast<T>(q < steps ? g.a[i * g.a_row + (p + q) * g.a_column] : T(0));
    const T* const b = g.b + p * g.b_row;
    for (int64_t j = left; j < right; j += L) {
      T* const to = sums + (j - left) / kPanel<T> * R * kPanel<T> + (j - left) % kPanel<T>;
      const int64_t count = std::min(L, right - j);
      Vec<T> v[R];
#pragma GCC unroll 2
      for (int i = 0; i < R; ++i) v[i] = load<T>(to + i * kPanel<T>);
#pragma GCC unroll 4
      for (int64_t q = 0; q < kSteps; ++q) {
        if (q >= steps) break;
        const Vec<T> y = count == L ? load<T>(b + q * g.b_row + j) : load_first<T>(b + q * g.b_row + j, count);
#pragma GCC unroll 2
        for (int i = 0; i < R; ++i) v[i] = fma<T>(x[i][q], y, v[i]);
      }
#pragma GCC unroll 2
      for (int i = 0; i < R; ++i) store<T>(to + i * kPanel<T>, v[i]);
    }
  }
  const Pass<T> pass{g, g.k, true, true};
  for (int64_t j = left; j < right; j += kPanel<T>)
    finish<T>(pass, sums + (j - left) * R, 0, j, R, std::min(kPanel<T>, right - j));
}

// ---- the loops around it

// The panels of B for a pass over some columns of C. Panel j starts at data + j·stride, its rows are
// `row` apart. Where B itself serves as panels, its last columns, too few for one, are copied to one.
template <class T>
struct Panels {
  const T* data;
  int64_t stride, row;
  const T* last;
};

// Rows [begin, end) of C against columns [left, right), whose panels start at column `origin`. Those rows
// of A stay in the second-level cache, and each panel of B meets them all while it is there.
template <class T>
void block(const Pass<T>& pass, const T* a, int64_t begin, int64_t end, Panels<T> panels, int64_t origin, int64_t left,
           int64_t right) {
  const Product<T>& g = pass.whole;
  const bool copies = right - left > 2 * kPanel<T> && rows_collide(g);
  int64_t a_row = g.a_row, a_column = g.a_column, a_tile = kTileRows * g.a_row;
  const T* rows = a + begin * g.a_row;
  if (copies) {
    const int64_t stride = kTileRows * (pass.k + kLanes<T>);
    T* const to = scratch<T>(Scratch::kPackA, (end - begin + kTileRows - 1) / kTileRows * stride);
    for (int64_t i = begin; i < end; i += kTileRows)
      copy_rows<T>(std::min<int64_t>(kTileRows, end - i), pass.k, a + i * g.a_row, g.a_row, g.a_column,
                   to + (i - begin) / kTileRows * stride);
    rows = to, a_row = 1, a_column = kTileRows, a_tile = stride;
  }
  for (int64_t j = left; j < right; j += kPanel<T>) {
    const int64_t columns = std::min(kPanel<T>, right - j);
    const bool own = columns < kPanel<T> && panels.last;
    const T* const panel = own ? panels.last : panels.data + (j - origin) / kPanel<T> * panels.stride;
    for (int64_t i = begin; i < end; i += kTileRows)
      any_tile<T>(std::min<int64_t>(kTileRows, end - i), pass, rows + (i - begin) / kTileRows * a_tile, a_row, a_column,
                  panel, own ? kPanel<T> : panels.row, i, j, columns);
  }
}

// The panels of columns [column, column + columns) for rows [p, p + pass.k) of op(B).
template <class T>
Panels<T> panels_of(const Pass<T>& pass, int64_t p, int64_t column, int64_t columns) {
  const Product<T>& g = pass.whole;
  if (g.packed) return {g.packed + column * g.k + p * kPanel<T>, kPanel<T> * g.k, kPanel<T>, nullptr};
  const T* const b = g.b + p * g.b_row + column * g.b_column;
  // A B that meets one tile of rows is read once: packing it would only read it twice.
  if (g.b_column == 1 && g.m <= kTileRows) {
    const int64_t over = columns % kPanel<T>;
    T* const last = over == 0 ? nullptr : scratch<T>(Scratch::kPackB, kPanel<T> * pass.k);
    if (last) pack_panel<T>(pass.k, over, b + columns - over, g.b_row, 1, last);
    return {b, kPanel<T>, g.b_row, last};
  }
  const int64_t count = (columns + kPanel<T> - 1) / kPanel<T>, stride = kPanel<T> * pass.k;
  T* const packed = scratch<T>(Scratch::kPackB, count * stride);
  const int64_t grain = columns * pass.k < kGemmSerial / 8 ? columns : 8 * kPanel<T>;
  parallel_ranges(columns, grain, [&](int64_t begin, int64_t end) {
    pack_panels<T>(pass.k, end - begin, b + begin * g.b_column, g.b_row, g.b_column, packed + begin * pass.k, stride);
  });
  return {packed, stride, kPanel<T>, nullptr};
}

template <class T>
void gemm(const Product<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  if (!g.packed && g.k > 0 && g.a_column == 1 && g.b_row == 1 &&
      (g.m <= kDotSide || g.n <= kDotSide || (g.m <= kDotRows && g.k >= kDotDepth)))
    return dots(g);
  if (!g.packed && g.k > 0 && g.b_column == 1 && g.m <= 2)
    return parallel_ranges(g.n, kGemmGroupColumns, [&](int64_t left, int64_t right) {
      if (g.m == 1) few_rows<T, 1>(g, left, right);
      else few_rows<T, 2>(g, left, right);
    });
  constexpr int64_t kDepth = kGemmDepthBytes / static_cast<int64_t>(sizeof(T));
  const int64_t passes = std::max<int64_t>(1, (g.k + kDepth - 1) / kDepth);
  const int64_t depth = (g.k + passes - 1) / passes;
  for (int64_t column = 0; column < g.n; column += kGemmGroupColumns) {
    const int64_t columns = std::min(kGemmGroupColumns, g.n - column);
    // Blocks of rows that fill the second-level cache; for several threads as many as share out evenly, and cut
    // across where the rows do not suffice. (No bit depends on the cuts: a pass over k is never cut.)
    const bool serial = g.m * columns * depth < kGemmSerial || threads() == 1;
    const int64_t tiles = (g.m + kTileRows - 1) / kTileRows;
    const int64_t tile_bytes = kTileRows * depth * static_cast<int64_t>(sizeof(T)) + 1;
    const int64_t fitting = std::max<int64_t>(1, kGemmBlockBytes / tile_bytes);
    const int64_t filled = (tiles + fitting - 1) / fitting;
    const int64_t down = serial ? filled : std::min(tiles, (filled + kGemmTasks - 1) / kGemmTasks * kGemmTasks);
    const int64_t cuts = serial || down >= kGemmTasks ? 1 : (kGemmTasks + down - 1) / down;
    const int64_t width = (columns + cuts * kPanel<T> - 1) / (cuts * kPanel<T>)*kPanel<T>;
    const int64_t across = (columns + width - 1) / width;
    for (int64_t p = 0, index = 0; index < passes; p += depth, ++index) {
      const Pass<T> pass{g, std::min(depth, g.k - p), index == 0, index == passes - 1};
      const Panels<T> panels = panels_of(pass, p, column, columns);
      parallel_for(down * across, [&](int64_t t) {
        const int64_t begin = t / across * tiles / down * kTileRows;
        const int64_t end = std::min(g.m, (t / across + 1) * tiles / down * kTileRows);
        const int64_t left = column + t % across * width;
        block<T>(pass, g.a + p * g.a_column, begin, end, panels, column, left,
                 std::min(column + columns, left + width));
      });
    }
  }
}
