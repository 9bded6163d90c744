template <class T>
void column_sum(int64_t rows, int64_t columns, const T* x, T* y) {
  constexpr int64_t kWide = 4 * kLanes<T>;
  parallel_ranges(columns, kWide, [=](int64_t begin, int64_t end) {
    Vec<T> total[4] = {};
    for (int64_t top = 0; top < rows; top += kSumRows) {
      const T* from = x + top * columns + begin;
      const T* const stop = x + std::min(rows, top + kSumRows) * columns + begin;
      Vec<T> sums[4] = {};
      if (end - begin == kWide) {
        for (; from != stop; from += columns)
          for (int j = 0; j < 4; ++j) sums[j] = sums[j] + load<T>(from + j * kLanes<T>);
      } else {
        for (; from != stop; from += columns)
          for (int64_t j = 0; j * kLanes<T> < end - begin; ++j)
            sums[j] = sums[j] +
                      load_first<T>(from + j * kLanes<T>, std::min<int64_t>(kLanes<T>, end - begin - j * kLanes<T>));
      }
      for (int j = 0; j < 4; ++j) total[j] = total[j] + sums[j];
    }
    for (int64_t j = 0; j * kLanes<T> < end - begin; ++j)
      store_first<T>(y + begin + j * kLanes<T>, total[j], std::min<int64_t>(kLanes<T>, end - begin - j * kLanes<T>));
  });
}
