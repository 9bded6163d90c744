// How a kind of norm takes in an entry and joins two parts; parts are never negative. V is T or
// Vec<T>. NaN, once met, stays.
template <class T, NormKind kKind>
struct NormRule {
  T p;

  template <class V>
  ESPALIER_INLINE V take(V part, V v) const {
    const V zero{}, a = v < zero ? -v : v + zero;
    if constexpr (kKind == NormKind::count) return part + (v == zero ? zero : (v == v ? zero + T{1} : v));
    else if constexpr (kKind == NormKind::squares) return part + a * a;
    else if constexpr (kKind == NormKind::powers) return part + power(a);
    else return join(part, a);
  }
  template <class V>
  ESPALIER_INLINE V join(V a, V b) const {
    if constexpr (kKind == NormKind::most) return ((b > a) | (b != b)) ? b : a;
    else if constexpr (kKind == NormKind::least) return ((b < a) | (b != b)) ? b : a;
    else return a + b;
  }
  template <class V>
  ESPALIER_INLINE V power(V a) const {
    if constexpr (std::is_same_v<V, T>) return std::pow(a, p);
    else return by_lane<T>(a, [this](T v) { return std::pow(v, p); });
  }
  static T start() { return kKind == NormKind::least ? std::numeric_limits<T>::infinity() : T{0}; }
};

// The part of n neighbours.
template <class T, class Rule>
T slice_line(const Rule& rule, const T* x, int64_t n) {
  T result = rule.start();
  int64_t i = 0;
  if (n >= kLanes<T>) {
    Vec<T> part = broadcast<T>(rule.start());
    for (; i + kLanes<T> <= n; i += kLanes<T>) part = rule.take(part, load<T>(x + i));
    for (int lane = 0; lane < kLanes<T>; ++lane) result = rule.join(result, T{part[lane]});
  }
  for (; i < n; ++i) result = rule.take(result, x[i]);
  return result;
}

// y[row] = the part of each row of n.
template <class T, NormKind kKind>
void slice_rows(double p, const T* x, int64_t rows, int64_t n, T* y) {
  const NormRule<T, kKind> rule{static_cast<T>(p)};
  for (int64_t row = 0; row < rows; ++row) y[row] = slice_line<T>(rule, x + row * n, n);
}

// parts[column] takes in its entries in all rows of n.
template <class T, NormKind kKind>
void slice_onto(double p, const T* x, int64_t rows, int64_t n, T* parts) {
  const NormRule<T, kKind> rule{static_cast<T>(p)};
  for (int64_t row = 0; row < rows; ++row, x += n) {
    int64_t i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) store<T>(parts + i, rule.take(load<T>(parts + i), load<T>(x + i)));
    for (; i < n; ++i) parts[i] = rule.take(parts[i], x[i]);
  }
}

// y[row] = the joint of n neighbouring parts.
template <class T, NormKind kKind>
void slice_join(const T* parts, int64_t rows, int64_t n, T* y) {
  const NormRule<T, kKind> rule{T{0}};
  for (int64_t row = 0; row < rows; ++row) {
    T result = rule.start();
    for (int64_t i = 0; i < n; ++i) result = rule.join(result, parts[row * n + i]);
    y[row] = result;
  }
}
