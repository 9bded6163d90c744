// Values looked up in a small table that fits a few registers. Included by the kernels that need it, after vec.inl.

// The lanes table[index[i]] of a table of twice as many elements as a vector has.
ESPALIER_INLINE Vec<float> lookup(const float* table, const uint8_t* index) {
#if ESPALIER_LEVEL == 2
  const __m512i at =
      _mm512_maskz_cvtepu8_epi32(static_cast<__mmask16>(-1), _mm_loadu_si128(reinterpret_cast<const __m128i*>(index)));
  return _mm512_permutex2var_ps(load<float>(table), at, load<float>(table + 16));
#elif ESPALIER_LEVEL == 1
  const __m256i at = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(index)));
  const __m256 low = _mm256_permutevar8x32_ps(load<float>(table), at),
               high = _mm256_permutevar8x32_ps(load<float>(table + 8), at);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(at, 28)));
#else
  Vec<float> found;
  for (int i = 0; i < kLanes<float>; ++i) found[i] = table[index[i]];
  return found;
#endif
}

// The same of bytes: kBytesInTable of them are a table, and as many are looked up at once as a vector has.
typedef Vec<uint8_t> Bytes;
#if ESPALIER_LEVEL == 1
constexpr int kBytesInTable = 64;
struct ByteTable {
  const uint8_t* at;
};
// A place in each quarter of the table, for lookups stay within 16 bytes; or its highest bit set, which looks up 0.
struct BytePlaces {
  __m256i in_quarter[4];
};
ESPALIER_INLINE ByteTable byte_table(const uint8_t* from) { return {from}; }
// Places from 64 to 127 look up 0; beyond there are none.
ESPALIER_INLINE BytePlaces byte_places(Bytes at) {
  BytePlaces places;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    places.in_quarter[i] =
        _mm256_add_epi8(_mm256_xor_si256(reinterpret_cast<__m256i>(at), _mm256_set1_epi8(static_cast<char>(16 * i))),
                        _mm256_set1_epi8(0x70));
  return places;
}
ESPALIER_INLINE Bytes lookup(const ByteTable& table, const BytePlaces& places) {
  __m256i found[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    found[i] = _mm256_shuffle_epi8(
        _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table.at + 16 * i))),
        places.in_quarter[i]);
  return reinterpret_cast<Bytes>(
      _mm256_or_si256(_mm256_or_si256(found[0], found[1]), _mm256_or_si256(found[2], found[3])));
}
#elif ESPALIER_LEVEL == 2
constexpr int kBytesInTable = 128;
struct ByteTable {
  Bytes half[2];
};
typedef Bytes BytePlaces;
ESPALIER_INLINE ByteTable byte_table(const uint8_t* from) {
  return {{in_register<uint8_t>(load<uint8_t>(from)), in_register<uint8_t>(load<uint8_t>(from + 64))}};
}
// With 0 in its last place.
ESPALIER_INLINE ByteTable byte_table_before_zero(const uint8_t* from) {
  const __m512i second = _mm512_maskz_loadu_epi8(~__mmask64{0} >> 1, from + 64);
  return {{in_register<uint8_t>(load<uint8_t>(from)), in_register<uint8_t>(reinterpret_cast<Bytes>(second))}};
}
ESPALIER_INLINE BytePlaces byte_places(Bytes at) { return at; }
// The highest bit of a place does not count. (By the instruction's name: where looks_up_bytes() is false, no compiler
// may take any of its set.)
ESPALIER_INLINE Bytes lookup(const ByteTable& table, const BytePlaces& places) {
  Bytes found = places;
  asm("vpermi2b %2, %1, %0" : "+v"(found) : "v"(table.half[0]), "v"(table.half[1]));
  return found;
}
#elif defined(__aarch64__)
constexpr int kBytesInTable = 64;
typedef uint8x16x4_t ByteTable;
typedef Bytes BytePlaces;
ESPALIER_INLINE ByteTable byte_table(const uint8_t* from) { return vld1q_u8_x4(from); }
ESPALIER_INLINE BytePlaces byte_places(Bytes at) { return at; }
ESPALIER_INLINE Bytes lookup(const ByteTable& table, const BytePlaces& places) {
  return reinterpret_cast<Bytes>(vqtbl4q_u8(table, reinterpret_cast<uint8x16_t>(places)));
}
#else
// No instruction looks bytes up: memory does.
constexpr int kBytesInTable = 128;
#endif
