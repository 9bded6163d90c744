// The even (0) or the odd (1) values of twice as many as a vector holds.
template <class T, int Odd>
struct EverySecond {
  static constexpr int at(int i) { return 2 * i + Odd; }
};

// The largest of windows of 2×2, side by side, in two rows of two vectors each. Row by row: what is no number is kept,
// and of two zeros the first. Included by kernels that take them, after simd/transpose.inl.
template <class T>
ESPALIER_INLINE Vec<T> largest_of_squares(const Vec<T> (&top)[2], const Vec<T> (&bottom)[2]) {
  const Vec<T> value[4] = {shuffle<T, EverySecond<T, 0>>(top[0], top[1]), shuffle<T, EverySecond<T, 1>>(top[0], top[1]),
                           shuffle<T, EverySecond<T, 0>>(bottom[0], bottom[1]),
                           shuffle<T, EverySecond<T, 1>>(bottom[0], bottom[1])};
  Vec<T> largest = value[0];
#pragma GCC unroll 3
  for (int i = 1; i < 4; ++i) largest = ((value[i] > largest) | (value[i] != value[i])) ? value[i] : largest;
  return largest;
}
