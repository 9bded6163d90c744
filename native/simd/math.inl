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

// ln x. −∞ at 0, NaN below; subnormals are exact.
template <class T>
ESPALIER_INLINE Vec<T> log(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::log(v); });
  } else {
    typedef Vec<int32_t> I;
    // x = 2^e m with √½ ≤ m < √2; the polynomial is that of the Cephes library for ln(1 + r).
    const Mask<T> tiny = x < 1.17549435e-38f;
    const I bits = (I)(tiny ? x * 8388608.0f : x);
    const I shifted = bits - 0x3f3504f3;
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

// erfc(x) = 1 - erf(x) for x ≥ 0, its relative error small out to where it underflows.
template <class T>
ESPALIER_INLINE Vec<T> erfc_of_positive(Vec<T> x) {
  if constexpr (std::is_same_v<T, double>) {
    return by_lane<T>(x, [](T v) { return std::erfc(v); });
  } else {
    // Cephes: a polynomial in x² below 1, e^-x² / x times one in 1/x² beyond, with a second set from 2 on.
    const Vec<T> z = x * x;
    Vec<T> t = broadcast<T>(7.853861353153693e-5f);
    t = fma<T>(t, z, broadcast<T>(-8.010193625184903e-4f));
    t = fma<T>(t, z, broadcast<T>(5.188327685732524e-3f));
    t = fma<T>(t, z, broadcast<T>(-2.685381193529856e-2f));
    t = fma<T>(t, z, broadcast<T>(1.128358514861418e-1f));
    t = fma<T>(t, z, broadcast<T>(-3.761262582423300e-1f));
    t = fma<T>(t, z, broadcast<T>(1.128379165726710e+0f));
    const Vec<T> near = 1 - x * t;

    const Vec<T> inverse = 1 / x;
    const Vec<T> w = inverse * inverse;
    Vec<T> p = broadcast<T>(2.326819970068386e-2f);
    p = fma<T>(p, w, broadcast<T>(-1.387039388740657e-1f));
    p = fma<T>(p, w, broadcast<T>(3.687424674597105e-1f));
    p = fma<T>(p, w, broadcast<T>(-5.824733027278666e-1f));
    p = fma<T>(p, w, broadcast<T>(6.210004621745983e-1f));
    p = fma<T>(p, w, broadcast<T>(-4.944515323274145e-1f));
    p = fma<T>(p, w, broadcast<T>(3.404879937665872e-1f));
    p = fma<T>(p, w, broadcast<T>(-2.741127028184656e-1f));
    p = fma<T>(p, w, broadcast<T>(5.638259427386472e-1f));
    Vec<T> q = broadcast<T>(-1.047766399936249e+1f);
    q = fma<T>(q, w, broadcast<T>(1.297719955372516e+1f));
    q = fma<T>(q, w, broadcast<T>(-7.495518717768503e+0f));
    q = fma<T>(q, w, broadcast<T>(2.921019019210786e+0f));
    q = fma<T>(q, w, broadcast<T>(-1.015265279202700e+0f));
    q = fma<T>(q, w, broadcast<T>(4.218463358204948e-1f));
    q = fma<T>(q, w, broadcast<T>(-2.820767439740514e-1f));
    q = fma<T>(q, w, broadcast<T>(5.641895067754075e-1f));
    // e^-x² with what x·x lost in rounding put back: its exponent is large, so an error in it tells.
    const Vec<T> lost = fma<T>(x, x, -z);
    const Vec<T> decay = exp<T>(-z) * (1 - lost);
    const Vec<T> far = x > 10.5f ? Vec<T>{} : decay * inverse * (x < 2 ? p : q);
    const Vec<T> y = x < 1 ? near : far;
    return x != x ? x : y;
  }
}

// The normal distribution's Φ(x) = (1 + erf(x / √2)) / 2.
template <class T>
ESPALIER_INLINE Vec<T> normal_cdf(Vec<T> x) {
  const Vec<T> half = T(0.5) * erfc_of_positive<T>(abs<T>(x) * T(0.70710678118654752440));
  return x > 0 ? 1 - half : half;
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
