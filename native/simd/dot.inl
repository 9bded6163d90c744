// Dot products of whole numbers, lane by lane. Included by the kernels that need them, after vec.inl.

// What a lane multiplies: so many codes by so many weights, which stand together in its 32 bits. Unsigned codes by
// signed weights of 8 bits with AVX-512, whose VNNI adds up four products, and with AVX2, in two steps; words
// elsewhere, in pairs.
#if ESPALIER_LEVEL >= 1
constexpr int kTerms = 4;
typedef uint8_t Code;
typedef int8_t Weight;
#else
constexpr int kTerms = 2;
typedef int16_t Code;
typedef int16_t Weight;
#endif

#if ESPALIER_LEVEL == 1
// Words: code 2i · weight 2i + code 2i + 1 · weight 2i + 1. That no such sum is beyond 16 bits, where the instruction
// would saturate, is for the caller to prove.
ESPALIER_INLINE Vec<int16_t> dot_pairs(Vec<Code> codes, Vec<int32_t> weights) {
  return reinterpret_cast<Vec<int16_t>>(
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(codes), reinterpret_cast<__m256i>(weights)));
}
// Neighbouring words by neighbouring words, the two products of each lane of 32 bits added up; any words.
ESPALIER_INLINE Vec<int32_t> dot_words(Vec<int16_t> a, Vec<int16_t> b) {
  return reinterpret_cast<Vec<int32_t>>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
#endif

// As many words as a vector has lanes of 32 bits, as these.
ESPALIER_INLINE Vec<int32_t> load_widened(const int16_t* words) {
  typedef int16_t Words __attribute__((vector_size(kLanes<int32_t> * sizeof(int16_t))));
  Words half;
  std::memcpy(&half, words, sizeof half);
  return __builtin_convertvector(half, Vec<int32_t>);
}
#if ESPALIER_LEVEL >= 1
// The codes of half a vector as words.
template <int Half>
ESPALIER_INLINE Vec<int16_t> words_of_half(Vec<Code> codes) {
#if ESPALIER_LEVEL == 2
  return reinterpret_cast<Vec<int16_t>>(
      _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(reinterpret_cast<__m512i>(codes), Half)));
#else
  return reinterpret_cast<Vec<int16_t>>(
      _mm256_cvtepu8_epi16(_mm256_extracti128_si256(reinterpret_cast<__m256i>(codes), Half)));
#endif
}
#endif
#if ESPALIER_LEVEL == 2
// plus + the first, or second, word of each lane, with its sign.
template <int Which>
ESPALIER_INLINE Vec<int32_t> add_word(Vec<int32_t> plus, Vec<int32_t> words) {
  return reinterpret_cast<Vec<int32_t>>(_mm512_dpwssd_epi32(
      reinterpret_cast<__m512i>(plus), reinterpret_cast<__m512i>(words), _mm512_set1_epi32(Which == 0 ? 1 : 1 << 16)));
}
#endif

// sum + Σ of the lane's products; `weights` are the bits of kTerms weights, the same in every lane. (With AVX2 kernels
// take dot_pairs and dot_words, each where its proof holds.)
#if ESPALIER_LEVEL != 1
ESPALIER_INLINE Vec<int32_t> dot(Vec<int32_t> sum, Vec<Code> codes, Vec<int32_t> weights) {
#if ESPALIER_LEVEL == 2
  return reinterpret_cast<Vec<int32_t>>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(codes), reinterpret_cast<__m512i>(weights)));
#elif ESPALIER_X86
  return sum + reinterpret_cast<Vec<int32_t>>(
                   _mm_madd_epi16(reinterpret_cast<__m128i>(codes), reinterpret_cast<__m128i>(weights)));
#else
  const Vec<Weight> by = reinterpret_cast<Vec<Weight>>(weights);
  for (int i = 0; i < kLanes<int32_t>; ++i) sum[i] += codes[2 * i] * by[2 * i] + codes[2 * i + 1] * by[2 * i + 1];
  return sum;
#endif
}
#endif

// Elements of a and b by turns, from the first (or second) half of each 16 bytes: what processors do in one step.
template <class T, bool Second, int... I>
ESPALIER_INLINE Vec<T> interleaved(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  constexpr int kEach = 16 / static_cast<int>(sizeof(T));
  return __builtin_shufflevector(
      a, b, (I / kEach * kEach + (Second ? kEach / 2 : 0) + I % kEach / 2 + (I % 2 == 0 ? 0 : kLanes<T>))...);
}
template <class T>
ESPALIER_INLINE Vec<T> interleave_first(Vec<T> a, Vec<T> b) {
  return interleaved<T, false>(a, b, std::make_integer_sequence<int, kLanes<T>>{});
}
template <class T>
ESPALIER_INLINE Vec<T> interleave_second(Vec<T> a, Vec<T> b) {
  return interleaved<T, true>(a, b, std::make_integer_sequence<int, kLanes<T>>{});
}

// The codes of kTerms columns brought together, lane by lane: result j holds samples j·lanes … of the columns, each of
// which is a vector in this order of samples.
ESPALIER_INLINE void bring_together(const Vec<Code> (&column)[kTerms], Vec<Code> (&to)[kTerms]) {
#if ESPALIER_LEVEL >= 1
  typedef Vec<uint16_t> Pairs;
  const Pairs a = reinterpret_cast<Pairs>(interleave_first<Code>(column[0], column[1])),
              b = reinterpret_cast<Pairs>(interleave_second<Code>(column[0], column[1])),
              c = reinterpret_cast<Pairs>(interleave_first<Code>(column[2], column[3])),
              d = reinterpret_cast<Pairs>(interleave_second<Code>(column[2], column[3]));
  to[0] = reinterpret_cast<Vec<Code>>(interleave_first<uint16_t>(a, c));
  to[1] = reinterpret_cast<Vec<Code>>(interleave_second<uint16_t>(a, c));
  to[2] = reinterpret_cast<Vec<Code>>(interleave_first<uint16_t>(b, d));
  to[3] = reinterpret_cast<Vec<Code>>(interleave_second<uint16_t>(b, d));
#else
  to[0] = interleave_first<Code>(column[0], column[1]);
  to[1] = interleave_second<Code>(column[0], column[1]);
#endif
}
// Which sample stands at a place of such a column.
constexpr int sample_at(int place) {
  constexpr int kEach = 16 / static_cast<int>(sizeof(Code));
  const int lane = place / kEach, vector = place % kEach / 4, element = place % 4;
  return vector * kLanes<int32_t> + lane * 4 + element;
}

// Row p of 16 codes, `pitch` apart, for each place p = i, 16 + i, … of a vector, or row sample_at(p).
template <bool InOrder>
ESPALIER_INLINE const Code* row_at(const Code* from, int64_t pitch, int place) {
  return from + (InOrder ? sample_at(place) : place) * pitch;
}
#if ESPALIER_LEVEL == 2
template <bool InOrder>
ESPALIER_INLINE Vec<Code> load_rows(const Code* from, int64_t pitch, int i) {
  const auto quarter = [&](int place) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row_at<InOrder>(from, pitch, place)));
  };
  __m512i made = _mm512_castsi128_si512(quarter(i));
  made = _mm512_inserti32x4(made, quarter(16 + i), 1);
  made = _mm512_inserti32x4(made, quarter(32 + i), 2);
  return reinterpret_cast<Vec<Code>>(_mm512_inserti32x4(made, quarter(48 + i), 3));
}
#elif ESPALIER_LEVEL == 1
template <bool InOrder>
ESPALIER_INLINE Vec<Code> load_rows(const Code* from, int64_t pitch, int i) {
  const auto half = [&](int place) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(row_at<InOrder>(from, pitch, place)));
  };
  return reinterpret_cast<Vec<Code>>(_mm256_inserti128_si256(_mm256_castsi128_si256(half(i)), half(16 + i), 1));
}
#endif
