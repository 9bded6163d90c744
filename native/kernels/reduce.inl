// Sums are kept accurate by adding in stages of few terms: kSumStep terms to an accumulator, as many
// accumulators to a second one, those to a third over a piece of fixed size, and the pieces by the
// same means again. The error grows with the terms of a stage, not with the length.
template <class T>
struct Stages {
  Vec<T> inner{}, outer{};
  int count = 0;
  ESPALIER_INLINE void add(Vec<T> sum) {
    inner += sum;
    if (++count % kSumStep != 0) return;
    outer += inner;
    inner = Vec<T>{};
  }
  ESPALIER_INLINE Vec<T> total() const { return outer + inner; }
};

// The sum of up to kSumPiece neighbours.
template <class T>
T sum_line(const T* x, int64_t n) {
  constexpr int64_t kWide = 4 * kLanes<T>;
  Stages<T> stages;
  int64_t i = 0;
  while (i + kWide <= n) {
    Vec<T> a{}, b{}, c{}, d{};
    const int64_t stop = std::min(n, i + kSumStep * kWide);
    for (; i + kWide <= stop; i += kWide) {
      a += load<T>(x + i);
      b += load<T>(x + i + kLanes<T>);
      c += load<T>(x + i + 2 * kLanes<T>);
      d += load<T>(x + i + 3 * kLanes<T>);
    }
    stages.add((a + b) + (c + d));
  }
  Vec<T> rest{};
  for (; i + kLanes<T> <= n; i += kLanes<T>) rest += load<T>(x + i);
  if (i < n) rest += load_first<T>(x + i, n - i);
  return sum_lanes<T>(stages.total() + rest);
}

// y[0…width) = the sums of `rows` rows that stand `stride` apart.
template <class T>
void sum_columns(const T* x, int64_t rows, int64_t stride, T* y, int64_t width) {
  int64_t j = 0;
  for (; j + 2 * kLanes<T> <= width; j += 2 * kLanes<T>) {
    Stages<T> left, right;
    for (int64_t r = 0; r < rows;) {
      Vec<T> a{}, b{};
      for (const int64_t stop = std::min(rows, r + kSumStep); r < stop; ++r) {
        a += load<T>(x + r * stride + j);
        b += load<T>(x + r * stride + j + kLanes<T>);
      }
      left.add(a);
      right.add(b);
    }
    store<T>(y + j, left.total());
    store<T>(y + j + kLanes<T>, right.total());
  }
  for (; j < width; j += kLanes<T>) {
    const int64_t lanes = std::min<int64_t>(kLanes<T>, width - j);
    Stages<T> stages;
    for (int64_t r = 0; r < rows;) {
      Vec<T> a{};
      for (const int64_t stop = std::min(rows, r + kSumStep); r < stop; ++r)
        a += load_first<T>(x + r * stride + j, lanes);
      stages.add(a);
    }
    store_first<T>(y + j, stages.total(), lanes);
  }
}

// x [outer, n, inner] → y [outer, pieces, inner], each piece the sum of `rows` of the n.
template <class T>
void sum_pieces(int64_t outer, int64_t n, int64_t inner, int64_t rows, const T* x, T* y) {
  const int64_t pieces = (n + rows - 1) / rows;
  const int64_t width = std::min(inner, kSumColumns), columns = (inner + width - 1) / width;
  const int64_t grain = std::max<int64_t>(1, kSumPiece / (std::min(n, rows) * width));
  parallel_ranges(outer * pieces * columns, grain, [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task % columns * width, line = task / columns;
      const int64_t first = line % pieces * rows, count = std::min(rows, n - first);
      const T* const from = x + ((line / pieces) * n + first) * inner + column;
      T* const to = y + line * inner + column;
      if (inner == 1) *to = sum_line<T>(from, count);
      else sum_columns<T>(from, count, inner, to, std::min(width, inner - column));
    }
  });
}

// A candidate replaces the best so far when it is larger, or the first NaN.
template <class V>
ESPALIER_INLINE auto beats(V candidate, V best) {
  return (candidate > best) | ((candidate != candidate) & (best == best));
}

template <class T>
void extreme_line(T sign, const T* x, int64_t n, T* value, int32_t* index) {
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  T best = x[0] * sign;
  int64_t at = 0, i = 1;
  if (n >= 2 * kLanes<T>) {
    Vec<Index> place{}, here{};
    for (int l = 0; l < kLanes<T>; ++l) here[l] = place[l] = l;
    Vec<T> most = load<T>(x) * sign;
    for (i = kLanes<T>; i + kLanes<T> <= n; i += kLanes<T>) {
      here += static_cast<Index>(kLanes<T>);
      const Vec<T> v = load<T>(x + i) * sign;
      const auto better = beats(v, most);
      most = better ? v : most;
      place = better ? here : place;
    }
    best = most[0];
    at = place[0];
    for (int l = 1; l < kLanes<T>; ++l) {
      const bool equal = most[l] == best || (most[l] != most[l] && best != best);
      if (beats<T>(most[l], best) || (equal && place[l] < at)) {
        best = most[l];
        at = place[l];
      }
    }
  }
  for (; i < n; ++i) {
    const T v = x[i] * sign;
    if (beats<T>(v, best)) {
      best = v;
      at = i;
    }
  }
  if (value != nullptr) *value = best * sign;
  if (index != nullptr) *index = static_cast<int32_t>(at);
}

template <class T>
void extreme_columns(T sign, const T* x, int64_t n, int64_t stride, T* values, int32_t* indices, int64_t width) {
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  for (int64_t j = 0; j < width; j += kLanes<T>) {
    const int64_t lanes = std::min<int64_t>(kLanes<T>, width - j);
    const bool whole = lanes == kLanes<T>;
    const auto row = [&](int64_t i) {
      const T* const from = x + i * stride + j;
      return (whole ? load<T>(from) : load_first<T>(from, lanes)) * sign;
    };
    Vec<T> most = row(0);
    Vec<Index> place{};
    for (int64_t i = 1; i < n; ++i) {
      const Vec<T> v = row(i);
      const auto better = beats(v, most);
      most = better ? v : most;
      place = better ? broadcast<Index>(static_cast<Index>(i)) : place;
    }
    if (values != nullptr) store_first<T>(values + j, most * sign, lanes);
    if (indices != nullptr)
      for (int64_t l = 0; l < lanes; ++l) indices[j + l] = static_cast<int32_t>(place[l]);
  }
}

template <class T>
void extreme(int64_t outer, int64_t n, int64_t inner, T sign, const T* x, T* values, int32_t* indices) {
  const int64_t width = std::min(inner, kSumColumns), columns = (inner + width - 1) / width;
  const int64_t grain = std::max<int64_t>(1, kSumPiece / (std::min(n, kSumPiece) * width));
  parallel_ranges(outer * columns, grain, [=](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t line = task / columns, column = task % columns * width;
      const T* const from = x + line * n * inner + column;
      T* const value = values == nullptr ? nullptr : values + line * inner + column;
      int32_t* const index = indices == nullptr ? nullptr : indices + line * inner + column;
      if (inner == 1) extreme_line<T>(sign, from, n, value, index);
      else extreme_columns<T>(sign, from, n, inner, value, index, std::min(width, inner - column));
    }
  });
}
