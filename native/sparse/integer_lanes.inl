#include "simd/dot.inl"

#if ESPALIER_LEVEL == 1
// Never taken: with AVX2 steps are pairs (integer_pairs.inl).
inline void multiply_integer_lanes(const IntegerStepsView&, int64_t, int64_t, const void*, const int32_t*,
                                   const sparse::SumsPlace&, const sparse::SumsPlace&, bool, bool) {}
#else

// The codes that a step of a row multiplies: of any columns, each a vector, or of columns that stand together.
template <bool Tuples>
ESPALIER_INLINE void fetch(const Code* x, const uint16_t* offset, Vec<Code> (&codes)[kTerms]) {
  const char* const from = reinterpret_cast<const char*>(x);
  const auto at = [&](uint64_t units) { return load<Code>(reinterpret_cast<const Code*>(from + units * kOffsetUnit)); };
  if constexpr (Tuples) {
    const Code* const first = reinterpret_cast<const Code*>(from + uint64_t{*offset} * kOffsetUnit);
#pragma GCC unroll 4
    for (int j = 0; j < kTerms; ++j) codes[j] = load<Code>(first + j * kLanes<Code>);
  } else {
    // (One load for the offsets of all: with one each the kernel is short of loads, half as fast.)
    std::conditional_t<kTerms == 4, uint64_t, uint32_t> all;
    std::memcpy(&all, offset, sizeof all);
    Vec<Code> column[kTerms];
#pragma GCC unroll 4
    for (int i = 0; i < kTerms; ++i) column[i] = in_register<Code>(at(all >> (16 * i) & 0xFFFF));
    bring_together(column, codes);
  }
}

template <bool Tuples>
ESPALIER_INLINE void multiply_group(const IntegerStepsView& of, int64_t steps, const uint16_t*& offset,
                                    const int32_t*& weights, const Code* x, Vec<int32_t> (&sum)[kTogether][kTerms]) {
  constexpr int kOffsets = Tuples ? 1 : kTerms;
  for (; steps > 0; --steps, offset += kTogether * kOffsets, weights += kTogether) {
    Vec<Code> codes[kTerms];
    if (Tuples && of.shared) fetch<Tuples>(x, offset, codes);
#pragma GCC unroll 4
    for (int t = 0; t < kTogether; ++t) {
      if (!Tuples || !of.shared) fetch<Tuples>(x, offset + t * kOffsets, codes);
      const Vec<int32_t> by = in_register<int32_t>(broadcast<int32_t>(weights[t]));
#pragma GCC unroll 4
      for (int j = 0; j < kTerms; ++j) sum[t][j] = dot(sum[t][j], codes[j], by);
    }
  }
}

// What is done to sums at last.
enum class Finish { nothing, maximum, floats };

// (Where sums stand is in variables of its own: what is stored might lie in the caller's, for all that compilers know.)
template <bool Tuples, Finish Ends>
void multiply_steps(const IntegerStepsView& of, int64_t first, int64_t last, const void* codes, const int32_t* start,
                    const sparse::SumsPlace from, const sparse::SumsPlace to, bool relu) {
  constexpr int kOffsets = Tuples ? 1 : kTerms;
  const Code* const x = static_cast<const Code*>(codes);
  const Vec<int32_t> floor = broadcast<int32_t>(relu ? 0 : std::numeric_limits<int32_t>::min());
  for (int64_t g = first; g < last; ++g) {
    const int32_t* const rows = of.row + g * kTogether;
    Vec<int32_t> sum[kTogether][kTerms];
    if (from.at == nullptr)
#pragma GCC unroll 4
      for (int t = 0; t < kTogether; ++t)
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) sum[t][j] = broadcast<int32_t>(start[rows[t]]);
    else
#pragma GCC unroll 4
      for (int t = 0; t < kTogether; ++t)
#pragma GCC unroll 4
        for (int j = 0; j < kTerms; ++j) sum[t][j] = load<int32_t>(from.vector_of(rows[t], j));
    const uint16_t* offset = of.offset + of.begin[g] * kTogether * kOffsets;
    const int32_t* weights = of.weights + of.begin[g] * kTogether;
    multiply_group<Tuples>(of, of.begin[g + 1] - of.begin[g], offset, weights, x, sum);
#pragma GCC unroll 4
    for (int t = 0; t < kTogether; ++t)
#pragma GCC unroll 4
      for (int j = 0; j < kTerms; ++j) {
        Vec<int32_t> one = sum[t][j];
        if (Ends != Finish::nothing) one = max<int32_t>(one, floor);
        if (Ends == Finish::floats) one = reinterpret_cast<Vec<int32_t> >(__builtin_convertvector(one, Vec<float>));
        store<int32_t>(to.vector_of(rows[t], j), one);
      }
  }
}
template <bool Tuples>
void multiply_steps(const IntegerStepsView& of, int64_t first, int64_t last, const void* codes, const int32_t* start,
                    const sparse::SumsPlace& from, const sparse::SumsPlace& to, bool relu, bool as_float) {
  const auto run = as_float ? multiply_steps<Tuples, Finish::floats>
                   : relu   ? multiply_steps<Tuples, Finish::maximum>
                            : multiply_steps<Tuples, Finish::nothing>;
  run(of, first, last, codes, start, from, to, relu);
}

inline void multiply_integer_lanes(const IntegerStepsView& of, int64_t first, int64_t last, const void* codes,
                                   const int32_t* start, const sparse::SumsPlace& from, const sparse::SumsPlace& to,
                                   bool relu, bool as_float) {
  if (of.tuples) multiply_steps<true>(of, first, last, codes, start, from, to, relu, as_float);
  else multiply_steps<false>(of, first, last, codes, start, from, to, relu, as_float);
}
#endif
