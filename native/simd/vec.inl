// The vector vocabulary, read once per instruction set by each_isa.h. A Vec<T> is as wide as the
// instruction set's registers; + - * / and comparisons are the compiler's own, a comparison gives
// a Mask, and mask ? a : b chooses by lane. What the compiler has no operator for stands below.
//
// Everything is generic; only functions with an ESPALIER_LEVEL branch know the machine.

#define ESPALIER_INLINE [[gnu::always_inline]] inline

#if ESPALIER_LEVEL == 2
constexpr int kVectorBytes = 64;
constexpr int kRegisters = 32;
#elif ESPALIER_LEVEL == 1
constexpr int kVectorBytes = 32;
constexpr int kRegisters = 16;
#else
constexpr int kVectorBytes = 16;
constexpr int kRegisters = ESPALIER_X86 ? 16 : 32;
#endif

template <class T>
struct VecOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
  typedef T unaligned __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
using Mask = decltype(Vec<T>{} < Vec<T>{});
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
ESPALIER_INLINE Vec<T> broadcast(T value) {
  return value - Vec<T>{};
}

template <class T>
ESPALIER_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecOf<T>::unaligned*>(p);
}

// The value, certain to stand in a register. Compilers like to fold a load into each of its uses, and a
// kernel that is short of loads cannot afford that.
template <class T>
ESPALIER_INLINE Vec<T> in_register(Vec<T> v) {
#if ESPALIER_LEVEL == 2
  asm("" : "+v"(v));
#elif ESPALIER_X86
  asm("" : "+x"(v));
#endif
  return v;
}

template <class T>
ESPALIER_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VecOf<T>::unaligned*>(p) = v;
}

#if ESPALIER_LEVEL == 1
// Set in the first n lanes of 32 bits, which may be halves of lanes of 64.
ESPALIER_INLINE __m256i first_lanes(int64_t n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif

// The first n lanes (0 ≤ n ≤ lanes), zeros behind them; memory past p[n-1] is not touched.
template <class T>
ESPALIER_INLINE Vec<T> load_first(const T* p, int64_t n) {
#if ESPALIER_LEVEL == 2
  if constexpr (std::is_same_v<T, float>) return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
  else if constexpr (std::is_same_v<T, double>) return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
#elif ESPALIER_LEVEL == 1
  if constexpr (std::is_same_v<T, float>) return _mm256_maskload_ps(p, first_lanes(n));
  else if constexpr (std::is_same_v<T, double>) return _mm256_maskload_pd(p, first_lanes(2 * n));
#endif
  Vec<T> v{};
  for (int64_t i = 0; i < n; ++i) v[i] = p[i];
  return v;
}

template <class T>
ESPALIER_INLINE void store_first(T* p, Vec<T> v, int64_t n) {
#if ESPALIER_LEVEL == 2
  if constexpr (std::is_same_v<T, float>) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
    return;
  } else if constexpr (std::is_same_v<T, double>) {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), v);
    return;
  }
#elif ESPALIER_LEVEL == 1
  // In halves: a masked store takes AMD's cores a dozen cycles.
  if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    if (n >= kLanes<T>) return store<T>(p, v);
    char* to = reinterpret_cast<char*>(p);
    const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
    __m256i all = reinterpret_cast<__m256i>(v);
    __m128i rest = _mm256_castsi256_si128(all);
    if (bytes & 16) {
      std::memcpy(to, &rest, 16);
      to += 16;
      rest = _mm256_extracti128_si256(all, 1);
    }
    if (bytes & 8) {
      std::memcpy(to, &rest, 8);
      to += 8;
      rest = _mm_unpackhi_epi64(rest, rest);
    }
    if (bytes & 4) std::memcpy(to, &rest, 4);
    return;
  }
#endif
  for (int64_t i = 0; i < n; ++i) p[i] = v[i];
}

// a·b + c, rounded once where the machine has the instruction.
template <class T>
ESPALIER_INLINE Vec<T> fma(Vec<T> a, Vec<T> b, Vec<T> c) {
#if ESPALIER_LEVEL == 2
  if constexpr (std::is_same_v<T, float>) return _mm512_fmadd_ps(a, b, c);
  else return _mm512_fmadd_pd(a, b, c);
#elif ESPALIER_LEVEL == 1
  if constexpr (std::is_same_v<T, float>) return _mm256_fmadd_ps(a, b, c);
  else return _mm256_fmadd_pd(a, b, c);
#else
  return a * b + c;
#endif
}

template <class T>
ESPALIER_INLINE Vec<T> max(Vec<T> a, Vec<T> b) {
  return a > b ? a : b;
}
template <class T>
ESPALIER_INLINE Vec<T> min(Vec<T> a, Vec<T> b) {
  return a < b ? a : b;
}
template <class T>
ESPALIER_INLINE Vec<T> abs(Vec<T> a) {
  constexpr auto sign = std::numeric_limits<std::conditional_t<sizeof(T) == 4, int32_t, int64_t>>::min();
  return reinterpret_cast<Vec<T>>(reinterpret_cast<Mask<T>>(a) & ~sign);
}

// (The masked forms, of all lanes: GCC 12 warns of an uninitialised operand inside the plain ones.)
template <class T>
ESPALIER_INLINE Vec<T> sqrt(Vec<T> a) {
#if ESPALIER_LEVEL == 2
  if constexpr (std::is_same_v<T, float>) return _mm512_maskz_sqrt_ps(static_cast<__mmask16>(-1), a);
  else return _mm512_maskz_sqrt_pd(static_cast<__mmask8>(-1), a);
#elif ESPALIER_LEVEL == 1
  if constexpr (std::is_same_v<T, float>) return _mm256_sqrt_ps(a);
  else return _mm256_sqrt_pd(a);
#else
  for (int i = 0; i < kLanes<T>; ++i) a[i] = std::sqrt(a[i]);
  return a;
#endif
}

// To the nearest integer, ties to even, under the default rounding mode.
template <class T>
ESPALIER_INLINE Vec<T> round_even(Vec<T> a) {
#if ESPALIER_LEVEL == 2
  if constexpr (std::is_same_v<T, float>)
    return _mm512_maskz_roundscale_ps(static_cast<__mmask16>(-1), a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  else return _mm512_maskz_roundscale_pd(static_cast<__mmask8>(-1), a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif ESPALIER_LEVEL == 1
  if constexpr (std::is_same_v<T, float>) return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  else return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
  for (int i = 0; i < kLanes<T>; ++i) a[i] = std::nearbyint(a[i]);
  return a;
#endif
}

// The lanes combined by halves: a fixed tree, the same for every length.
template <class T, int Step, int... I>
ESPALIER_INLINE Vec<T> rotate_lanes(Vec<T> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I + Step) % kLanes<T>...);
}
template <int Step, class T, class Combine>
ESPALIER_INLINE T fold_lanes(Vec<T> v, Combine combine) {
  if constexpr (Step == 0) return v[0];
  else {
    const Vec<T> rotated = rotate_lanes<T, Step>(v, std::make_integer_sequence<int, kLanes<T>>{});
    return fold_lanes<Step / 2, T>(combine(v, rotated), combine);
  }
}
template <class T>
ESPALIER_INLINE T sum_lanes(Vec<T> v) {
  return fold_lanes<kLanes<T> / 2, T>(v, [](Vec<T> a, Vec<T> b) { return a + b; });
}
template <class T>
ESPALIER_INLINE T max_lanes(Vec<T> v) {
  return fold_lanes<kLanes<T> / 2, T>(v, [](Vec<T> a, Vec<T> b) { return max<T>(a, b); });
}

// A bit a lane, the first lane lowest: set where the mask is.
template <class T>
ESPALIER_INLINE uint32_t mask_bits(Mask<T> mask) {
#if ESPALIER_LEVEL == 2
  if constexpr (sizeof(T) == 4) return _mm512_movepi32_mask(reinterpret_cast<__m512i>(mask));
  else if constexpr (sizeof(T) == 8) return _mm512_movepi64_mask(reinterpret_cast<__m512i>(mask));
#elif ESPALIER_LEVEL == 1
  if constexpr (sizeof(T) == 4) return static_cast<uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(mask)));
  else if constexpr (sizeof(T) == 8) return static_cast<uint32_t>(_mm256_movemask_pd(reinterpret_cast<__m256d>(mask)));
#endif
  uint32_t bits = 0;
  for (int i = 0; i < kLanes<T>; ++i) bits |= (mask[i] != 0 ? 1u : 0u) << i;
  return bits;
}

// Writes the lanes that the mask chooses to p, side by side, and returns how many; what stands in a
// whole vector from p on may be overwritten.
template <class T>
ESPALIER_INLINE int64_t store_chosen(T* p, Vec<T> v, Mask<T> mask) {
  uint32_t bits = mask_bits<T>(mask);
#if ESPALIER_LEVEL == 2
  const int64_t count = __builtin_popcount(bits);
  // (To a register first: compressing straight into memory is slow on AMD.)
  if constexpr (std::is_same_v<T, float>) store<T>(p, _mm512_maskz_compress_ps(static_cast<__mmask16>(bits), v));
  else store<T>(p, _mm512_maskz_compress_pd(static_cast<__mmask8>(bits), v));
  return count;
#else
  int64_t count = 0;
  for (; bits != 0; bits &= bits - 1) p[count++] = v[__builtin_ctz(bits)];
  return count;
#endif
}

#include "simd/math.inl"
