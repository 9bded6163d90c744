// Sums over images and places, one a channel.

// Adds n values; four running vectors, then their lanes: a fixed tree.
template <class T>
ESPALIER_INLINE T sum_of(const T* x, int64_t n) {
  Vec<T> sums[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes<T> <= n; i += 4 * kLanes<T>)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[j] += load<T>(x + i + j * kLanes<T>);
  for (; i + kLanes<T> <= n; i += kLanes<T>) sums[0] += load<T>(x + i);
  if (i < n) sums[1] += load_first<T>(x + i, n - i);
  return sum_lanes<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

template <class T>
void channel_sum(int64_t n, int64_t channels, int64_t plane, const T* x, T* sums) {
  // Long planes one by one. Of short ones the images are added first, a run of channels at a time,
  // in pieces of so many images that float32 loses nothing that matters.
  constexpr int64_t kLongPlane = 256, kPiece = 256, kRun = 4096;
  if (plane >= kLongPlane) {
    parallel_ranges(channels, 1 + kConvGrain / (n * plane), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        double total = 0;
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < plane; j += kRun)
            total += sum_of<T>(x + (i * channels + c) * plane + j, plane - j < kRun ? plane - j : kRun);
        sums[c] = static_cast<T>(total);
      }
    });
    return;
  }
  const int64_t together = kRun / plane < channels ? kRun / plane : channels;
  parallel_for((channels + together - 1) / together, [&](int64_t run) {
    const int64_t first = run * together, count = channels - first < together ? channels - first : together;
    const int64_t length = count * plane;
    T* const sum = scratch<T>(Scratch::kOther, kRun);
    double* const total = scratch<double>(Scratch::kPartial, count);
    for (int64_t c = 0; c < count; ++c) total[c] = 0;
    for (int64_t image = 0; image < n; image += kPiece) {
      const int64_t images = n - image < kPiece ? n - image : kPiece;
      const T* const from = x + (image * channels + first) * plane;
      // Each vector of the run down through the images, four of them at once: one would wait for itself.
      int64_t i = 0;
      for (; i + 4 * kLanes<T> <= length; i += 4 * kLanes<T>) {
        Vec<T> down[4] = {};
        for (int64_t r = 0; r < images; ++r)
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j) down[j] += load<T>(from + r * channels * plane + i + j * kLanes<T>);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) store<T>(sum + i + j * kLanes<T>, down[j]);
      }
      for (; i < length; i += kLanes<T>) {
        const int64_t width = length - i < kLanes<T> ? length - i : kLanes<T>;
        Vec<T> down{};
        for (int64_t r = 0; r < images; ++r) down += load_first<T>(from + r * channels * plane + i, width);
        store_first<T>(sum + i, down, width);
      }
      for (int64_t c = 0; c < count; ++c) total[c] += sum_of<T>(sum + c * plane, plane);
    }
    for (int64_t c = 0; c < count; ++c) sums[first + c] = static_cast<T>(total[c]);
  });
}
