#include "simd/transpose.inl"

#include "simd/squares.inl"

// Sums of `Vectors` vectors of an output plane from `at` on, and from there to the end of the plane with fewer.
template <int Vectors>
void plane_sums(const PlaneTaps& taps, int64_t at, float* to) {
  for (; at + Vectors * kLanes<float> <= taps.length; at += Vectors * kLanes<float>) {
    Vec<float> sum[Vectors];
#pragma GCC unroll 8
    for (auto& one : sum) one = broadcast(taps.bias);
    const float* const from = taps.planes + at;
    for (int64_t i = 0; i < taps.count; ++i) {
      const Vec<float> by = broadcast(taps.values[i]);
      const float* const shifted = from + taps.offsets[i];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[v] = fma<float>(by, load<float>(shifted + v * kLanes<float>), sum[v]);
    }
    const Vec<float> least = broadcast(taps.floor);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store<float>(to + at + v * kLanes<float>, sum[v] < least ? least : sum[v]);
  }
  if constexpr (Vectors > 1) plane_sums<Vectors / 2>(taps, at, to);
}

// `length` is a multiple of 16: the planes have room behind them.
inline void plane_of_sums(const PlaneTaps& taps, float* to) { plane_sums<8>(taps, 0, to); }

// A row. Its last vector begins early enough to end with it: parts of vectors are slow to read and write.
inline void copy_row(const float* from, int64_t width, float* to) {
  constexpr int64_t kStep = kLanes<float>;
  if (width < kStep) return store_first<float>(to, load_first<float>(from, width), width);
  for (int64_t j = 0; j + kStep < width; j += kStep) store<float>(to + j, load<float>(from + j));
  store<float>(to + width - kStep, load<float>(from + width - kStep));
}

// Rows of `width` elements, `pitch` apart, to rows that follow each other. Whole vectors as long as what they write too
// much of is overwritten by the rows behind.
inline void close_rows(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to) {
  constexpr int64_t kStep = kLanes<float>;
  const float* const end = to + rows * width;
  const int64_t whole = (width + kStep - 1) / kStep * kStep;
  for (; to + whole <= end; from += pitch, to += width)
    for (int64_t j = 0; j < width; j += kStep) store<float>(to + j, load<float>(from + j));
  for (; to < end; from += pitch, to += width) copy_row(from, width, to);
}

// The largest of windows of 2×2 of such rows, `rows` by `width` of them, side by side. What is read behind a row is
// thrown away, as what is written behind one.
inline void maxima_of_rows(const float* from, int64_t pitch, int64_t rows, int64_t width, float* to) {
  constexpr int64_t kStep = kLanes<float>;
  const auto largest = [=](const float* top) __attribute__((always_inline)) {
    return largest_of_squares<float>({load<float>(top), load<float>(top + kStep)},
                                     {load<float>(top + pitch), load<float>(top + pitch + kStep)});
  };
  const float* const end = to + rows * width;
  const int64_t whole = (width + kStep - 1) / kStep * kStep;
  for (; to + whole <= end; from += 2 * pitch, to += width)
    for (int64_t j = 0; j < width; j += kStep) store<float>(to + j, largest(from + 2 * j));
  for (; to < end; from += 2 * pitch, to += width)
    for (int64_t j = 0; j < width; j += kStep)
      store_first<float>(to + j, largest(from + 2 * j), std::min(kStep, width - j));
}

// And the other way, into rows that stand `pitch` apart; what lies between them stays.
inline void spread_rows(const float* from, int64_t from_pitch, int64_t rows, int64_t width, float* to, int64_t pitch) {
  for (int64_t i = 0; i < rows; ++i, from += from_pitch, to += pitch) copy_row(from, width, to);
}
