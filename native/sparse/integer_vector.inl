#include "simd/lookup.inl"

// Where nothing looks bytes up, products go one by one.
#if ESPALIER_LEVEL == 0 && !defined(__aarch64__)
#define ESPALIER_ONE_BY_ONE 1
#else
#define ESPALIER_ONE_BY_ONE 0
#endif

inline void tell_vector_shape(IntegerVectorShape& shape) {
  shape.rows = kLanes<int32_t>;
  shape.window = kBytesInTable;
#if ESPALIER_LEVEL == 2
  shape.apart = 64;
  shape.window_of_signs = kBytesInTable - 1;
#elif ESPALIER_LEVEL == 1
  shape.apart = 16;
  shape.window_of_signs = kBytesInTable;
#else
  shape.apart = 16;
  shape.window_of_signs = 0;
#endif
}

// Sums of a group of rows, a row a lane, to which the products of four codes and four weights a row are added.
#if ESPALIER_LEVEL == 1
// Products of bytes are added up by twos in 16 bits, which hold those of signs alone: else codes and weights are words,
// and the two halves of a vector make two sums, whose lanes are halves of rows.
template <sparse::VectorSteps Kind>
struct RowSums {
  __m256i first{}, second{};
};
template <>
struct RowSums<sparse::VectorSteps::signs> {
  __m256i all{};
};
struct RowWeights {
  __m256i first, second;
};
ESPALIER_INLINE RowWeights weights_of(Bytes bytes) {
  const __m256i weights = reinterpret_cast<__m256i>(bytes), sign = _mm256_cmpgt_epi8(__m256i{}, weights);
  return {_mm256_unpacklo_epi8(weights, sign), _mm256_unpackhi_epi8(weights, sign)};
}
template <sparse::VectorSteps Kind>
ESPALIER_INLINE void add_products(RowSums<Kind>& sums, Bytes bytes, const RowWeights& weights) {
  const __m256i codes = reinterpret_cast<__m256i>(bytes);
  const __m256i first = _mm256_unpacklo_epi8(codes, __m256i{}), second = _mm256_unpackhi_epi8(codes, __m256i{});
  sums.first = _mm256_add_epi32(sums.first, _mm256_madd_epi16(first, weights.first));
  sums.second = _mm256_add_epi32(sums.second, _mm256_madd_epi16(second, weights.second));
}
ESPALIER_INLINE void add_products(RowSums<sparse::VectorSteps::signs>& sums, Bytes codes, Bytes signs) {
  const __m256i pairs = _mm256_maddubs_epi16(reinterpret_cast<__m256i>(codes), reinterpret_cast<__m256i>(signs));
  sums.all = _mm256_add_epi32(sums.all, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
template <sparse::VectorSteps Kind>
ESPALIER_INLINE Vec<uint32_t> total(const RowSums<Kind>& sums) {
  return reinterpret_cast<Vec<uint32_t>>(_mm256_hadd_epi32(sums.first, sums.second));
}
ESPALIER_INLINE Vec<uint32_t> total(const RowSums<sparse::VectorSteps::signs>& sums) {
  return reinterpret_cast<Vec<uint32_t>>(sums.all);
}
#elif ESPALIER_LEVEL == 2
template <sparse::VectorSteps>
struct RowSums {
  Vec<uint32_t> all{};
};
ESPALIER_INLINE Bytes weights_of(Bytes bytes) { return bytes; }
template <sparse::VectorSteps Kind>
ESPALIER_INLINE void add_products(RowSums<Kind>& sums, Bytes codes, Bytes weights) {
  sums.all = reinterpret_cast<Vec<uint32_t>>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sums.all), reinterpret_cast<__m512i>(codes), reinterpret_cast<__m512i>(weights)));
}
template <sparse::VectorSteps Kind>
ESPALIER_INLINE Vec<uint32_t> total(const RowSums<Kind>& sums) {
  return sums.all;
}
#elif ESPALIER_ONE_BY_ONE
template <sparse::VectorSteps>
struct RowSums {
  Vec<uint32_t> all{};  // (They may wrap on their way, as numbers without sign do.)
};
template <sparse::VectorSteps Kind>
ESPALIER_INLINE Vec<uint32_t> total(const RowSums<Kind>& sums) {
  return sums.all;
}
#else
// A vector a row, whose lanes are sums of an entry of each step.
template <sparse::VectorSteps>
struct RowSums {
  int32x4_t row[4]{};
};
struct RowWeights {
  int16x8_t first, second;
};
ESPALIER_INLINE RowWeights weights_of(Bytes bytes) {
  const int8x16_t weights = reinterpret_cast<int8x16_t>(bytes);
  return {vmovl_s8(vget_low_s8(weights)), vmovl_high_s8(weights)};
}
template <sparse::VectorSteps Kind>
ESPALIER_INLINE void add_products(RowSums<Kind>& sums, Bytes bytes, const RowWeights& weights) {
  const uint8x16_t codes = reinterpret_cast<uint8x16_t>(bytes);
  const int16x8_t first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(codes))),
                  second = vreinterpretq_s16_u16(vmovl_high_u8(codes));
  sums.row[0] = vmlal_s16(sums.row[0], vget_low_s16(first), vget_low_s16(weights.first));
  sums.row[1] = vmlal_high_s16(sums.row[1], first, weights.first);
  sums.row[2] = vmlal_s16(sums.row[2], vget_low_s16(second), vget_low_s16(weights.second));
  sums.row[3] = vmlal_high_s16(sums.row[3], second, weights.second);
}
template <sparse::VectorSteps Kind>
ESPALIER_INLINE Vec<uint32_t> total(const RowSums<Kind>& sums) {
  return reinterpret_cast<Vec<uint32_t>>(
      vpaddq_s32(vpaddq_s32(sums.row[0], sums.row[1]), vpaddq_s32(sums.row[2], sums.row[3])));
}
#endif

#if ESPALIER_ONE_BY_ONE
// Samples' codes in a window, `pitch` apart, and the products of a step.
template <sparse::VectorSteps Kind, int Samples>
struct Tables {
  const uint8_t* codes;
  int64_t pitch;

  ESPALIER_INLINE void add_step(const uint8_t* step, RowSums<Kind> (&sums)[Samples]) const {
    for (int s = 0; s < Samples; ++s) {
      uint32_t row[4];
      for (int i = 0; i < 4; ++i) {
        int32_t sum = 0;
        for (int t = 4 * i; t < 4 * i + 4; ++t)
          sum += codes[s * pitch + step[t]] * static_cast<int8_t>(step[kVectorBytes + t]);
        row[i] = static_cast<uint32_t>(sum);
      }
      sums[s].all += load<uint32_t>(row);
    }
  }
};
template <int Samples>
ESPALIER_INLINE void add_dense_step(const uint8_t* step, const uint8_t* codes, int64_t pitch,
                                    RowSums<sparse::VectorSteps::dense> (&sums)[Samples]) {
  for (int s = 0; s < Samples; ++s)
    for (int i = 0; i < 4; ++i) {
      int32_t sum = 0;
      for (int t = 0; t < 4; ++t) sum += codes[s * pitch + t] * static_cast<int8_t>(step[4 * i + t]);
      sums[s].all[i] += static_cast<uint32_t>(sum);
    }
}
#else
// Samples' codes in a window, `pitch` apart, and the products of a step that looks them up.
template <sparse::VectorSteps Kind, int Samples>
struct Tables {
  ByteTable of[Samples];

  ESPALIER_INLINE Tables(const uint8_t* from, int64_t pitch) {
#pragma GCC unroll 8
    for (int s = 0; s < Samples; ++s) of[s] = byte_table(from + s * pitch);
  }
  ESPALIER_INLINE void add_step(const uint8_t* step, RowSums<Kind> (&sums)[Samples]) const {
    const BytePlaces places = byte_places(load<uint8_t>(step));
    const auto weights = weights_of(load<uint8_t>(step + kVectorBytes));
#pragma GCC unroll 8
    for (int s = 0; s < Samples; ++s) add_products(sums[s], lookup(of[s], places), weights);
  }
};
#if ESPALIER_LEVEL >= 1
// Where the places' highest bits are signs.
template <int Samples>
struct Tables<sparse::VectorSteps::signs, Samples> {
  ByteTable of[Samples];

  ESPALIER_INLINE Tables(const uint8_t* from, int64_t pitch) {
#pragma GCC unroll 8
    for (int s = 0; s < Samples; ++s)
#if ESPALIER_LEVEL == 2
      of[s] = byte_table_before_zero(from + s * pitch);
#else
      of[s] = byte_table(from + s * pitch);
#endif
  }
  ESPALIER_INLINE void add_step(const uint8_t* step, RowSums<sparse::VectorSteps::signs> (&sums)[Samples]) const {
    const Bytes at = load<uint8_t>(step);
#if ESPALIER_LEVEL == 2
    const __mmask64 negative = _mm512_movepi8_mask(reinterpret_cast<__m512i>(at));
    const Bytes signs =
        reinterpret_cast<Bytes>(_mm512_mask_blend_epi8(negative, _mm512_set1_epi8(1), _mm512_set1_epi8(-1)));
    const BytePlaces places = byte_places(at);
#else
    const Bytes signs = reinterpret_cast<Bytes>(
        _mm256_or_si256(_mm256_cmpgt_epi8(__m256i{}, reinterpret_cast<__m256i>(at)), _mm256_set1_epi8(1)));
    const BytePlaces places = byte_places(at & broadcast<uint8_t>(0x7F));
#endif
#pragma GCC unroll 8
    for (int s = 0; s < Samples; ++s) add_products(sums[s], lookup(of[s], places), signs);
  }
};
#endif
// Of every column: no tables, a step's codes are the same four for all rows.
template <int Samples>
ESPALIER_INLINE void add_dense_step(const uint8_t* step, const uint8_t* codes, int64_t pitch,
                                    RowSums<sparse::VectorSteps::dense> (&sums)[Samples]) {
  const auto weights = weights_of(load<uint8_t>(step));
#pragma GCC unroll 8
  for (int s = 0; s < Samples; ++s) {
    int32_t four;
    std::memcpy(&four, codes + s * pitch, sizeof four);
    add_products(sums[s], reinterpret_cast<Bytes>(broadcast<int32_t>(four)), weights);
  }
}
#endif

// Groups of rows: their sums of `Samples` samples, from `base` on.
template <sparse::VectorSteps Kind, int Samples>
void multiply_groups(const IntegerVectorView& of, int64_t first, int64_t last, const uint8_t* codes, int64_t pitch,
                     uint32_t* sums, int64_t sums_pitch) {
  constexpr int64_t kStep = (Kind == sparse::VectorSteps::entries ? 2 : 1) * kVectorBytes;
  // A few samples' sums would wait for themselves.
  constexpr int kChains = Samples <= 4 ? 2 : 1;
  for (int64_t g = first; g < last; ++g) {
    RowSums<Kind> sum[kChains][Samples];
    const uint8_t* step = of.steps + of.step_start[g] * kStep;
    if constexpr (Kind == sparse::VectorSteps::dense) {
      const uint8_t* four = codes;
      int64_t left = of.step_start[g + 1] - of.step_start[g];
      for (; left >= 2; left -= 2, step += 2 * kStep, four += 8) {
        add_dense_step<Samples>(step, four, pitch, sum[0]);
        add_dense_step<Samples>(step + kStep, four + 4, pitch, sum[kChains - 1]);
      }
      if (left > 0) add_dense_step<Samples>(step, four, pitch, sum[0]);
    } else
      for (int64_t w = of.window_start[g]; w < of.window_start[g + 1]; ++w) {
        const Tables<Kind, Samples> tables{codes + of.windows[w].first, pitch};
        int32_t left = of.windows[w].steps;
        for (; left >= 2; left -= 2, step += 2 * kStep) {
          tables.add_step(step, sum[0]);
          tables.add_step(step + kStep, sum[kChains - 1]);
        }
        if (left == 0) continue;
        tables.add_step(step, sum[0]);
        step += kStep;
      }
    const Vec<uint32_t> base = load<uint32_t>(of.base + g * kLanes<uint32_t>);
    for (int s = 0; s < Samples; ++s) {
      Vec<uint32_t> all = base + total(sum[0][s]);
      if constexpr (kChains == 2) all += total(sum[1][s]);
      store<uint32_t>(sums + s * sums_pitch + g * kLanes<uint32_t>, all);
    }
  }
}

template <sparse::VectorSteps Kind>
void multiply_integer_vectors(const IntegerVectorView& of, int64_t first, int64_t last, int64_t samples,
                              const uint8_t* codes, int64_t pitch, uint32_t* sums, int64_t sums_pitch) {
  int64_t s = 0;
#if ESPALIER_LEVEL == 2
  for (; s + 8 <= samples; s += 8)
    multiply_groups<Kind, 8>(of, first, last, codes + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
#endif
  for (; s + 4 <= samples; s += 4)
    multiply_groups<Kind, 4>(of, first, last, codes + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
  for (; s + 2 <= samples; s += 2)
    multiply_groups<Kind, 2>(of, first, last, codes + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
  for (; s < samples; ++s)
    multiply_groups<Kind, 1>(of, first, last, codes + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
}
inline void multiply_integer_vectors(const IntegerVectorView& of, int64_t first, int64_t last, int64_t samples,
                                     const uint8_t* codes, int64_t pitch, uint32_t* sums, int64_t sums_pitch) {
  switch (of.kind) {
    case sparse::VectorSteps::entries:
      multiply_integer_vectors<sparse::VectorSteps::entries>(of, first, last, samples, codes, pitch, sums, sums_pitch);
      break;
    case sparse::VectorSteps::signs:
#if ESPALIER_LEVEL >= 1
      multiply_integer_vectors<sparse::VectorSteps::signs>(of, first, last, samples, codes, pitch, sums, sums_pitch);
#endif
      break;
    case sparse::VectorSteps::dense:
      multiply_integer_vectors<sparse::VectorSteps::dense>(of, first, last, samples, codes, pitch, sums, sums_pitch);
      break;
  }
}
#undef ESPALIER_ONE_BY_ONE
