#include "simd/dot.inl"
#include "simd/transpose.inl"

// With AVX2 a block is two vectors of codes, so that what is looked up for a step, and a row's beginning and end, serve
// more samples; each half is in the order of sample_at.
constexpr int64_t kHalf = kLanes<Code>, kHalves = ESPALIER_LEVEL == 1 ? 2 : 1, kBlock = kHalf * kHalves;

inline void tell_code_shape(int64_t& samples, int64_t& terms, int64_t& bytes, int64_t& lanes) {
  samples = kBlock;
  terms = kTerms;
  bytes = sizeof(Code);
  lanes = kLanes<int32_t>;
}

// What is added to codes of a range with negative ones, so that they are none. (AVX2: as little as will do, for what
// 16 bits hold depends on the greatest code.)
inline int32_t bias_of(sparse::CodeRange range) {
  if (range.low >= 0 || sizeof(Code) > 1) return 0;
  return ESPALIER_LEVEL == 1 ? -range.low : 128;
}
inline void tell_bias(sparse::CodeRange range, int32_t& bias) { bias = bias_of(range); }

// A code within the range, whatever comes.
template <class T>
ESPALIER_INLINE int32_t within(T value, sparse::CodeRange range) {
  if constexpr (std::is_same_v<T, float>) {
    const float low = static_cast<float>(range.low), high = static_cast<float>(range.high);
    const float raised = value > low ? value : low;  // what is no number is not above it
    return static_cast<int32_t>(raised < high ? raised : high);
  } else return std::clamp(static_cast<int32_t>(value), range.low, range.high);
}

// Sixteen vectors transposed. Within 16 bytes first, where shuffles are the cheapest.
#if ESPALIER_LEVEL == 2
template <int A, int B>
struct QuartersAt {
  static constexpr int at(int i) { return i / 8 * 16 + (i / 4 % 2 == 0 ? A : B) * 4 + i % 4; }
};
// Quarters A and B of x, then those of y.
template <int A, int B>
ESPALIER_INLINE Vec<float> quarters(Vec<float> x, Vec<float> y) {
  return shuffle<float, QuartersAt<A, B>>(x, y);
}
ESPALIER_INLINE void transpose_by_quarters(Vec<float> (&v)[16]) {
  typedef Vec<double> Wide;
  Vec<float> a[16], b[16];
#pragma GCC unroll 4
  for (int g = 0; g < 16; g += 4) {
    const Vec<float> low0 = interleave_first<float>(v[g], v[g + 1]), low1 = interleave_first<float>(v[g + 2], v[g + 3]),
                     high0 = interleave_second<float>(v[g], v[g + 1]),
                     high1 = interleave_second<float>(v[g + 2], v[g + 3]);
    const auto wide = [](Vec<float> x) { return reinterpret_cast<Wide>(x); };
    a[g] = reinterpret_cast<Vec<float>>(interleave_first<double>(wide(low0), wide(low1)));
    a[g + 1] = reinterpret_cast<Vec<float>>(interleave_second<double>(wide(low0), wide(low1)));
    a[g + 2] = reinterpret_cast<Vec<float>>(interleave_first<double>(wide(high0), wide(high1)));
    a[g + 3] = reinterpret_cast<Vec<float>>(interleave_second<double>(wide(high0), wide(high1)));
  }
  // Now quarter q of a[4g + e] is column 4q + e of rows 4g … 4g + 3.
#pragma GCC unroll 4
  for (int e = 0; e < 4; ++e) {
    b[e] = quarters<0, 1>(a[e], a[4 + e]);
    b[4 + e] = quarters<2, 3>(a[e], a[4 + e]);
    b[8 + e] = quarters<0, 1>(a[8 + e], a[12 + e]);
    b[12 + e] = quarters<2, 3>(a[8 + e], a[12 + e]);
  }
#pragma GCC unroll 4
  for (int e = 0; e < 4; ++e) {
    v[e] = quarters<0, 2>(b[e], b[8 + e]);
    v[4 + e] = quarters<1, 3>(b[e], b[8 + e]);
    v[8 + e] = quarters<0, 2>(b[4 + e], b[12 + e]);
    v[12 + e] = quarters<1, 3>(b[4 + e], b[12 + e]);
  }
}
#endif

// n codes that stand side by side, within the range and biased.
template <class T>
ESPALIER_INLINE void take(const T* x, int64_t n, sparse::CodeRange range, Code* to) {
  const int32_t bias = bias_of(range);
  if (std::is_same_v<T, Code> && range.low == 0 && range.high == 255) {
    std::memcpy(to, x, static_cast<size_t>(n));
    return;
  }
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Code>(within(x[i], range) + bias);
}

// One sample's codes side by side, as bytes.
template <class T>
void take_sample(const CodesView& view, const T* x, int32_t bias, uint8_t* to) {
  const int64_t by = view.steps.by_component;
  const sparse::CodeRange range = view.range;
  if (by != 1) {
    for (int64_t c = 0; c < view.columns; ++c) to[c] = static_cast<uint8_t>(within(x[c * by], range) + bias);
    return;
  }
  if (std::is_same_v<T, uint8_t> && range.low == 0 && range.high == 255)
    std::memcpy(to, x, static_cast<size_t>(view.columns));
  else
    for (int64_t c = 0; c < view.columns; ++c) to[c] = static_cast<uint8_t>(within(x[c], range) + bias);
}

// Whether samples stand in the order of sample_at; where nothing brings lanes together they stand as they are.
constexpr bool in_order_of_lanes(CodeOrder order) { return order != CodeOrder::words; }

// One code of each row of half a block, `pitch` apart.
template <CodeOrder Order>
ESPALIER_INLINE Vec<Code> gathered(const Code* from, int64_t pitch) {
  Vec<Code> codes;
  for (int p = 0; p < kHalf; ++p) codes[p] = *row_at<in_order_of_lanes(Order)>(from, pitch, p);
  return codes;
}

// Half `half` of column c of a block, where the kernel wants it.
template <CodeOrder Order>
ESPALIER_INLINE void put_column(Vec<Code> codes, int64_t c, int64_t half, [[maybe_unused]] const CodesView& view,
                                void* to) {
#if ESPALIER_LEVEL == 1
  if constexpr (Order == CodeOrder::words) {
    int16_t* const words = static_cast<int16_t*>(to) + (2 * half * view.columns + c) * kLanes<int16_t>;
    const Vec<int16_t> bias = broadcast<int16_t>(static_cast<int16_t>(bias_of(view.range)));
    store<int16_t>(words, words_of_half<0>(codes) - bias);
    store<int16_t>(words + view.columns * kLanes<int16_t>, words_of_half<1>(codes) - bias);
    return;
  }
#endif
  store<Code>(static_cast<Code*>(to) + c * kBlock + half * kHalf, codes);
}

#if ESPALIER_LEVEL >= 1
// Within each 16 bytes of sixteen vectors, byte j of vector i becomes byte i of vector j: four perfect shuffles.
ESPALIER_INLINE void transpose_bytes(Vec<Code> (&v)[16]) {
  Vec<Code> w[16];
#pragma GCC unroll 2
  for (int twice = 0; twice < 2; ++twice) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      w[2 * i] = interleave_first<Code>(v[i], v[i + 8]);
      w[2 * i + 1] = interleave_second<Code>(v[i], v[i + 8]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      v[2 * i] = interleave_first<Code>(w[i], w[i + 8]);
      v[2 * i + 1] = interleave_second<Code>(w[i], w[i + 8]);
    }
  }
}
#endif

// 16 columns of half a block from column c on, of which row s begins at from + s·pitch, each put where it belongs.
template <CodeOrder Order>
ESPALIER_INLINE void transpose16(const Code* from, int64_t pitch, int64_t c, int64_t half, const CodesView& view,
                                 void* to) {
#if ESPALIER_LEVEL >= 1
  // Lane L of vector i: 16 columns of the sample that is to stand at place 16·L + i.
  Vec<Code> v[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) v[i] = load_rows<in_order_of_lanes(Order)>(from, pitch, i);
  transpose_bytes(v);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) put_column<Order>(v[i], c + i, half, view, to);
#else
  for (int i = 0; i < 16; ++i) put_column<Order>(gathered<Order>(from + i, pitch), c + i, half, view, to);
#endif
}

// A block's tuples: row s begins at from + s·pitch, which is a multiple of kTerms.
ESPALIER_INLINE void tuples_of_rows(const Code* from, int64_t pitch, int64_t tuples, Code* to) {
  int64_t t = 0;
#if ESPALIER_LEVEL >= 1
  // A tuple is as large as a float, and moves as one.
  constexpr int64_t kTile = kLanes<float>;
  for (; t + kTile <= tuples; t += kTile)
    for (int64_t s = 0; s < kBlock; s += kTile) {
      Vec<float> rows[kTile];
#pragma GCC unroll 16
      for (int64_t i = 0; i < kTile; ++i)
        rows[i] = load<float>(reinterpret_cast<const float*>(from + (s + i) * pitch + t * kTerms));
      transpose<float>(rows);
#pragma GCC unroll 16
      for (int64_t i = 0; i < kTile; ++i)
        store<float>(reinterpret_cast<float*>(to + ((t + i) * kBlock + s) * kTerms), rows[i]);
    }
#endif
  for (; t < tuples; ++t)
    for (int64_t s = 0; s < kBlock; ++s)
      for (int i = 0; i < kTerms; ++i) to[(t * kBlock + s) * kTerms + i] = from[s * pitch + t * kTerms + i];
}

// A column's samples into the order of sample_at.
template <int... I>
ESPALIER_INLINE Vec<int32_t> words_in_order(Vec<int32_t> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (sample_at(I * static_cast<int>(4 / sizeof(Code))) / (4 / sizeof(Code)))...);
}
ESPALIER_INLINE Vec<Code> in_order(Vec<Code> samples) {
  // (Never less than four samples go together.)
  return reinterpret_cast<Vec<Code>>(
      words_in_order(reinterpret_cast<Vec<int32_t>>(samples), std::make_integer_sequence<int, kLanes<int32_t>>{}));
}

// Halves of a block in which there are samples.
inline int64_t halves_of(const CodesView& view) { return (std::min(view.there, kBlock) + kHalf - 1) / kHalf; }

// Whether X holds the very codes that kernels take.
template <class T>
ESPALIER_INLINE bool as_it_is(const CodesView& view) {
  return std::is_same_v<T, Code> && view.range.low == 0 && view.range.high == 255;
}

// X holds a block's samples in rows. They are taken within the range first, in pieces that stay in the first-level
// cache, unless nothing needs it.
template <CodeOrder Order, class T>
void pack_rows_of_codes(const CodesView& view, const T* x, void* to) {
  constexpr int64_t kPiece = 256, kPitch = kPiece + 32;
  alignas(64) Code rows[kBlock * kPitch];
  const int64_t columns = view.columns, there = std::min(view.there, kBlock), pitch = view.steps.by_sample;
  int64_t done = 0;
  if constexpr (std::is_same_v<T, Code>)
    if (as_it_is<T>(view) && there == kBlock && Order != CodeOrder::tuples)
      for (; done + 16 <= columns; done += 16)
        for (int64_t half = 0; half < kHalves; ++half)
          transpose16<Order>(x + half * kHalf * pitch + done, pitch, done, half, view, to);
  for (int64_t c = done; c < columns; c += kPiece) {
    const int64_t count = std::min(kPiece, columns - c), padded = (count + 15) / 16 * 16;
    for (int64_t s = 0; s < kBlock; ++s) {
      Code* const row = rows + s * kPitch;
      if (s < there) take(x + s * pitch + c, count, view.range, row);
      for (int64_t i = s < there ? count : 0; i < padded; ++i) row[i] = 0;
    }
    if constexpr (Order == CodeOrder::tuples)
      tuples_of_rows(rows, kPitch, (count + kTerms - 1) / kTerms, static_cast<Code*>(to) + c * kBlock);
    else
      for (int64_t half = 0; half < halves_of(view); ++half) {
        const Code* const from = rows + half * kHalf * kPitch;
        int64_t i = 0;
        for (; i + 16 <= count; i += 16) transpose16<Order>(from + i, kPitch, c + i, half, view, to);
        for (; i < count; ++i) put_column<Order>(gathered<Order>(from + i, kPitch), c + i, half, view, to);
      }
  }
}

// Vectors of `count` elements, whatever a register holds.
template <class T, int64_t count>
struct Run {
  typedef T type __attribute__((vector_size(count * sizeof(T))));
};
template <class T, int64_t count>
using RunOf = typename Run<T, count>::type;

template <class Half, int... I>
ESPALIER_INLINE auto joined(Half a, Half b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, I...);
}

// `Count` codes that stand side by side, within what their type holds of the range.
template <int64_t Count, class T>
ESPALIER_INLINE RunOf<T, Count> run_within(RunOf<T, Count> raw, const CodesView& view) {
  const auto low = static_cast<T>(view.held.low), high = static_cast<T>(view.held.high);
  raw = raw > low ? raw : low - RunOf<T, Count>{};
  return raw < high ? raw : high - RunOf<T, Count>{};
}
// The same within the range and biased. (Bytes stay bytes: what is added wraps to a code that they hold.)
template <int64_t Count, class T>
ESPALIER_INLINE RunOf<Code, Count> codes_within(RunOf<T, Count> raw, const CodesView& view) {
  raw = run_within<Count, T>(raw, view);
  const int32_t plus = bias_of(view.range) + view.held.beyond;
  if constexpr (sizeof(T) == sizeof(Code)) return reinterpret_cast<RunOf<Code, Count>>(raw) + static_cast<Code>(plus);
  else {
    typedef std::conditional_t<std::is_same_v<T, float>, int32_t, int16_t> Whole;
    const auto whole = __builtin_convertvector(raw, RunOf<Whole, Count>) + static_cast<Whole>(plus);
    return __builtin_convertvector(whole, RunOf<Code, Count>);
  }
}
template <int64_t Count, class T>
ESPALIER_INLINE RunOf<Code, Count> run_of_codes(const T* from, const CodesView& view) {
  RunOf<T, Count> raw;
  std::memcpy(&raw, from, sizeof raw);
  if constexpr (std::is_same_v<T, Code>)
    if (as_it_is<T>(view)) return raw;
  return codes_within<Count, T>(raw, view);
}
// As words.
template <bool AsItIs, int64_t Count, class T>
ESPALIER_INLINE RunOf<int16_t, Count> run_of_words(const T* from, const CodesView& view) {
  RunOf<T, Count> raw;
  std::memcpy(&raw, from, sizeof raw);
  if (!AsItIs) raw = run_within<Count, T>(raw, view);
  const auto beyond = static_cast<int16_t>(AsItIs ? 0 : view.held.beyond);
  if constexpr (std::is_same_v<T, float>)
    return __builtin_convertvector(__builtin_convertvector(raw, RunOf<int32_t, Count>), RunOf<int16_t, Count>);
#if ESPALIER_LEVEL >= 1
  // (GCC would widen halves, and join them.)
  else if constexpr (Count == 16 && std::is_same_v<T, uint8_t>) {
    RunOf<int16_t, 16> words;
    const __m256i widened = _mm256_cvtepu8_epi16(reinterpret_cast<__m128i>(raw));
    std::memcpy(&words, &widened, sizeof words);
    return words + beyond;
  }
#endif
  else
    return __builtin_convertvector(raw, RunOf<int16_t, Count>) + beyond;
}

// X holds a component's samples side by side: all of them, or 16 in each panel. Of half a block, `there` exist.
template <class T>
ESPALIER_INLINE Vec<Code> column_of_codes(const CodesView& view, const T* from, int64_t there) {
  constexpr int64_t kRun = std::min<int64_t>(16, kHalf);
  // Where not all samples are there the others are any: taken one by one they cost fifteen times as much.
  T near[kHalf];
  int64_t apart = view.steps.by_panel;
  if (there < kHalf) {
    std::fill_n(near, kHalf, T{});
    for (int64_t s = 0; s < there; s += 16)
      std::memcpy(near + s, from + s / 16 * apart, static_cast<size_t>(std::min<int64_t>(16, there - s)) * sizeof(T));
    from = near;
    apart = 16;
  }
  if constexpr (kHalf == kRun) return run_of_codes<kHalf>(from, view);
  else {
    const auto run = [&](int i) __attribute__((always_inline)) { return run_of_codes<kRun>(from + i * apart, view); };
    constexpr std::make_integer_sequence<int, 2 * kRun> kTwo{};
    if constexpr (kHalf == 2 * kRun) return joined(run(0), run(1), kTwo);
    else {
      constexpr std::make_integer_sequence<int, 4 * kRun> kAll{};
      return joined(joined(run(0), run(1), kTwo), joined(run(2), run(3), kTwo), kAll);
    }
  }
}
template <CodeOrder Order, class T>
void pack_half_columns(const CodesView& view, const T* x, int64_t half, void* to) {
  const int64_t tuples = (view.columns + kTerms - 1) / kTerms, there = view.there - half * kHalf;
  const T* from = x + half * (kHalf / 16 * view.steps.by_panel);
  for (int64_t t = 0; t < tuples; ++t, from += kTerms * view.steps.by_component) {
    const int64_t count = std::min<int64_t>(kTerms, view.columns - t * kTerms);
    Vec<Code> column[kTerms];
#pragma GCC unroll 4
    for (int64_t i = 0; i < kTerms; ++i) {
      column[i] = i < count ? column_of_codes(view, from + i * view.steps.by_component, there) : Vec<Code>{};
      if (in_order_of_lanes(Order)) column[i] = in_order(column[i]);
    }
    if constexpr (Order == CodeOrder::tuples) {
      Vec<Code> together[kTerms];
      bring_together(column, together);
      // Columns past the last have no place of their own, tuples do.
#pragma GCC unroll 4
      for (int64_t j = 0; j < kTerms; ++j)
        store<Code>(static_cast<Code*>(to) + (t * kBlock + half * kHalf) * kTerms + j * kHalf, together[j]);
    } else
#pragma GCC unroll 4
      for (int64_t j = 0; j < kTerms; ++j)
        if (j < count) put_column<Order>(column[j], t * kTerms + j, half, view, to);
  }
}
// As words: a run of 16 samples at a time, whatever a vector holds. (The view is a copy: what is written might lie in
// another.)
template <bool AsItIs, class T>
void pack_columns_of_words(const CodesView view, const T* x, int16_t* to) {
  constexpr int64_t kRun = 16, kRuns = kLanes<int16_t> / kRun;
  for (int64_t s = 0; s < view.there; s += kLanes<int16_t>) {
    const T* from = x + s / kRun * view.steps.by_panel;
    if (s + kLanes<int16_t> <= view.there) {
      for (int64_t c = 0; c < view.columns; ++c, from += view.steps.by_component, to += kLanes<int16_t>)
#pragma GCC unroll 2
        for (int64_t run = 0; run < kRuns; ++run) {
          const auto words = run_of_words<AsItIs, kRun>(from + run * view.steps.by_panel, view);
          std::memcpy(to + run * kRun, &words, sizeof words);
        }
      continue;
    }
    for (int64_t c = 0; c < view.columns; ++c, from += view.steps.by_component, to += kLanes<int16_t>)
      for (int64_t i = 0; i < kLanes<int16_t>; ++i) {
        const bool there = s + i < view.there;
        to[i] = there ? static_cast<int16_t>(within(from[i / kRun * view.steps.by_panel + i % kRun], view.range))
                      : int16_t{0};
      }
  }
}
template <CodeOrder Order, class T>
void pack_columns_of_codes(const CodesView& view, const T* x, void* to) {
  for (int64_t half = 0; half < halves_of(view); ++half) pack_half_columns<Order>(view, x, half, to);
}

#if ESPALIER_LEVEL == 2
// Four columns of 16 samples, one after the other, to the four codes of each sample: words across the vector first,
// then bytes within its quarters.
struct FoursOfColumns {
  static constexpr int at(int i) { return i / 4 + i % 4 * 4; }
};
struct TuplesOfFours {
  static constexpr int at(int i) { return i / 16 * 16 + i % 4 * 4 + i % 16 / 4; }
};
ESPALIER_INLINE Vec<Code> tuples_of_columns(Vec<Code> columns) {
  const Vec<float> words = reinterpret_cast<Vec<float>>(columns);
  const Vec<Code> fours = reinterpret_cast<Vec<Code>>(shuffle<float, FoursOfColumns>(words, words));
  return shuffle<Code, TuplesOfFours>(fours, fours);
}

// Sixteen rows of four words, `pitch` apart, transposed: put(i, first, second) takes the halves of each of the four
// columns. (The loads put pieces of two rows side by side, which leaves two steps to the shuffles. Vectors of twice the
// width need a third one, and shuffles of that width take two of the ports that have them.)
template <class Put>
ESPALIER_INLINE void transpose_fours(const float* from, int64_t pitch, Put put) {
  Pieces<8>::type columns[2][4];
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) load_columns<8>(from + half * 8 * pitch, pitch, columns[half]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) put(i, columns[0][i], columns[1][i]);
}

// The tuples of a panel whose samples, `there` of them, stand in rows.
template <class T>
void pack_rows_in_panel(const CodesView& view, const T* x, int64_t there, Code* to) {
  constexpr int64_t kFour = 4 * kTerms;
  const int64_t columns = view.columns, pitch = view.steps.by_sample;
  int64_t c = 0;
  // (Words may stand where words do: other rows are copied.)
  if constexpr (sizeof(T) == 1)
    if (there >= kPanelSamples && pitch % kTerms == 0 && reinterpret_cast<uintptr_t>(x) % kTerms == 0)
      for (const bool whole = as_it_is<T>(view); c + kFour <= columns; c += kFour)
        transpose_fours(reinterpret_cast<const float*>(x + c), pitch / kTerms, [&](int i, auto first, auto second) {
          Code* const at = to + (c / kTerms + i) * kPanelSamples * kTerms;
          const auto put = [&](auto eight, Code* place) {
            const auto raw = reinterpret_cast<RunOf<T, sizeof eight>>(eight);
            const auto codes =
                whole ? reinterpret_cast<RunOf<Code, sizeof eight>>(raw) : codes_within<sizeof eight, T>(raw, view);
            std::memcpy(place, &codes, sizeof codes);
          };
          put(first, at);
          put(second, at + sizeof first);
        });
  constexpr int64_t kPiece = 128;
  alignas(64) Code rows[kPanelSamples * kPiece];
  for (; c < columns; c += kPiece) {
    const int64_t count = std::min(kPiece, columns - c), padded = (count + kFour - 1) / kFour * kFour;
    for (int64_t s = 0; s < kPanelSamples; ++s) {
      const int64_t kept = s < there ? count : 0;
      if (kept > 0) take(x + s * pitch + c, kept, view.range, rows + s * kPiece);
      std::fill(rows + s * kPiece + kept, rows + s * kPiece + padded, Code{0});
    }
    for (int64_t at = 0; at < count; at += kFour)
      transpose_fours(reinterpret_cast<const float*>(rows + at), kPiece / kTerms, [&](int i, auto first, auto second) {
        if (at + i * kTerms >= count) return;
        Code* const place = to + ((c + at) / kTerms + i) * kPanelSamples * kTerms;
        std::memcpy(place, &first, sizeof first);
        std::memcpy(place + sizeof first, &second, sizeof second);
      });
  }
}

// The same where a component's samples stand side by side, of columns [first, last).
template <class T>
void pack_columns_in_panel(const CodesView& view, const T* x, int64_t there, int64_t first, int64_t last, Code* to) {
  const int64_t by = view.steps.by_component;
  const auto run = [&](int64_t c) __attribute__((always_inline)) {
    if (there >= kPanelSamples) return run_of_codes<kPanelSamples>(x + c * by, view);
    T near[kPanelSamples] = {};
    std::memcpy(near, x + c * by, static_cast<size_t>(there) * sizeof(T));
    return run_of_codes<kPanelSamples>(near, view);
  };
  constexpr std::make_integer_sequence<int, 2 * kPanelSamples> kTwo{};
  constexpr std::make_integer_sequence<int, 4 * kPanelSamples> kAll{};
  int64_t c = first;
  if constexpr (sizeof(T) == 1)
    if (by == kPanelSamples && there >= kPanelSamples)
      for (; c + kTerms <= last; c += kTerms) {
        const Vec<T> raw = load<T>(x + c * by);
        store<Code>(to + c * kPanelSamples,
                    tuples_of_columns(as_it_is<T>(view) ? reinterpret_cast<Vec<Code>>(raw)
                                                        : codes_within<kLanes<Code>, T>(raw, view)));
      }
  for (; c + kTerms <= last; c += kTerms)
    store<Code>(to + c * kPanelSamples, tuples_of_columns(joined(joined(run(c), run(c + 1), kTwo),
                                                                 joined(run(c + 2), run(c + 3), kTwo), kAll)));
  if (c == last) return;
  Vec<Code> rest{};
  for (int64_t i = 0; c + i < last; ++i) {
    const RunOf<Code, kPanelSamples> codes = run(c + i);
    std::memcpy(reinterpret_cast<char*>(&rest) + i * kPanelSamples, &codes, sizeof codes);
  }
  store<Code>(to + c * kPanelSamples, tuples_of_columns(rest));
}

template <class T>
void pack_panels_of_codes(const CodesView& view, const T* x, Code* to) {
  const int64_t columns = view.columns, of_panel = (columns + kTerms - 1) / kTerms * kLanes<Code>;
  const int64_t panels = (std::min(view.there, kBlock) + kPanelSamples - 1) / kPanelSamples;
  const auto there = [&](int64_t p) { return view.there - p * kPanelSamples; };
  if (view.steps.by_component == 1) {
    for (int64_t p = 0; p < panels; ++p)
      pack_rows_in_panel(view, x + p * kPanelSamples * view.steps.by_sample, there(p), to + p * of_panel);
    return;
  }
  // (Panels of X are whole, whether their samples are or not. Where a line of X holds several panels it stays in the
  // first-level cache for all of them.)
  const bool whole =
      view.steps.by_component == kPanelSamples && view.steps.by_panel == columns * view.steps.by_component;
  constexpr int64_t kPiece = 64;
  for (int64_t c = 0; c < columns; c += kPiece)
    for (int64_t p = 0; p < panels; ++p)
      pack_columns_in_panel(view, x + p * view.steps.by_panel, whole ? kPanelSamples : there(p), c,
                            std::min(columns, c + kPiece), to + p * of_panel);
}
#endif

template <CodeOrder Order, class T>
void pack_codes(const CodesView& view, const T* x, void* to) {
  if (view.steps.by_component == 1) pack_rows_of_codes<Order>(view, x, to);
  else pack_columns_of_codes<Order>(view, x, to);
}
template <class T>
void pack_codes(const CodesView& view, const T* x, CodeOrder order, void* to) {
  switch (order) {
    case CodeOrder::columns: pack_codes<CodeOrder::columns>(view, x, to); break;
    case CodeOrder::panels:
#if ESPALIER_LEVEL == 2
      pack_panels_of_codes(view, x, static_cast<Code*>(to));
#endif
      break;
    case CodeOrder::tuples: pack_codes<CodeOrder::tuples>(view, x, to); break;
    case CodeOrder::words: break;
  }
}

#if ESPALIER_LEVEL == 2
// From bytes to words within a range: (byte ^ flip) − minus.
struct WordsWithin {
  Vec<int16_t> flip, minus, low, high;
  WordsWithin(int16_t of_flip, int32_t of_minus, sparse::CodeRange range)
      : flip(broadcast<int16_t>(of_flip)),
        minus(broadcast<int16_t>(static_cast<int16_t>(of_minus))),
        low(broadcast<int16_t>(static_cast<int16_t>(range.low))),
        high(broadcast<int16_t>(static_cast<int16_t>(range.high))) {}
};
// 32 columns of 32 samples, of which row s begins at from + s·pitch. Once transposed, two of a vector's quarters hold a
// column, and two the one that stands 16 on.
template <bool AsItIs>
ESPALIER_INLINE void transpose_into_words(const Code* from, int64_t pitch, const WordsWithin& within, int16_t* to) {
  Vec<Code> v[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const auto row = [&](int s) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + s * pitch)); };
    v[i] = reinterpret_cast<Vec<Code>>(_mm512_inserti64x4(_mm512_castsi256_si512(row(i)), row(16 + i), 1));
  }
  transpose_bytes(v);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const __m512i quarters = reinterpret_cast<__m512i>(v[i]);
    const Vec<Code> columns = reinterpret_cast<Vec<Code>>(_mm512_shuffle_i64x2(quarters, quarters, 0xD8));
    const auto put = [&](int c, Vec<int16_t> words) __attribute__((always_inline)) {
      if (!AsItIs) words = min<int16_t>(max<int16_t>((words ^ within.flip) - within.minus, within.low), within.high);
      store<int16_t>(to + c * kLanes<int16_t>, words);
    };
    put(i, words_of_half<0>(columns));
    put(16 + i, words_of_half<1>(columns));
  }
}
template <bool AsItIs, class T>
void pack_rows_of_words(const CodesView view, const T* x, int16_t* to) {
  constexpr int64_t kTile = 32, kPitch = kTile + 16;
  // A byte with a sign as one without, 128 more.
  constexpr int16_t kFlip = std::is_same_v<T, int8_t> ? 128 : 0;
  const int64_t columns = view.columns, pitch = view.steps.by_sample;
  const WordsWithin of_x(kFlip, kFlip, view.range), taken(0, bias_of(view.range), view.range);
  for (int64_t s = 0; s < view.there; s += kTile, x += kTile * pitch, to += kTile * columns) {
    const int64_t there = std::min(view.there - s, kTile);
    int64_t c = 0;
    if constexpr (sizeof(T) == sizeof(Code))
      if (there == kTile)
        for (; c + kTile <= columns; c += kTile)
          transpose_into_words<AsItIs>(reinterpret_cast<const Code*>(x) + c, pitch, of_x, to + c * kTile);
    for (; c < columns; c += kTile) {
      alignas(64) Code rows[kTile * kPitch];
      alignas(64) int16_t words[kTile * kTile];
      const int64_t count = std::min(kTile, columns - c);
      for (int64_t i = 0; i < kTile; ++i) {
        Code* const row = rows + i * kPitch;
        if (i < there) take(x + i * pitch + c, count, view.range, row);
        for (int64_t j = i < there ? count : 0; j < kTile; ++j) row[j] = 0;
      }
      transpose_into_words<false>(rows, kPitch, taken, count == kTile ? to + c * kTile : words);
      if (count < kTile) std::memcpy(to + c * kTile, words, static_cast<size_t>(count * kTile) * sizeof(int16_t));
    }
  }
}
#endif

template <class T>
void pack_words(const CodesView& view, const T* x, int16_t* to) {
  if (view.steps.by_component != 1) {
    if (as_it_is<T>(view)) pack_columns_of_words<true>(view, x, to);
    else pack_columns_of_words<false>(view, x, to);
    return;
  }
#if ESPALIER_LEVEL == 2
  if (as_it_is<T>(view)) pack_rows_of_words<true>(view, x, to);
  else pack_rows_of_words<false>(view, x, to);
#elif ESPALIER_LEVEL == 1
  pack_rows_of_codes<CodeOrder::words>(view, x, to);
#endif
}

#if ESPALIER_LEVEL == 2
// (Not inline: the compiler would keep thirty-two pointers, most of them in memory.)
[[gnu::noinline]] inline void tile_to_rows(const float* sums, int64_t apart, int64_t there, float* y, int64_t pitch) {
  Vec<float> rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = load<float>(sums + i * apart);
  transpose_by_quarters(rows);
  if (there >= 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) store<float>(y + i * pitch, rows[i]);
  } else
    for (int64_t i = 0; i < there; ++i) store<float>(y + i * pitch, rows[i]);
}
#endif

#if ESPALIER_LEVEL == 1
// Rows i and 4 + i of the tile are put side by side by loads, which leaves two steps to the shuffles.
ESPALIER_INLINE void tile_to_rows(const float* sums, int64_t apart, int64_t there, float* y, int64_t pitch) {
  Vec<float> rows[8];
#pragma GCC unroll 2
  for (int half = 0; half < 8; half += 4) {
    Vec<float> v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      v[i] = Pieces<8>::joined(Pieces<4>::load(sums + i * apart + half, 0),
                               Pieces<4>::load(sums + (4 + i) * apart + half, 0), std::make_integer_sequence<int, 8>{});
    const Vec<float> low01 = shuffle<float, Singles<0>>(v[0], v[1]), high01 = shuffle<float, Singles<1>>(v[0], v[1]),
                     low23 = shuffle<float, Singles<0>>(v[2], v[3]), high23 = shuffle<float, Singles<1>>(v[2], v[3]);
    rows[half] = shuffle<float, Doubles<0>>(low01, low23);
    rows[half + 1] = shuffle<float, Doubles<1>>(low01, low23);
    rows[half + 2] = shuffle<float, Doubles<0>>(high01, high23);
    rows[half + 3] = shuffle<float, Doubles<1>>(high01, high23);
  }
  if (there >= 8) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) store<float>(y + i * pitch, rows[i]);
  } else
    for (int64_t i = 0; i < there; ++i) store<float>(y + i * pitch, rows[i]);
}
#endif

// Sums [component][sample], components `apart`, into rows of Y, `pitch` apart.
inline void sums_to_rows(int64_t components, const int32_t* sums, int64_t apart, int64_t there, int32_t* y,
                         int64_t pitch) {
  int64_t whole = 0;
#if ESPALIER_LEVEL == 2
  // (Along the rows: Y is mostly not in the cache, and so many rows are written that it can be foretold.)
  whole = components / 16 * 16;
  for (int64_t s = 0; s < there; s += 16)
    for (int64_t c = 0; c < whole; c += 16)
      tile_to_rows(reinterpret_cast<const float*>(sums + c * apart + s), apart, there - s,
                   reinterpret_cast<float*>(y + s * pitch + c), pitch);
#elif ESPALIER_LEVEL == 1
  // Whole lines: two tiles side by side.
  whole = components / 16 * 16;
  for (int64_t s = 0; s < there; s += 8)
    for (int64_t c = 0; c < whole; c += 16)
      for (int64_t half = 0; half < 16; half += 8)
        tile_to_rows(reinterpret_cast<const float*>(sums + (c + half) * apart + s), apart, there - s,
                     reinterpret_cast<float*>(y + s * pitch + c + half), pitch);
#endif
  for (int64_t c = whole; c < components; ++c)
    for (int64_t s = 0; s < there; ++s) y[s * pitch + c] = sums[c * apart + s];
}

// Sums [component][16] of a panel into rows of Y, `pitch` apart.
inline void panel_to_rows(int64_t components, const int32_t* sums, int64_t there, int32_t* y, int64_t pitch) {
#if ESPALIER_LEVEL == 2
  const auto sixteen = [&](int64_t s, int64_t c) __attribute__((always_inline)) {
    transpose_fours(reinterpret_cast<const float*>(sums + c * kPanelSamples + s), kPanelSamples,
                    [&](int i, auto first, auto second) {
                      if (s + i >= there) return;
                      std::memcpy(y + (s + i) * pitch + c, &first, sizeof first);
                      std::memcpy(y + (s + i) * pitch + c + 8, &second, sizeof second);
                    });
  };
  if (components >= 16) {
    // Whole lines of Y, if its rows are such; what is left over on either side, with its neighbours once more.
    const int64_t first = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(y) % 64 / sizeof(int32_t));
    for (int64_t s = 0; s < there; s += 4) {
      int64_t c = first;
      if (c > 0) sixteen(s, 0);
      for (; c + 16 <= components; c += 16) sixteen(s, c);
      if (c < components) sixteen(s, components - 16);
    }
    return;
  }
#endif
  for (int64_t c = 0; c < components; ++c)
    for (int64_t s = 0; s < there; ++s) y[s * pitch + c] = sums[c * kPanelSamples + s];
}

// Sums of words, of samples as they come, to final values.
template <bool Float>
void finish_words(sparse::RowRange rows, int64_t samples, const sparse::WordSums& sums, const int32_t* start, bool relu,
                  const sparse::SumsPlace& to) {
  const Vec<int32_t> floor = broadcast<int32_t>(relu ? 0 : std::numeric_limits<int32_t>::min());
  constexpr int64_t kTwo = 2 * kLanes<int32_t>;
  for (int64_t r = rows.first; r < rows.first + rows.count; ++r) {
    // (Sums may wrap, as numbers without sign do.)
    const Vec<uint32_t> plus = broadcast<uint32_t>(start == nullptr ? 0 : static_cast<uint32_t>(start[r]));
    const auto sum = [&](const int16_t* words) __attribute__((always_inline)) {
      return reinterpret_cast<Vec<int32_t>>(reinterpret_cast<Vec<uint32_t>>(load_widened(words)) + plus);
    };
    const int16_t* from = sums.at + (r - rows.first) * sums.pitch;
    int32_t* y = to.at + r * to.row;
    for (int64_t s = 0; s < samples; s += kTwo, from += kTwo, y += to.two) {
      Vec<int32_t> a = max<int32_t>(sum(from), floor), b = max<int32_t>(sum(from + kLanes<int32_t>), floor);
      if (Float) {
        a = reinterpret_cast<Vec<int32_t>>(__builtin_convertvector(a, Vec<float>));
        b = reinterpret_cast<Vec<int32_t>>(__builtin_convertvector(b, Vec<float>));
      }
      store<int32_t>(y, a);
      store<int32_t>(y + to.vector, b);
    }
  }
}
inline void finish_words(sparse::RowRange rows, int64_t samples, const sparse::WordSums& sums, const int32_t* start,
                         bool relu, bool as_float, const sparse::SumsPlace& to) {
  as_float ? finish_words<true>(rows, samples, sums, start, relu, to)
           : finish_words<false>(rows, samples, sums, start, relu, to);
}

#if ESPALIER_LEVEL == 2
// 16 rows of sums, transposed: two neighbouring samples' words move as one, which is half the shuffles that sums of 32
// bits would take.
[[gnu::noinline]] inline void transpose_words(const int16_t* sums, int64_t pitch, float* to) {
  Vec<float> pairs[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) pairs[i] = load<float>(reinterpret_cast<const float*>(sums + i * pitch));
  transpose_by_quarters(pairs);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store<float>(to + i * 16, pairs[i]);
}
// Pairs of samples of so many times 16 rows, as transpose_words leaves them, to final values.
template <bool Float>
void pairs_to_rows(int64_t tiles, const float* pairs, const int32_t* start, bool relu, int64_t there, int32_t* y,
                   int64_t pitch) {
  const Vec<int32_t> floor = broadcast<int32_t>(relu ? 0 : std::numeric_limits<int32_t>::min());
  const auto put = [&](int32_t * to, Vec<int32_t> sum) __attribute__((always_inline)) {
    sum = max<int32_t>(sum, floor);
    if (Float) sum = reinterpret_cast<Vec<int32_t>>(__builtin_convertvector(sum, Vec<float>));
    store<int32_t>(to, sum);
  };
  for (int64_t s = 0; s < there; s += 2, y += 2 * pitch)
    for (int64_t i = 0; i < tiles; ++i) {
      const Vec<int32_t> plus = start == nullptr ? Vec<int32_t>{} : load<int32_t>(start + i * 16);
      const Vec<int32_t> both = load<int32_t>(reinterpret_cast<const int32_t*>(pairs) + i * 256 + s * 8);
      put(y + i * 16, add_word<0>(plus, both));
      if (s + 1 < there) put(y + pitch + i * 16, add_word<1>(plus, both));
    }
}
#endif

// The same into rows of Y, `pitch` apart; of the samples so many are there.
inline void words_to_rows(sparse::RowRange rows, int64_t there, const sparse::WordSums& sums, const int32_t* start,
                          bool relu, bool as_float, int32_t* y, int64_t pitch) {
  int64_t done = 0;
#if ESPALIER_LEVEL == 2
  // All rows of a sample after another: Y is mostly not in the cache, and so many lines are written that it can be
  // foretold.
  const int64_t tiles = rows.count / 16;
  float* const pairs = scratch<float>(Scratch::kColumns, tiles * 256);
  for (; done < tiles * 16; done += 16) transpose_words(sums.at + done * sums.pitch, sums.pitch, pairs + done * 16);
  const int32_t* const from = start == nullptr ? nullptr : start + rows.first;
  as_float ? pairs_to_rows<true>(tiles, pairs, from, relu, there, y + rows.first, pitch)
           : pairs_to_rows<false>(tiles, pairs, from, relu, there, y + rows.first, pitch);
#endif
  // A run of rows at a time: they are still near when they are unpacked.
  constexpr int64_t kRun = 64;
  int32_t* const wide = done < rows.count ? scratch<int32_t>(Scratch::kColumns, kRun * kBlock) : nullptr;
  const int64_t samples = (there + 31) / 32 * 32;
  for (; done < rows.count; done += kRun) {
    const int64_t r = rows.first + done, count = std::min(kRun, rows.count - done);
    finish_words({r, count}, samples, {sums.at + done * sums.pitch, sums.pitch}, start, relu, as_float,
                 {sparse::row_zero(wide, r, kBlock), kBlock, kLanes<int32_t>, 2 * kLanes<int32_t>});
    sums_to_rows(count, wide, kBlock, there, y + r, pitch);
  }
}
