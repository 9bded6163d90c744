// Transcendental functions by lane. float32: polynomials good to about two units in the last place.
// float64 serves gradient checks, where exactness counts and speed does not: the C library, by lane.

template <class T, class Function>
ESPALIER_INLINE Vec<T> by_lane(Vec<T> x, Function function) {
  for (int i = 0; i < kLanes<T>; ++i) x[i] = function(x[i]);
  return x;
}

// 2^n for whole n in [-126, 127], by writing the exponent field.
ESPALIER_INLINE Vec<float> exp2_whole(Vec<float> n) {
  typedef Vec<int32_t> I;
  const I bits = (__builtin_convertvector(n, I) + 127) << 23;
  return (Vec<float>)bits;
}

// e^x. Overflows to infinity above 88.72, to 0 below -103; NaN stays NaN.
template <class T>
ESPALIER_INLINE Vec<T> exp(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::exp(v); });
  } else {
    // x = n ln2 + r with |r| ≤ ln2/2; ln2 in two parts keeps r exact. 2^n in two factors reaches
    // the ends of the range, subnormals included.
    const Vec<T> clipped = min<T>(max<T>(x, broadcast<T>(-104.0f)), broadcast<T>(89.0f));
    const Vec<T> n = round_even<T>(clipped * 1.44269504088896341f);
    Vec<T> r = fma<T>(n, broadcast<T>(-0.693359375f), clipped);
    r = fma<T>(n, broadcast<T>(2.12194440e-4f), r);
    Vec<T> p = broadcast<T>(1.9875691500e-4f);
    p = fma<T>(p, r, broadcast<T>(1.3981999507e-3f));
    p = fma<T>(p, r, broadcast<T>(8.3334519073e-3f));
    p = fma<T>(p, r, broadcast<T>(4.1665795894e-2f));
    p = fma<T>(p, r, broadcast<T>(1.6666665459e-1f));
    p = fma<T>(p, r, broadcast<T>(5.0000001201e-1f));
    p = fma<T>(p, r * r, r + 1.0f);
    const Vec<T> half = round_even<T>(n * 0.5f);
    const Vec<T> y = p * exp2_whole(half) * exp2_whole(n - half);
    return x != x ? x : y;
  }
}
