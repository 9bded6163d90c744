#include "simd/dot.inl"

#if ESPALIER_LEVEL == 1
typedef Vec<int16_t> Words;
constexpr int64_t kBlock = kLanes<Code>;

ESPALIER_INLINE Vec<int32_t> weights_at(const int32_t* at) { return in_register<int32_t>(broadcast<int32_t>(*at)); }

ESPALIER_INLINE void load_sums(const sparse::StepsCall& call, int32_t row, Vec<int32_t> (&sum)[kTerms]) {
#pragma GCC unroll 4
  for (int j = 0; j < kTerms; ++j)
    sum[j] = call.from.at == nullptr ? broadcast<int32_t>(call.start[row]) : load<int32_t>(call.from.vector_of(row, j));
}
ESPALIER_INLINE void store_sums(const sparse::StepsCall& call, int32_t row, const Vec<int32_t> (&sum)[kTerms]) {
#pragma GCC unroll 4
  for (int j = 0; j < kTerms; ++j) {
    Vec<int32_t> one = sum[j];
    if (call.relu) one = max<int32_t>(one, Vec<int32_t>{});
    if (call.as_float) one = reinterpret_cast<Vec<int32_t>>(__builtin_convertvector(one, Vec<float>));
    store<int32_t>(call.to.vector_of(row, j), one);
  }
}

// A step: two columns' products added up in the first two vectors, two others' in the last two.
template <bool First>
ESPALIER_INLINE void step_anywhere(const Code* x, const uint16_t* offset, const int32_t* weights, Words (&sum)[4]) {
  const auto column = [&](int i) __attribute__((always_inline)) {
    return in_register<Code>(
        load<Code>(reinterpret_cast<const Code*>(reinterpret_cast<const char*>(x) + uint64_t{offset[i]} * kOffsetUnit)));
  };
#pragma GCC unroll 2
  for (int pair = 0; pair < 2; ++pair) {
    const Vec<Code> a = column(2 * pair), b = column(2 * pair + 1);
    const Vec<int32_t> by = weights_at(weights + pair);
    const Words low = dot_pairs(interleave_first<Code>(a, b), by), high = dot_pairs(interleave_second<Code>(a, b), by);
    sum[2 * pair] = First ? low : sum[2 * pair] + low;
    sum[2 * pair + 1] = First ? high : sum[2 * pair + 1] + high;
  }
}
ESPALIER_INLINE void widen(const Words (&words)[4], Words ones, Vec<int32_t> (&sum)[kTerms]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    sum[2 * half] += dot_words(interleave_first<int16_t>(words[half], words[2 + half]), ones);
    sum[2 * half + 1] += dot_words(interleave_second<int16_t>(words[half], words[2 + half]), ones);
  }
}
inline void multiply_anywhere(const PairsView& of, int64_t first, int64_t last, const Code* x,
                              const sparse::StepsCall& call) {
  const Words ones = in_register<int16_t>(broadcast<int16_t>(1));
  for (int64_t g = first; g < last; ++g) {
    Vec<int32_t> sum[kTerms];
    load_sums(call, of.row[g], sum);
    const uint16_t* offset = of.offset + 4 * of.begin[g];
    const int32_t* weights = of.weights + 2 * of.begin[g];
    const auto next = [&]() __attribute__((always_inline)) { offset += 4, weights += 2; };
    int64_t left = of.begin[g + 1] - of.begin[g];
    const int64_t together = of.together[g];
    Words words[4];
    if (together == 1)
      for (; left > 0; --left, next()) {
        step_anywhere<true>(x, offset, weights, words);
        widen(words, ones, sum);
      }
    else
      for (; left > 0; left -= together) {
        step_anywhere<true>(x, offset, weights, words);
        next();
        for (int64_t i = std::min(left, together) - 1; i > 0; --i, next())
          step_anywhere<false>(x, offset, weights, words);
        widen(words, ones, sum);
      }
    store_sums(call, of.row[g], sum);
  }
}

// Four neighbours, whose codes stand together.
ESPALIER_INLINE const Code* tuple_at(const Code* x, uint16_t offset) {
  return reinterpret_cast<const Code*>(reinterpret_cast<const char*>(x) + uint64_t{offset} * kOffsetUnit);
}
// The first and third code of each lane as words, or the second and fourth.
ESPALIER_INLINE Words even_codes(Vec<Code> codes) { return reinterpret_cast<Words>(codes) & int16_t{0xFF}; }
ESPALIER_INLINE Words odd_codes(Vec<Code> codes) {
  return reinterpret_cast<Words>(reinterpret_cast<Vec<uint16_t>>(codes) >> 8);
}
// A step of words, which hold any product.
ESPALIER_INLINE void step_in_words(const Code* codes, Vec<int32_t> even, Vec<int32_t> odd, Vec<int32_t> (&sum)[kTerms]) {
#pragma GCC unroll 4
  for (int j = 0; j < kTerms; ++j) {
    const Vec<Code> four = in_register<Code>(load<Code>(codes + j * kBlock));
    sum[j] += dot_words(even_codes(four), reinterpret_cast<Words>(even)) +
              dot_words(odd_codes(four), reinterpret_cast<Words>(odd));
  }
}

inline void multiply_blocks(const PairsView& of, int64_t first, int64_t last, const Code* x,
                            const sparse::StepsCall& call) {
  const Words ones = in_register<int16_t>(broadcast<int16_t>(1));
  for (int64_t g = first; g < last; ++g) {
    Vec<int32_t> sum[kTerms];
    load_sums(call, of.row[g], sum);
    const uint16_t* offset = of.offset + of.begin[g];
    const int32_t* weights = of.weights + of.begin[g];
    int64_t left = of.begin[g + 1] - of.begin[g];
    const int64_t together = of.together[g];
    if (together == 1)
      for (; left > 0; --left, ++offset, ++weights) {
        const Code* const codes = tuple_at(x, *offset);
        const Vec<int32_t> by = weights_at(weights);
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j)
          sum[j] += dot_words(dot_pairs(in_register<Code>(load<Code>(codes + j * kBlock)), by), ones);
      }
    else
      for (; left > 0; left -= together) {
        Words words[kTerms]{};
        for (int64_t i = std::min(left, together); i > 0; --i, ++offset, ++weights) {
          const Code* const codes = tuple_at(x, *offset);
          const Vec<int32_t> by = weights_at(weights);
#pragma GCC unroll 4
          for (int j = 0; j < kTerms; ++j)
            words[j] += dot_pairs(in_register<Code>(load<Code>(codes + j * kBlock)), by);
        }
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) sum[j] += dot_words(words[j], ones);
      }
    for (int64_t i = of.wide_begin[g]; i < of.wide_begin[g + 1]; ++i)
      step_in_words(tuple_at(x, of.wide_offset[i]), weights_at(of.wide_weights + 2 * i),
                    weights_at(of.wide_weights + 2 * i + 1), sum);
    store_sums(call, of.row[g], sum);
  }
}

// Two rows that keep everything, so that they share what is loaded.
inline void multiply_dense(const PairsView& of, int64_t first, int64_t last, const Code* x,
                           const sparse::StepsCall& call) {
  const Words ones = in_register<int16_t>(broadcast<int16_t>(1));
  for (int64_t g = first; g < last; ++g) {
    const int32_t row[2] = {of.row[2 * g], of.row[2 * g + 1]};
    Vec<int32_t> sum[2][kTerms];
    load_sums(call, row[0], sum[0]);
    load_sums(call, row[1], sum[1]);
    const int32_t* weights = of.weights + of.begin[g];
    const Code* codes = x;
    const int64_t together = of.together[g];
    if (together == 0)
      for (int64_t i = 0; i < of.tuples; ++i, weights += 4, codes += kTerms * kBlock) {
        const Words even0 = reinterpret_cast<Words>(weights_at(weights)),
                    odd0 = reinterpret_cast<Words>(weights_at(weights + 1)),
                    even1 = reinterpret_cast<Words>(weights_at(weights + 2)),
                    odd1 = reinterpret_cast<Words>(weights_at(weights + 3));
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) {
          const Vec<Code> four = in_register<Code>(load<Code>(codes + j * kBlock));
          const Words even = even_codes(four), odd = odd_codes(four);
          sum[0][j] += dot_words(even, even0);
          sum[1][j] += dot_words(even, even1);
          sum[0][j] += dot_words(odd, odd0);
          sum[1][j] += dot_words(odd, odd1);
        }
      }
    else if (together == 1)
      for (int64_t i = 0; i < of.tuples; ++i, weights += 2, codes += kTerms * kBlock) {
        const Vec<int32_t> by0 = weights_at(weights), by1 = weights_at(weights + 1);
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) {
          const Vec<Code> four = in_register<Code>(load<Code>(codes + j * kBlock));
          sum[0][j] += dot_words(dot_pairs(four, by0), ones);
          sum[1][j] += dot_words(dot_pairs(four, by1), ones);
        }
      }
    else
      for (int64_t left = of.tuples; left > 0; left -= together) {
        Words words[2][kTerms]{};
        for (int64_t i = std::min(left, together); i > 0; --i, weights += 2, codes += kTerms * kBlock) {
          const Vec<int32_t> by0 = weights_at(weights), by1 = weights_at(weights + 1);
#pragma GCC unroll 4
          for (int j = 0; j < kTerms; ++j) {
            const Vec<Code> four = in_register<Code>(load<Code>(codes + j * kBlock));
            words[0][j] += dot_pairs(four, by0);
            words[1][j] += dot_pairs(four, by1);
          }
        }
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) {
          sum[0][j] += dot_words(words[0][j], ones);
          sum[1][j] += dot_words(words[1][j], ones);
        }
      }
    store_sums(call, row[0], sum[0]);
    if (row[1] != row[0]) store_sums(call, row[1], sum[1]);
  }
}

inline void multiply_integer_pairs(sparse::IntegerRowsKind kind, const PairsView& of, int64_t first, int64_t last,
                                   const void* codes, const sparse::StepsCall& call) {
  const Code* const x = static_cast<const Code*>(codes);
  switch (kind) {
    case sparse::IntegerRowsKind::any: multiply_anywhere(of, first, last, x, call); break;
    case sparse::IntegerRowsKind::blocks: multiply_blocks(of, first, last, x, call); break;
    case sparse::IntegerRowsKind::dense: multiply_dense(of, first, last, x, call); break;
  }
}
#endif
