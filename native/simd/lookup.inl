// Values looked up in a small table that fits two registers. Included by the kernels that need it, after vec.inl.

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
