// Calls body(row, begin, end, piece) for pieces of at most a grain of every row, pieces numbered in
// order; short rows share a task.
template <class Body>
ESPALIER_INLINE void each_piece(int64_t rows, int64_t inner, const Body& body) {
  const int64_t pieces = (inner + kQuantGrain - 1) / kQuantGrain;
  if (pieces > 1) {
    parallel_for(rows * pieces, [&](int64_t piece) {
      const int64_t begin = piece % pieces * kQuantGrain;
      body(piece / pieces, begin, std::min(inner, begin + kQuantGrain), piece);
    });
    return;
  }
  parallel_ranges(rows, std::max<int64_t>(1, kQuantGrain / inner), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) body(row, int64_t{0}, inner, row);
  });
}

// The elements from `begin` to `end`, a vector at a time: body(at, i) reaches memory through `at`.
template <class T>
struct RowVector {
  ESPALIER_INLINE Vec<T> get(const T* p) const { return load<T>(p); }
  ESPALIER_INLINE void put(T* p, Vec<T> v) const { store<T>(p, v); }
  ESPALIER_INLINE int64_t lanes() const { return kLanes<T>; }
};
template <class T>
struct RowEnd {
  int64_t count;
  ESPALIER_INLINE Vec<T> get(const T* p) const { return load_first<T>(p, count); }
  ESPALIER_INLINE void put(T* p, Vec<T> v) const { store_first<T>(p, v, count); }
  ESPALIER_INLINE int64_t lanes() const { return count; }
};
template <class T, class Body>
ESPALIER_INLINE void along_row(int64_t begin, int64_t end, const Body& body) {
  int64_t i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>) body(RowVector<T>{}, i);
  if (i < end) body(RowEnd<T>{end - i}, i);
}

// One vector brought to the grid.
template <class T>
struct Rounded {
  Vec<T> x, ratio, nearest, code;  // ratio = x / scale; nearest: rounded, before the clamp

  template <class At>
  ESPALIER_INLINE Rounded(const quant::Grid<T>& grid, const At& at, int64_t i, Vec<T> scale, Vec<T> zero) {
    x = at.get(grid.x + i);
    if (grid.mask != nullptr) x *= at.get(grid.mask + i);
    ratio = x / scale;
    nearest = round_even<T>(ratio + zero);
    // In this order NaN ends at the low end.
    code = nearest > broadcast<T>(grid.low) ? nearest : broadcast<T>(grid.low);
    code = code < broadcast<T>(grid.high) ? code : broadcast<T>(grid.high);
  }
};

template <class T>
void fake_quant_forward(const quant::Grid<T>& grid, T* y, int32_t* codes) {
  each_piece(grid.outer * grid.channels, grid.inner, [&](int64_t row, int64_t begin, int64_t end, int64_t) {
    const int64_t channel = row % grid.channels, start = row * grid.inner;
    const Vec<T> scale = broadcast<T>(grid.scale[channel]);
    const Vec<T> zero = broadcast<T>(grid.zero == nullptr ? T{0} : grid.zero[channel]);
    along_row<T>(start + begin, start + end, [&](const auto& at, int64_t i) {
      const Rounded<T> r(grid, at, i, scale, zero);
      if (codes != nullptr)
        for (int64_t lane = 0; lane < at.lanes(); ++lane) codes[i + lane] = static_cast<int32_t>(r.code[lane]);
      at.put(y + i, r.x != r.x ? r.x : (r.code - zero) * scale);
    });
  });
}

template <class T>
void fake_quant_backward(const quant::Grid<T>& grid, const T* gradient, espalier_rounding_gradient rule, T* gradient_x,
                         T* gradient_scale) {
  const bool clamped = rule != ESPALIER_ROUNDING_GRADIENT_CLAMP_STE;
  const Vec<T> above =
      broadcast<T>(rule == ESPALIER_ROUNDING_GRADIENT_CLAMP_POSITIVE ? T{0} : -std::numeric_limits<T>::infinity());
  const int64_t rows = grid.outer * grid.channels;
  const int64_t pieces = (grid.inner + kQuantGrain - 1) / kQuantGrain;
  // A sum a piece, added up in their order: the bits do not depend on the threads.
  double* const sums = gradient_scale == nullptr ? nullptr : scratch<double>(Scratch::kPartial, rows * pieces);
  each_piece(rows, grid.inner, [&](int64_t row, int64_t begin, int64_t end, int64_t piece) {
    const int64_t channel = row % grid.channels, start = row * grid.inner;
    const Vec<T> scale = broadcast<T>(grid.scale[channel]);
    const Vec<T> zero = broadcast<T>(grid.zero == nullptr ? T{0} : grid.zero[channel]);
    Vec<T> sum{};
    along_row<T>(start + begin, start + end, [&](const auto& at, int64_t i) {
      const Vec<T> g = at.get(gradient + i);
      const Rounded<T> r(grid, at, i, scale, zero);
      const Mask<T> inside =
          (r.nearest >= broadcast<T>(grid.low)) & (r.nearest <= broadcast<T>(grid.high)) & (r.x > above);
      // Lanes behind the end have g = 0.
      const Vec<T> own = clamped ? (inside ? r.ratio : Vec<T>{}) : r.ratio;
      sum += g * (r.code - zero - own);
      if (gradient_x == nullptr) return;
      Vec<T> result = clamped ? (inside ? g : Vec<T>{}) : g;
      if (grid.mask != nullptr) result *= at.get(grid.mask + i);
      at.put(gradient_x + i, result);
    });
    if (sums != nullptr) sums[piece] = static_cast<double>(sum_lanes<T>(sum));
  });
  if (gradient_scale == nullptr) return;
  for (int64_t channel = 0; channel < grid.channels; ++channel) {
    double total = 0;
    for (int64_t outer = 0; outer < grid.outer; ++outer)
      for (int64_t piece = 0; piece < pieces; ++piece)
        total += sums[(outer * grid.channels + channel) * pieces + piece];
    gradient_scale[channel] = static_cast<T>(total);
  }
}

template <class T>
void abs_max(const quant::Grid<T>& grid, T* value, int32_t* index) {
  const int64_t rows = grid.outer * grid.channels;
  const int64_t pieces = (grid.inner + kQuantGrain - 1) / kQuantGrain;
  T* const largest = scratch<T>(Scratch::kPartial, rows * pieces);
  const auto magnitude = [&](const auto& at, int64_t i) {
    Vec<T> x = at.get(grid.x + i);
    if (grid.mask != nullptr) x *= at.get(grid.mask + i);
    return abs<T>(x);
  };
  each_piece(rows, grid.inner, [&](int64_t row, int64_t begin, int64_t end, int64_t piece) {
    const int64_t start = row * grid.inner;
    Vec<T> most{};
    along_row<T>(start + begin, start + end, [&](const auto& at, int64_t i) {
      const Vec<T> a = magnitude(at, i);
      most = ((a > most) | (a != a)) ? a : most;
    });
    T result = 0;
    for (int lane = 0; lane < kLanes<T>; ++lane)
      if (most[lane] > result || most[lane] != most[lane]) result = most[lane];
    largest[piece] = result;
  });
  for (int64_t channel = 0; channel < grid.channels; ++channel) {
    T most = 0;
    int64_t from = 0, row_of = channel;  // the first piece that has it
    for (int64_t outer = 0; outer < grid.outer; ++outer)
      for (int64_t piece = 0; piece < pieces; ++piece) {
        const T here = largest[(outer * grid.channels + channel) * pieces + piece];
        if (here > most || (here != here && most == most)) {
          most = here;
          row_of = outer * grid.channels + channel;
          from = piece * kQuantGrain;
        }
      }
    value[channel] = most;
    if (index == nullptr) continue;
    const int64_t start = row_of * grid.inner, end = start + std::min(grid.inner, from + kQuantGrain);
    int64_t found = -1;
    for (int64_t i = start + from; i < end && found < 0; ++i) {
      const T x = grid.mask == nullptr ? grid.x[i] : grid.x[i] * grid.mask[i];
      if (std::abs(x) == most || x != x) found = i;
    }
    index[channel] = static_cast<int32_t>(found);
  }
}
