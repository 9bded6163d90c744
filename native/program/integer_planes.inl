typedef Vec<uint16_t> Sums;  // which wrap
typedef Vec<float> Floats;
typedef uint8_t BytesOfFloats __attribute__((vector_size(kLanes<float>)));
typedef uint8_t BytesOfWords __attribute__((vector_size(kLanes<uint16_t>)));
typedef int16_t SumsOfFloats __attribute__((vector_size(2 * kLanes<float>)));

// Each two bytes of x times the two of w, added up: they have to fit.
ESPALIER_INLINE Sums pair_products(Vec<int16_t> x, Vec<int16_t> w) {
#if ESPALIER_LEVEL == 2
  return reinterpret_cast<Sums>(_mm512_maddubs_epi16(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(w)));
#elif ESPALIER_LEVEL == 1
  return reinterpret_cast<Sums>(_mm256_maddubs_epi16(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(w)));
#else
  // (The sign of a low byte of w is the bit behind which the high one's begins.)
  const Vec<int16_t> low = (x & 255) * ((w & 255) - ((w & 128) << 1)), high = (x >> 8 & 255) * (w >> 8);
  return reinterpret_cast<Sums>(low) + reinterpret_cast<Sums>(high);
#endif
}

// Codes from `low` to `high`, counted from `low`. Outside they are the nearest end, and what is no number the lower
// one.
ESPALIER_INLINE void bytes_from(const float* x, float low, float high, uint8_t* to) {
  Floats v = load<float>(x);
  const Floats least = broadcast(low), most = broadcast(high);
  v = v > least ? v : least;
  v = v < most ? v : most;
  const Vec<int32_t> whole = __builtin_convertvector(v, Vec<int32_t>) - static_cast<int32_t>(low);
#if ESPALIER_LEVEL == 1
  // (Compilers convert lane by lane here.)
  const auto all = reinterpret_cast<__m256i>(whole);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  const int64_t bytes = _mm_cvtsi128_si64(_mm_packus_epi16(words, words));
#else
  const auto bytes = __builtin_convertvector(whole, BytesOfFloats);
#endif
  std::memcpy(to, &bytes, sizeof bytes);
}

// Rows of codes into a plane of bytes whose rows stand `pitch` apart.
inline void rows_of_bytes(const float* x, int64_t x_pitch, int64_t rows, int64_t width, float low, float high,
                          uint8_t* to, int64_t pitch) {
  constexpr int64_t kStep = kLanes<float>;
  for (int64_t i = 0; i < rows; ++i, x += x_pitch, to += pitch) {
    if (width < kStep) {
      float row[kStep];
      uint8_t bytes[kStep];
      for (int64_t j = 0; j < width; ++j) row[j] = x[j];
      for (int64_t j = width; j < kStep; ++j) row[j] = low;
      bytes_from(row, low, high, bytes);
      for (int64_t j = 0; j < width; ++j) to[j] = bytes[j];
      continue;
    }
    // The last vector ends with the row.
    for (int64_t j = 0; j + kStep < width; j += kStep) bytes_from(x + j, low, high, to + j);
    bytes_from(x + width - kStep, low, high, to + width - kStep);
  }
}

// Each byte, and the one `distance` behind it. Whole vectors are written.
inline void pairs_of_bytes(const uint8_t* x, int64_t count, int64_t distance, uint16_t* to) {
  for (int64_t i = 0; i < count; i += kLanes<uint16_t>) {
    BytesOfWords first, second;
    std::memcpy(&first, x + i, sizeof first);
    std::memcpy(&second, x + i + distance, sizeof second);
    store<uint16_t>(to + i, __builtin_convertvector(first, Sums) | __builtin_convertvector(second, Sums) << 8);
  }
}

// Sums of `Vectors` vectors of `Channels` output planes from `at` on.
template <int Channels, int Vectors>
void sums_of_pairs(const PairTaps& taps, int64_t at, uint16_t* to) {
  Sums sum[Channels][Vectors];
#pragma GCC unroll 2
  for (int c = 0; c < Channels; ++c)
#pragma GCC unroll 12
    for (auto& one : sum[c]) one = broadcast(taps.starts[c]);
  const uint16_t* const from = taps.planes + at;
  for (int64_t i = 0; i < taps.count; ++i) {
    const uint16_t* const shifted = from + taps.offsets[i];
    Vec<int16_t> by[Channels];
#pragma GCC unroll 2
    for (int c = 0; c < Channels; ++c) by[c] = reinterpret_cast<Vec<int16_t>>(broadcast(taps.pairs[i * Channels + c]));
#pragma GCC unroll 12
    for (int v = 0; v < Vectors; ++v) {
      const auto x =
          in_register<int16_t>(reinterpret_cast<Vec<int16_t>>(load<uint16_t>(shifted + v * kLanes<uint16_t>)));
#pragma GCC unroll 2
      for (int c = 0; c < Channels; ++c) sum[c][v] += pair_products(x, by[c]);
    }
  }
#pragma GCC unroll 2
  for (int c = 0; c < Channels; ++c)
#pragma GCC unroll 12
    for (int v = 0; v < Vectors; ++v) store<uint16_t>(to + c * taps.pitch + at + v * kLanes<uint16_t>, sum[c][v]);
}

// As many vectors at once as registers hold, in parts that are nearly equal.
template <int Channels, int Vectors = 12 / Channels>
void sums_of_pairs(const PairTaps& taps, int64_t vectors, int64_t at, uint16_t* to) {
  if constexpr (Vectors > 0) {
    if (vectors != Vectors) return sums_of_pairs<Channels, Vectors - 1>(taps, vectors, at, to);
    sums_of_pairs<Channels, Vectors>(taps, at, to);
  }
}
template <int Channels>
void planes_of_channels(const PairTaps& taps, uint16_t* to) {
  constexpr int64_t kMost = 12 / Channels;
  const int64_t all = (taps.length + kLanes<uint16_t> - 1) / kLanes<uint16_t>, parts = (all + kMost - 1) / kMost;
  for (int64_t part = 0; part < parts; ++part) {
    const int64_t first = part * all / parts, last = (part + 1) * all / parts;
    sums_of_pairs<Channels>(taps, last - first, first * kLanes<uint16_t>, to);
  }
}
// Whole vectors are read and written.
inline void planes_of_pairs(const PairTaps& taps, int channels, uint16_t* to) {
  if (channels == 2) planes_of_channels<2>(taps, to);
  else planes_of_channels<1>(taps, to);
}

ESPALIER_INLINE void floats_of_sums(const uint16_t* from, Vec<int32_t> plus, Vec<int32_t> least, float* to) {
  SumsOfFloats sums;
  std::memcpy(&sums, from, sizeof sums);
  const Vec<int32_t> all = max<int32_t>(__builtin_convertvector(sums, Vec<int32_t>) + plus, least);
  store<float>(to, __builtin_convertvector(all, Floats));
}

// Rows of sums, `pitch` apart, to rows of float32 that follow each other: max(sum + plus, least). Whole vectors as long
// as what they write too much of is overwritten by the rows behind.
inline void rows_of_sums(const uint16_t* from, int64_t pitch, int64_t rows, int64_t width, int32_t plus, int32_t least,
                         float* to) {
  constexpr int64_t kStep = kLanes<float>;
  const Vec<int32_t> start = broadcast(plus), floor = broadcast(least);
  const float* const end = to + rows * width;
  const int64_t whole = (width + kStep - 1) / kStep * kStep;
  for (; to + whole <= end; from += pitch, to += width)
    for (int64_t j = 0; j < width; j += kStep) floats_of_sums(from + j, start, floor, to + j);
  for (; to < end; from += pitch, to += width) {
    if (width < kStep) {
      float row[kStep];
      floats_of_sums(from, start, floor, row);
      for (int64_t j = 0; j < width; ++j) to[j] = row[j];
      continue;
    }
    for (int64_t j = 0; j + kStep < width; j += kStep) floats_of_sums(from + j, start, floor, to + j);
    floats_of_sums(from + width - kStep, start, floor, to + width - kStep);
  }
}

// The largest of windows of 2×2 of such rows, `rows` by `width` of them, side by side. What is read behind a row is
// thrown away, as what is written behind one.
inline void maxima_of_sums(const uint16_t* from, int64_t pitch, int64_t rows, int64_t width, int32_t plus,
                           int32_t least, float* to) {
  constexpr int64_t kStep = kLanes<float>;
  const Vec<int32_t> start = broadcast(plus), floor = broadcast(least);
  // A lane of 32 bits holds a window's two columns.
  const auto largest = [=](const uint16_t* top) __attribute__((always_inline)) {
    const Vec<int16_t> both = max<int16_t>(reinterpret_cast<Vec<int16_t>>(load<uint16_t>(top)),
                                           reinterpret_cast<Vec<int16_t>>(load<uint16_t>(top + pitch)));
    const auto lanes = reinterpret_cast<Vec<int32_t>>(both);
    const auto low = reinterpret_cast<Vec<int32_t>>(reinterpret_cast<Vec<uint32_t>>(both) << 16) >> 16;
    return __builtin_convertvector(max<int32_t>(max<int32_t>(low, lanes >> 16) + start, floor), Floats);
  };
  const float* const end = to + rows * width;
  const int64_t whole = (width + kStep - 1) / kStep * kStep;
  for (; to + whole <= end; from += 2 * pitch, to += width)
    for (int64_t j = 0; j < width; j += kStep) store<float>(to + j, largest(from + 2 * j));
  for (; to < end; from += 2 * pitch, to += width)
    for (int64_t j = 0; j < width; j += kStep)
      store_first<float>(to + j, largest(from + 2 * j), std::min(kStep, width - j));
}
