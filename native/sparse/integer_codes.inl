#include "simd/dot.inl"
#include "simd/transpose.inl"

constexpr int64_t kBlock = kLanes<Code>;
constexpr int32_t kBias = sizeof(Code) == 1 ? 128 : 0;

inline void tell_code_shape(int64_t& samples, int64_t& terms, int64_t& bytes, int32_t& bias) {
  samples = kBlock;
  terms = kTerms;
  bytes = sizeof(Code);
  bias = kBias;
}

// A code within the range, whatever comes.
template <class T>
ESPALIER_INLINE int32_t within(T value, sparse::CodeRange range) {
  if constexpr (std::is_same_v<T, float>) {
    const float low = static_cast<float>(range.low), high = static_cast<float>(range.high);
    const float raised = value > low ? value : low;  // what is no number is not above it
    return static_cast<int32_t>(raised < high ? raised : high);
  } else return std::clamp(static_cast<int32_t>(value), range.low, range.high);
}

// n codes that stand side by side, within the range and biased.
template <class T>
ESPALIER_INLINE void take(const T* x, int64_t n, sparse::CodeRange range, Code* to) {
  const int32_t bias = range.low < 0 ? kBias : 0;
  if (std::is_same_v<T, Code> && range.low == 0 && range.high == 255) {
    std::memcpy(to, x, static_cast<size_t>(n));
    return;
  }
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Code>(within(x[i], range) + bias);
}

// 16 columns of a block, of which row s begins at from + s·pitch, as columns in the order of sample_at.
ESPALIER_INLINE void transpose16(const Code* from, int64_t pitch, Code* to) {
#if ESPALIER_LEVEL == 2
  // Lane L of vector i: 16 columns of the sample that is to stand at place 16·L + i. Four perfect shuffles of vectors
  // of 16 bytes transpose them.
  Vec<Code> v[16], w[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i)
    v[i] = load_quarters(from + sample_at(i) * pitch, from + sample_at(16 + i) * pitch,
                         from + sample_at(32 + i) * pitch, from + sample_at(48 + i) * pitch);
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
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store<Code>(to + i * kBlock, v[i]);
#else
  for (int c = 0; c < 16; ++c)
    for (int64_t p = 0; p < kBlock; ++p)
      to[c * kBlock + p] = from[sample_at(static_cast<int>(p)) * pitch + c];
#endif
}

// A block's tuples: row s begins at from + s·pitch, which is a multiple of kTerms.
ESPALIER_INLINE void tuples_of_rows(const Code* from, int64_t pitch, int64_t tuples, Code* to) {
  int64_t t = 0;
#if ESPALIER_LEVEL == 2
  // A tuple is as large as a float, and moves as one.
  for (; t + 16 <= tuples; t += 16)
    for (int64_t s = 0; s < kBlock; s += 16) {
      Vec<float> rows[16];
      for (int64_t i = 0; i < 16; ++i)
        rows[i] = load<float>(reinterpret_cast<const float*>(from + (s + i) * pitch + t * kTerms));
      transpose<float>(rows);
      for (int64_t i = 0; i < 16; ++i)
        store<float>(reinterpret_cast<float*>(to + ((t + i) * kBlock + s) * kTerms), rows[i]);
    }
#endif
  for (; t < tuples; ++t)
    for (int64_t s = 0; s < kBlock; ++s)
      for (int i = 0; i < kTerms; ++i) to[(t * kBlock + s) * kTerms + i] = from[s * pitch + t * kTerms + i];
}

// A column's samples side by side, into the order of sample_at.
ESPALIER_INLINE void put_in_order(const Code* from, Code* to) {
  Code made[kBlock];
  for (int p = 0; p < kBlock; ++p) made[p] = from[sample_at(p)];
  std::memcpy(to, made, sizeof made);
}
#if ESPALIER_LEVEL == 2
template <int... I>
ESPALIER_INLINE Vec<int32_t> in_order(Vec<int32_t> v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I % 4 * 4 + I / 4)...);
}
#endif

template <class T>
void pack_codes(const CodesView& view, const T* x, CodeOrder order, void* made) {
  Code* const to = static_cast<Code*>(made);
  const int64_t columns = view.columns, there = std::min(view.there, kBlock);
  // Rows of samples first, whole and padded, in pieces that stay in the first-level cache.
  if (view.steps.by_component == 1) {
    constexpr int64_t kPiece = 256;
    alignas(64) Code rows[kBlock * (kPiece + 32)];
    constexpr int64_t kPitch = kPiece + 32;
    for (int64_t c = 0; c < columns; c += kPiece) {
      const int64_t count = std::min(kPiece, columns - c), padded = (count + 15) / 16 * 16;
      for (int64_t s = 0; s < kBlock; ++s) {
        Code* const row = rows + s * kPitch;
        if (s < there) take(x + s * view.steps.by_sample + c, count, view.range, row);
        std::fill(row + (s < there ? count : 0), row + padded, Code{0});
      }
      if (order == CodeOrder::tuples) {
        tuples_of_rows(rows, kPitch, (count + kTerms - 1) / kTerms, to + c * kBlock);
        continue;
      }
      int64_t i = 0;
      for (; i + 16 <= count; i += 16) transpose16(rows + i, kPitch, to + (c + i) * kBlock);
      for (; i < count; ++i)
        for (int64_t p = 0; p < kBlock; ++p)
          to[(c + i) * kBlock + p] = rows[sample_at(static_cast<int>(p)) * kPitch + i];
    }
    return;
  }
  // Samples of a component side by side, up to 16 or all.
  const int64_t tuples = (columns + kTerms - 1) / kTerms;
  for (int64_t t = 0; t < tuples; ++t) {
    alignas(64) Code column[kTerms][kBlock] = {};
    for (int64_t i = 0; i < std::min<int64_t>(kTerms, columns - t * kTerms); ++i) {
      const T* const from = x + (t * kTerms + i) * view.steps.by_component;
      if (view.steps.by_panel == 16) take(from, there, view.range, column[i]);
      else
        for (int64_t s = 0; s < there; s += 16)
          take(from + s / 16 * view.steps.by_panel, std::min<int64_t>(16, there - s), view.range, column[i] + s);
    }
#if ESPALIER_LEVEL == 2
    Vec<Code> ordered[kTerms];
    for (int i = 0; i < kTerms; ++i)
      ordered[i] = reinterpret_cast<Vec<Code>>(in_order(reinterpret_cast<Vec<int32_t>>(load<Code>(column[i])),
                                                        std::make_integer_sequence<int, 16>{}));
#else
    Vec<Code> ordered[kTerms];
    for (int i = 0; i < kTerms; ++i) {
      put_in_order(column[i], column[i]);
      ordered[i] = load<Code>(column[i]);
    }
#endif
    if (order == CodeOrder::columns) {
      for (int64_t i = 0; i < std::min<int64_t>(kTerms, columns - t * kTerms); ++i)
        store<Code>(to + (t * kTerms + i) * kBlock, ordered[i]);
    } else {
      Vec<Code> together[kTerms];
      bring_together(ordered, together);
      for (int j = 0; j < kTerms; ++j) store<Code>(to + (t * kTerms + j) * kBlock, together[j]);
    }
  }
}
