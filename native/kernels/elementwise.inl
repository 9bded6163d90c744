// y = f(x), f a function of a vector.
template <class T, class Function>
ESPALIER_INLINE void map(const T* x, T* y, int64_t n, Function function) {
  parallel_ranges(n, kElementGrain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) store<T>(y + i, function(load<T>(x + i)));
    if (i < end) store_first<T>(y + i, function(load_first<T>(x + i, end - i)), end - i);
  });
}

template <class T>
void unary(espalier_unary kind, double parameter, const T* x, T* y, int64_t n) {
  (void)parameter;
  switch (kind) {
    case ESPALIER_UNARY_RELU: return map<T>(x, y, n, [](Vec<T> v) { return max<T>(v, Vec<T>{}); });
    case ESPALIER_UNARY_EXP: return map<T>(x, y, n, [](Vec<T> v) { return exp<T>(v); });
  }
}

template <class T>
void accumulate(const T* x, T* y, int64_t n) {
  parallel_ranges(n, kElementGrain, [=](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + kLanes<T> <= end; i += kLanes<T>) store<T>(y + i, load<T>(y + i) + load<T>(x + i));
    if (i < end) store_first<T>(y + i, load_first<T>(y + i, end - i) + load_first<T>(x + i, end - i), end - i);
  });
}
