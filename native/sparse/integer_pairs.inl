#include "simd/dot.inl"

#if ESPALIER_LEVEL == 1
typedef Vec<int16_t> Words;
typedef Vec<int32_t> Sums[kTerms];  // of half a block's samples
constexpr int64_t kHalf = kLanes<Code>, kBlock = 2 * kHalf;

ESPALIER_INLINE Vec<int32_t> all(const int32_t* at) { return in_register<int32_t>(broadcast<int32_t>(*at)); }

// Sums may pass the ends of 32 bits on their way, from a start at one of them, and come back: they wrap, which is not
// defined for vectors of signed numbers.
ESPALIER_INLINE Vec<int32_t> wrapping_sum(Vec<int32_t> a, Vec<int32_t> b) {
  return reinterpret_cast<Vec<int32_t>>(reinterpret_cast<Vec<uint32_t>>(a) + reinterpret_cast<Vec<uint32_t>>(b));
}

// Where the sums of some rows come from and go to, as locals: what is stored could else be the call's own pointers.
template <bool Begun, bool Float>
struct Ends {
  const int32_t* const start;
  const sparse::SumsPlace from, to;
  const Vec<int32_t> floor;

  explicit Ends(const sparse::StepsCall& call)
      : start(call.start),
        from(call.from),
        to(call.to),
        floor(broadcast<int32_t>(call.relu ? 0 : std::numeric_limits<int32_t>::min())) {}

  ESPALIER_INLINE void load_sums(int32_t row, int32_t base, int64_t first, Sums& sum) const {
    const Vec<int32_t> begin = broadcast<int32_t>(
        static_cast<int32_t>(static_cast<uint32_t>(base) + (Begun ? 0u : static_cast<uint32_t>(start[row]))));
#pragma GCC unroll 4
    for (int j = 0; j < kTerms; ++j)
      sum[j] = Begun ? wrapping_sum(begin, load<int32_t>(from.vector_of(row, first + j))) : begin;
  }
  ESPALIER_INLINE void store_sums(int32_t row, int64_t first, const Sums& sum) const {
#pragma GCC unroll 4
    for (int j = 0; j < kTerms; ++j) {
      Vec<int32_t> one = max<int32_t>(sum[j], floor);
      if (Float) one = reinterpret_cast<Vec<int32_t>>(__builtin_convertvector(one, Vec<float>));
      store<int32_t>(to.vector_of(row, first + j), one);
    }
  }
};

ESPALIER_INLINE const Code* codes_at(const Code* x, uint16_t offset) {
  return reinterpret_cast<const Code*>(reinterpret_cast<const char*>(x) + uint64_t{offset} * kOffsetUnit);
}

// A row whose words are widened at once: four columns are brought together, lane by lane.
template <int Halves>
ESPALIER_INLINE void widened_at_once(const PairsView& of, int64_t g, const Code* x, Words ones, Sums (&sum)[Halves]) {
  const uint16_t* offset = of.offset + 4 * of.begin[g];
  const int32_t* weights = of.weights + of.weight[g];
  for (int64_t left = of.begin[g + 1] - of.begin[g]; left > 0; --left, offset += 4, ++weights) {
    const Code* const from[4] = {codes_at(x, offset[0]), codes_at(x, offset[1]), codes_at(x, offset[2]),
                                 codes_at(x, offset[3])};
    const Vec<int32_t> by = all(weights);
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) {
      Vec<Code> column[kTerms], codes[kTerms];
#pragma GCC unroll 4
      for (int i = 0; i < kTerms; ++i) column[i] = in_register<Code>(load<Code>(from[i] + h * kHalf));
      bring_together(column, codes);
#pragma GCC unroll 4
      for (int j = 0; j < kTerms; ++j) sum[h][j] = wrapping_sum(sum[h][j], dot_words(dot_pairs(codes[j], by), ones));
    }
  }
}

// The same where words hold some steps: two columns' products are added up in the first two of each half's, two others'
// in the last two.
template <bool First, int Halves>
ESPALIER_INLINE void add_anywhere(const PairsView& of, int64_t step, int64_t weight, const Code* x,
                                  Words (&words)[Halves][4]) {
  const uint16_t* const offset = of.offset + 4 * step;
#pragma GCC unroll 2
  for (int pair = 0; pair < 2; ++pair) {
    const Code* const from[2] = {codes_at(x, offset[2 * pair]), codes_at(x, offset[2 * pair + 1])};
    const Vec<int32_t> by = all(of.weights + weight + pair);
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) {
      const Vec<Code> a = in_register<Code>(load<Code>(from[0] + h * kHalf)),
                      b = in_register<Code>(load<Code>(from[1] + h * kHalf));
      const Words low = dot_pairs(interleave_first<Code>(a, b), by),
                  high = dot_pairs(interleave_second<Code>(a, b), by);
      words[h][2 * pair] = First ? low : words[h][2 * pair] + low;
      words[h][2 * pair + 1] = First ? high : words[h][2 * pair + 1] + high;
    }
  }
}
ESPALIER_INLINE void widen_anywhere(const Words (&words)[4], Words ones, Sums& sum) {
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    sum[2 * i] = wrapping_sum(sum[2 * i], dot_words(interleave_first<int16_t>(words[i], words[2 + i]), ones));
    sum[2 * i + 1] = wrapping_sum(sum[2 * i + 1], dot_words(interleave_second<int16_t>(words[i], words[2 + i]), ones));
  }
}

// Four neighbours, whose codes stand together. Bytes of codes are flipped where their weights were.
ESPALIER_INLINE Words products(const Code* codes, Vec<int32_t> by, Vec<int32_t> flip) {
  return dot_pairs(reinterpret_cast<Vec<Code>>(load<int32_t>(reinterpret_cast<const int32_t*>(codes)) ^ flip), by);
}
template <int Halves>
ESPALIER_INLINE void blocks_at_once(const PairsView& of, int64_t g, const Code* x, Words ones, Sums (&sum)[Halves]) {
  const uint16_t* offset = of.offset + of.begin[g];
  const int32_t* weights = of.weights + of.weight[g];
  for (int64_t left = of.begin[g + 1] - of.begin[g]; left > 0; --left, ++offset, weights += 2) {
    const Code* const codes = codes_at(x, *offset);
    const Vec<int32_t> by = all(weights), flip = all(weights + 1);
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h)
#pragma GCC unroll 4
      for (int j = 0; j < kTerms; ++j)
        sum[h][j] = wrapping_sum(sum[h][j], dot_words(products(codes + (h * kTerms + j) * kHalf, by, flip), ones));
  }
}
template <bool First, int Halves>
ESPALIER_INLINE void add_block(const PairsView& of, int64_t step, int64_t weight, const Code* x,
                               Words (&words)[Halves][4]) {
  const Code* const codes = codes_at(x, of.offset[step]);
  const Vec<int32_t> by = all(of.weights + weight);
#pragma GCC unroll 2
  for (int h = 0; h < Halves; ++h)
#pragma GCC unroll 4
    for (int j = 0; j < kTerms; ++j) {
      const Words one = dot_pairs(in_register<Code>(load<Code>(codes + (h * kTerms + j) * kHalf)), by);
      words[h][j] = First ? one : words[h][j] + one;
    }
}
ESPALIER_INLINE void widen_block(const Words (&words)[4], Words ones, Sums& sum) {
#pragma GCC unroll 4
  for (int j = 0; j < kTerms; ++j) sum[j] = wrapping_sum(sum[j], dot_words(words[j], ones));
}

// A row whose steps are added in words, `together` of them before these are widened. There are not registers for words
// and sums of 32 bits: the latter wait in memory, unless all steps are added at once.
template <bool Blocks, int Halves, class Ends>
ESPALIER_INLINE void multiply_in_words(const PairsView& of, int64_t g, const Code* x, Words ones, const Ends& ends) {
  constexpr int64_t kWeights = Blocks ? 1 : 2;
  const int32_t row = of.row[g], base = of.base[g];
  const int64_t together = of.together[g], last = of.begin[g + 1];
  int64_t step = of.begin[g], weight = of.weight[g];
  Words words[Halves][4];
  const auto add = [&](int64_t count) __attribute__((always_inline)) {
    Blocks ? add_block<true>(of, step, weight, x, words) : add_anywhere<true>(of, step, weight, x, words);
    const int64_t end = step + count;
    for (++step, weight += kWeights; step < end; ++step, weight += kWeights)
      Blocks ? add_block<false>(of, step, weight, x, words) : add_anywhere<false>(of, step, weight, x, words);
  };
  const auto widen = [&](int h, Sums& sum) __attribute__((always_inline)) {
    Blocks ? widen_block(words[h], ones, sum) : widen_anywhere(words[h], ones, sum);
  };
  if (last - step <= together) {
    add(last - step);
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) {
      Sums sum;
      ends.load_sums(row, base, h * kTerms, sum);
      widen(h, sum);
      ends.store_sums(row, h * kTerms, sum);
    }
    return;
  }
  alignas(kVectorBytes) int32_t waiting[Halves * kTerms * kLanes<int32_t>];
  const auto at = [&](int h, int j) { return waiting + (h * kTerms + j) * kLanes<int32_t>; };
#pragma GCC unroll 2
  for (int h = 0; h < Halves; ++h) {
    Sums sum;
    ends.load_sums(row, base, h * kTerms, sum);
#pragma GCC unroll 4
    for (int j = 0; j < kTerms; ++j) store<int32_t>(at(h, j), sum[j]);
  }
  while (step < last) {
    add(std::min(together, last - step));
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) {
      Sums sum;
#pragma GCC unroll 4
      for (int j = 0; j < kTerms; ++j) sum[j] = load<int32_t>(at(h, j));
      widen(h, sum);
      if (step < last)
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) store<int32_t>(at(h, j), sum[j]);
      else ends.store_sums(row, h * kTerms, sum);
    }
  }
}

template <bool Begun, bool Float, bool Blocks, int Halves>
void multiply_rows(const PairsView& of, int64_t first, int64_t last, const Code* x, const sparse::StepsCall& call) {
  const Words ones = in_register<int16_t>(broadcast<int16_t>(1));
  const Ends<Begun, Float> ends(call);
  for (int64_t g = first; g < last; ++g) {
    if (of.together[g] > 1) {
      multiply_in_words<Blocks, Halves>(of, g, x, ones, ends);
      continue;
    }
    const int32_t row = of.row[g], base = of.base[g];
    Sums sum[Halves];
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) ends.load_sums(row, base, h * kTerms, sum[h]);
    if (Blocks) blocks_at_once<Halves>(of, g, x, ones, sum);
    else widened_at_once<Halves>(of, g, x, ones, sum);
#pragma GCC unroll 2
    for (int h = 0; h < Halves; ++h) ends.store_sums(row, h * kTerms, sum[h]);
  }
}

// Two rows that keep everything, so that they share what is loaded.
template <bool Begun, bool Float, int Halves>
void multiply_dense(const PairsView& of, int64_t first, int64_t last, const Code* x, const sparse::StepsCall& call) {
  const Words ones = in_register<int16_t>(broadcast<int16_t>(1));
  const Ends<Begun, Float> ends(call);
  for (int64_t g = first; g < last; ++g)
    for (int64_t h = 0; h < Halves; ++h) {
      const int32_t* const row = of.row + 2 * g;
      Sums a, b;
      ends.load_sums(row[0], of.base[2 * g], h * kTerms, a);
      ends.load_sums(row[1], of.base[2 * g + 1], h * kTerms, b);
      const int32_t* weights = of.weights + of.weight[g];
      const Code* codes = x + h * kTerms * kHalf;
      const int64_t together = of.together[g];
      if (together == 0)
        for (int64_t i = 0; i < of.tuples; ++i, weights += 4, codes += kTerms * kBlock) {
          // The first and third code of each lane as words, then the second and fourth.
          const Words even_a = reinterpret_cast<Words>(all(weights)), odd_a = reinterpret_cast<Words>(all(weights + 1)),
                      even_b = reinterpret_cast<Words>(all(weights + 2)),
                      odd_b = reinterpret_cast<Words>(all(weights + 3));
#pragma GCC unroll 4
          for (int j = 0; j < kTerms; ++j) {
            const Vec<Code> four = in_register<Code>(load<Code>(codes + j * kHalf));
            const Words even = reinterpret_cast<Words>(four) & int16_t{0xFF},
                        odd = reinterpret_cast<Words>(reinterpret_cast<Vec<uint16_t>>(four) >> 8);
            a[j] = wrapping_sum(a[j], dot_words(even, even_a) + dot_words(odd, odd_a));
            b[j] = wrapping_sum(b[j], dot_words(even, even_b) + dot_words(odd, odd_b));
          }
        }
      else if (together == 1)
        for (int64_t i = 0; i < of.tuples; ++i, weights += 4, codes += kTerms * kBlock) {
          const Vec<int32_t> by_a = all(weights), flip_a = all(weights + 1), by_b = all(weights + 2),
                             flip_b = all(weights + 3);
#pragma GCC unroll 4
          for (int j = 0; j < kTerms; ++j) {
            a[j] = wrapping_sum(a[j], dot_words(products(codes + j * kHalf, by_a, flip_a), ones));
            b[j] = wrapping_sum(b[j], dot_words(products(codes + j * kHalf, by_b, flip_b), ones));
          }
        }
      else
        for (int64_t left = of.tuples; left > 0; left -= together) {
          Words of_a[kTerms]{}, of_b[kTerms]{};
          for (int64_t i = std::min(left, together); i > 0; --i, weights += 2, codes += kTerms * kBlock) {
            const Vec<int32_t> by_a = all(weights), by_b = all(weights + 1);
#pragma GCC unroll 4
            for (int j = 0; j < kTerms; ++j) {
              const Vec<Code> four = in_register<Code>(load<Code>(codes + j * kHalf));
              of_a[j] += dot_pairs(four, by_a);
              of_b[j] += dot_pairs(four, by_b);
            }
          }
#pragma GCC unroll 4
          for (int j = 0; j < kTerms; ++j) {
            a[j] = wrapping_sum(a[j], dot_words(of_a[j], ones));
            b[j] = wrapping_sum(b[j], dot_words(of_b[j], ones));
          }
        }
      ends.store_sums(row[0], h * kTerms, a);
      ends.store_sums(row[1], h * kTerms, b);
    }
}

template <bool Begun, bool Float, int Halves>
void multiply_pairs(const PairsView& of, int64_t first, int64_t last, const Code* x, const sparse::StepsCall& call) {
  if (of.dense) multiply_dense<Begun, Float, Halves>(of, first, last, x, call);
  else if (of.blocks) multiply_rows<Begun, Float, true, Halves>(of, first, last, x, call);
  else multiply_rows<Begun, Float, false, Halves>(of, first, last, x, call);
}
template <bool Begun, bool Float>
void multiply_pairs(const PairsView& of, int64_t first, int64_t last, const Code* x, const sparse::StepsCall& call) {
  if (call.samples == kHalf) multiply_pairs<Begun, Float, 1>(of, first, last, x, call);
  else multiply_pairs<Begun, Float, 2>(of, first, last, x, call);
}
inline void multiply_integer_pairs(const PairsView& of, int64_t first, int64_t last, const void* codes,
                                   const sparse::StepsCall& call) {
  const Code* const x = static_cast<const Code*>(codes);
  if (call.from.at == nullptr)
    call.as_float ? multiply_pairs<false, true>(of, first, last, x, call)
                  : multiply_pairs<false, false>(of, first, last, x, call);
  else
    call.as_float ? multiply_pairs<true, true>(of, first, last, x, call)
                  : multiply_pairs<true, false>(of, first, last, x, call);
}
#endif
