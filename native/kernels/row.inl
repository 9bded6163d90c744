// A run of values taken by vectors: whole ones, then the first lanes of a last one. A loop body written
// once takes either as its `part`, which reads, writes and pads as many lanes as there are.
template <class T>
struct WholePart {
  ESPALIER_INLINE int64_t count() const { return kLanes<T>; }
  ESPALIER_INLINE Vec<T> read(const T* p) const { return load<T>(p); }
  ESPALIER_INLINE void write(T* p, Vec<T> v) const { store<T>(p, v); }
  // v with `other` in the lanes past the end.
  ESPALIER_INLINE Vec<T> pad(Vec<T> v, T) const { return v; }
};
template <class T>
struct FirstPart {
  int64_t lanes;
  ESPALIER_INLINE int64_t count() const { return lanes; }
  ESPALIER_INLINE Vec<T> read(const T* p) const { return load_first<T>(p, lanes); }
  ESPALIER_INLINE void write(T* p, Vec<T> v) const { store_first<T>(p, v, lanes); }
  ESPALIER_INLINE Vec<T> pad(Vec<T> v, T other) const {
    Vec<T> number{};
    for (int i = 0; i < kLanes<T>; ++i) number[i] = static_cast<T>(i);
    return number < broadcast<T>(static_cast<T>(lanes)) ? v : broadcast<T>(other);
  }
};

// body(i, part) for the vectors at i = 0, lanes, 2·lanes, … of a run of n.
template <class T, class Body>
ESPALIER_INLINE void by_vectors(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) body(i, WholePart<T>{});
  if (i < n) body(i, FirstPart<T>{n - i});
}

// K sums side by side over one or more runs. Four chains each: one would wait for its own adds.
template <class T, int K>
struct Sums {
  static constexpr int kChains = 4;
  Vec<T> part[kChains][K] = {};

  // term(sums, i, part) adds to sums[0…K−1] what the vector at i contributes.
  template <class Term>
  ESPALIER_INLINE void add(int64_t n, Term term) {
    constexpr int64_t kStep = kLanes<T>;
    int64_t i = 0;
    for (; i + kChains * kStep <= n; i += kChains * kStep) {
      term(part[0], i, WholePart<T>{});
      term(part[1], i + kStep, WholePart<T>{});
      term(part[2], i + 2 * kStep, WholePart<T>{});
      term(part[3], i + 3 * kStep, WholePart<T>{});
    }
    for (; i + kStep <= n; i += kStep) term(part[0], i, WholePart<T>{});
    if (i < n) term(part[0], i, FirstPart<T>{n - i});
  }
  ESPALIER_INLINE T total(int k) const { return sum_lanes<T>((part[0][k] + part[1][k]) + (part[2][k] + part[3][k])); }
};

template <class T>
ESPALIER_INLINE T row_sum(const T* x, int64_t n) {
  Sums<T, 1> sums;
  sums.add(n, [=](Vec<T>* sum, int64_t i, auto part) { sum[0] += part.read(x + i); });
  return sums.total(0);
}

// The largest value; −∞ for none. NaNs are passed over.
template <class T>
ESPALIER_INLINE T row_max(const T* x, int64_t n) {
  constexpr T kLowest = -std::numeric_limits<T>::infinity();
  Vec<T> best = broadcast<T>(kLowest);
  by_vectors<T>(n, [&](int64_t i, auto part) { best = max<T>(part.pad(part.read(x + i), kLowest), best); });
  return max_lanes<T>(best);
}
