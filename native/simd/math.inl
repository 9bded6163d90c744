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

// (e^r - 1 - r) / r² for |r| ≤ ln2/2: the polynomial of the Cephes library.
template <class T>
ESPALIER_INLINE Vec<T> exp_remainder(Vec<T> r) {
  Vec<T> p = broadcast<T>(1.9875691500e-4f);
  p = fma<T>(p, r, broadcast<T>(1.3981999507e-3f));
  p = fma<T>(p, r, broadcast<T>(8.3334519073e-3f));
  p = fma<T>(p, r, broadcast<T>(4.1665795894e-2f));
  p = fma<T>(p, r, broadcast<T>(1.6666665459e-1f));
  p = fma<T>(p, r, broadcast<T>(5.0000001201e-1f));
  return p;
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
    const Vec<T> p = fma<T>(exp_remainder<T>(r), r * r, r + 1.0f);
    const Vec<T> half = round_even<T>(n * 0.5f);
    const Vec<T> y = p * exp2_whole(half) * exp2_whole(n - half);
    return x != x ? x : y;
  }
}

// e^x for x ≤ 0, at half the cost: below -87.3, where it would be subnormal, 0. NaN stays NaN.
template <class T>
ESPALIER_INLINE Vec<T> exp_of_negative(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::exp(v); });
  } else {
    const Vec<T> lowest = broadcast<T>(-87.3365f);
    const Vec<T> clipped = max<T>(lowest, x);
    // Adding 1.5 · 2^23 rounds to a whole number.
    const Vec<T> shifter = broadcast<T>(12582912.0f);
    const Vec<T> n = fma<T>(clipped, broadcast<T>(1.44269504088896341f), shifter) - shifter;
    Vec<T> r = fma<T>(n, broadcast<T>(-0.693359375f), clipped);
    r = fma<T>(n, broadcast<T>(2.12194440e-4f), r);
    Vec<T> p = broadcast<T>(1.9875691500e-4f);
    p = fma<T>(p, r, broadcast<T>(1.3981999507e-3f));
    p = fma<T>(p, r, broadcast<T>(8.3334519073e-3f));
    p = fma<T>(p, r, broadcast<T>(4.1665795894e-2f));
    p = fma<T>(p, r, broadcast<T>(1.6666665459e-1f));
    p = fma<T>(p, r, broadcast<T>(5.0000001201e-1f));
    p = fma<T>(p, r * r, r + 1.0f);
    return x < lowest ? Vec<T>{} : p * exp2_whole(n);
  }
}

// ln x. −∞ at 0, NaN below; subnormals are exact.
template <class T>
ESPALIER_INLINE Vec<T> log(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::log(v); });
  } else {
    typedef Vec<int32_t> I;
    // x = 2^e m with √½ ≤ m < √2; the polynomial is that of the Cephes library for ln(1 + r).
    const Mask<T> tiny = x < 1.17549435e-38f;
    const Vec<uint32_t> bits = (Vec<uint32_t>)(tiny ? x * 8388608.0f : x);
    const I shifted = (I)(bits - 0x3f3504f3u);  // may wrap, for a negative x, whose result is discarded
    Vec<T> e = __builtin_convertvector(shifted >> 23, Vec<T>);
    e = tiny ? e - 23.0f : e;
    const Vec<T> r = (Vec<T>)((shifted & 0x007fffff) + 0x3f3504f3) - 1.0f;
    const Vec<T> square = r * r;
    Vec<T> p = broadcast<T>(7.0376836292e-2f);
    p = fma<T>(p, r, broadcast<T>(-1.1514610310e-1f));
    p = fma<T>(p, r, broadcast<T>(1.1676998740e-1f));
    p = fma<T>(p, r, broadcast<T>(-1.2420140846e-1f));
    p = fma<T>(p, r, broadcast<T>(1.4249322787e-1f));
    p = fma<T>(p, r, broadcast<T>(-1.6668057665e-1f));
    p = fma<T>(p, r, broadcast<T>(2.0000714765e-1f));
    p = fma<T>(p, r, broadcast<T>(-2.4999993993e-1f));
    p = fma<T>(p, r, broadcast<T>(3.3333331174e-1f));
    p = p * r * square;
    p = fma<T>(e, broadcast<T>(-2.12194440e-4f), p);
    p = fma<T>(square, broadcast<T>(-0.5f), p);
    const Vec<T> y = fma<T>(e, broadcast<T>(0.693359375f), r + p);
    const Vec<T> infinity = broadcast<T>(std::numeric_limits<T>::infinity());
    const Vec<T> outside = x == 0 ? -infinity : (x < 0 ? broadcast<T>(std::numeric_limits<T>::quiet_NaN()) : x);
    return ((x > 0) & (x < infinity)) ? y : outside;
  }
}

// 1 / (1 + e^-x).
template <class T>
ESPALIER_INLINE Vec<T> sigmoid(Vec<T> x) {
  return 1 / (1 + exp<T>(-x));
}

template <class T>
ESPALIER_INLINE Vec<T> tanh(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::tanh(v); });
  } else {
    // Near 0 the odd polynomial of the Cephes library; beyond, 1 - 2 / (e^2|x| + 1) cancels nothing.
    const Vec<T> z = x * x;
    Vec<T> p = broadcast<T>(-5.70498872745e-3f);
    p = fma<T>(p, z, broadcast<T>(2.06390887954e-2f));
    p = fma<T>(p, z, broadcast<T>(-5.37397155531e-2f));
    p = fma<T>(p, z, broadcast<T>(1.33314422036e-1f));
    p = fma<T>(p, z, broadcast<T>(-3.33332819422e-1f));
    const Vec<T> near = fma<T>(p * z, x, x);
    const Vec<T> magnitude = abs<T>(x);
    const Vec<T> far = 1 - 2 / (exp<T>(magnitude + magnitude) + 1);
    return magnitude < 0.625f ? near : (x < 0 ? -far : far);
  }
}

// e^x - 1 for x ≤ 0, without the cancellation near 0.
template <class T>
ESPALIER_INLINE Vec<T> expm1_of_negative(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::expm1(v); });
  } else {
    const Vec<T> clipped = max<T>(broadcast<T>(-30.0f), x);
    const Vec<T> n = round_even<T>(clipped * 1.44269504088896341f);
    Vec<T> r = fma<T>(n, broadcast<T>(-0.693359375f), clipped);
    r = fma<T>(n, broadcast<T>(2.12194440e-4f), r);
    const Vec<T> rest = fma<T>(exp_remainder<T>(r), r * r, r);
    const Vec<T> scale = exp2_whole(n);
    return fma<T>(scale, rest, scale - 1.0f);
  }
}

// The normal distribution: its tail Φ(-x) = erfc(x / √2) / 2 for x ≥ 0, small in relative error out to
// where it underflows, and e^(-x²/2) beside it, which is √(2π) times its density.
template <class T>
ESPALIER_INLINE Vec<T> normal_tail(Vec<T> x, Vec<T>& decay) {
  if constexpr (std::is_same_v<T, double>) {
    decay = by_lane<T>(x, [](T v) { return std::exp(-0.5 * v * v); });
    return by_lane<T>(x, [](T v) { return 0.5 * std::erfc(v * 0.70710678118654752440); });
  } else {
    typedef Vec<int32_t> I;
    const Vec<T> a = min<T>(broadcast<T>(15.0f), x);
    // The square in two parts, the second what rounding lost: the exponent is large, so it tells.
    const Vec<T> square = a * a;
    const Vec<T> high = (Vec<T>)((I)a & ~0xfff), low = a - high;
    const Vec<T> lost = high * high - square + 2.0f * high * low + low * low;
    decay = exp<T>(square * -0.5f) * (1.0f - lost * 0.5f);
    // (1 + 2t) e^t² erfc(t) is smooth in v = 2t / (t + 2.5), which brings all of t ≥ 0 near (after
    // Shepherd and Laframboise 1981); the coefficients are a fit of least relative error, 5e-9.
    const Vec<T> t = a * 0.70710678118654752f;
    const Vec<T> behind = t + 2.5f, front = 1.0f + 2.0f * t;
    const Vec<T> q = 1.0f / (behind * front);
    const Vec<T> v = 2.0f * t * front * q;
    Vec<T> p = broadcast<T>(7.5105781643e-5f);
    p = fma<T>(p, v, broadcast<T>(-1.4702752983e-4f));
    p = fma<T>(p, v, broadcast<T>(-1.7174682939e-3f));
    p = fma<T>(p, v, broadcast<T>(5.6063132266e-3f));
    p = fma<T>(p, v, broadcast<T>(6.4070674629e-3f));
    p = fma<T>(p, v, broadcast<T>(-2.7621915188e-2f));
    p = fma<T>(p, v, broadcast<T>(-1.3421608565e-1f));
    p = fma<T>(p, v, broadcast<T>(7.4586494445e-1f));
    p = fma<T>(p, v, broadcast<T>(-1.4189395251f));
    p = fma<T>(p, v, broadcast<T>(1.0895267759f));
    p = fma<T>(p, v, broadcast<T>(1.0f));
    return 0.5f * decay * (p * behind * q);
  }
}

// Φ(x), and e^(-x²/2) beside it.
template <class T>
ESPALIER_INLINE Vec<T> normal_cdf(Vec<T> x, Vec<T>& decay) {
  const Vec<T> tail = normal_tail<T>(abs<T>(x), decay);
  return x > 0 ? 1 - tail : tail;
}

// Sine and cosine of 2πt for t in [0, 1].
template <class T>
ESPALIER_INLINE void sin_cos_turn(Vec<T> t, Vec<T>& sine, Vec<T>& cosine) {
  constexpr T kTau = T(6.28318530717958647693);
  if constexpr (std::is_same_v<T, double>) {
    sine = by_lane<T>(t, [](T v) { return std::sin(v * kTau); });
    cosine = by_lane<T>(t, [](T v) { return std::cos(v * kTau); });
  } else {
    // The quarter turn nearest to t, exactly, and what is left: an angle in ±π/4.
    const Vec<T> quarter = round_even<T>(t * 4);
    const Vec<T> angle = (t - quarter * T(0.25)) * kTau;
    const Vec<T> z = angle * angle;
    // Taylor series; at π/4 the first term left out is below half a unit in the last place.
    Vec<T> s = broadcast<T>(2.7557319224e-6f);
    s = fma<T>(s, z, broadcast<T>(-1.9841269841e-4f));
    s = fma<T>(s, z, broadcast<T>(8.3333333333e-3f));
    s = fma<T>(s, z, broadcast<T>(-1.6666666667e-1f));
    s = fma<T>(s * z, angle, angle);
    Vec<T> c = broadcast<T>(2.4801587302e-5f);
    c = fma<T>(c, z, broadcast<T>(-1.3888888889e-3f));
    c = fma<T>(c, z, broadcast<T>(4.1666666667e-2f));
    c = fma<T>(c, z, broadcast<T>(-0.5f));
    c = fma<T>(c, z, broadcast<T>(1));
    const auto swapped = (quarter == 1) | (quarter == 3);
    const auto back = (quarter == 2) | (quarter == 3), down = (quarter == 1) | (quarter == 2);
    sine = swapped ? c : s;
    sine = back ? -sine : sine;
    cosine = swapped ? s : c;
    cosine = down ? -cosine : cosine;
  }
}
