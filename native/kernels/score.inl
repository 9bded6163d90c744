// The Euclidean distance between two rows.
template <class T>
T distance(const T* a, const T* b, int64_t n) {
  Vec<T> squares{};
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) {
    const Vec<T> d = load<T>(a + i) - load<T>(b + i);
    squares = fma<T>(d, d, squares);
  }
  const Vec<T> d = load_first<T>(a + i, n - i) - load_first<T>(b + i, n - i);
  return std::sqrt(sum_lanes<T>(fma<T>(d, d, squares)));
}

// y[i] of the rows from `begin` on. The other rows are taken in one order, whoever asks.
template <class T>
void distance_sums(const T* x, int64_t rows, int64_t columns, int64_t begin, int64_t end, T* y) {
  for (int64_t i = begin; i < end; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < rows; ++j) sum += distance<T>(x + i * columns, x + j * columns, columns);
    y[i] = static_cast<T>(sum);
  }
}
