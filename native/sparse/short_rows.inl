#include "simd/transpose.inl"

// Four values, again and again.
ESPALIER_INLINE Vec<float> repeat_four(const float* p) {
#if ESPALIER_LEVEL == 2
  return _mm512_maskz_broadcast_f32x4(static_cast<__mmask16>(-1), _mm_loadu_ps(p));
#elif ESPALIER_LEVEL == 1
  return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(p));
#else
  return load<float>(p);
#endif
}
// One of each four in all places of the four.
template <int Which>
struct Spread {
  static constexpr int at(int i) { return i / 4 * 4 + Which; }
};

// The rows of a piece of the matrix, for so many panels: to[panel][row][16] += Σ value·x[panel][column][16].
template <int Panels>
void add_short_rows(const ShortRows& of, const float* x, int64_t x_panel, float* to, int64_t to_panel) {
  constexpr int kInPanel = 16 / kLanes<float>, kVectors = Panels * kInPanel;
  // A pointer a vector: a multiply-add then finds its samples by pointer and offset. The compiler must not see that
  // they stand a constant apart: it would add pointer and offset first, an instruction for each panel and entry.
  const char* from[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    from[v] = reinterpret_cast<const char*>(x + v / kInPanel * x_panel + v % kInPanel * kLanes<float>);
    asm("" : "+r"(from[v]));
  }
  const uint16_t* offset = of.offset;
  const float* value = of.values;
  for (const ShortRow* row = of.rows; row != of.rows_end; ++row) {
    float* const at = to + row->row * 16;
    Vec<float> sum[kVectors];
    if (of.starts) {
      const Vec<float> start = broadcast(of.bias == nullptr ? 0.0f : of.bias[row->row]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[v] = start;
    } else {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v)
        sum[v] = load<float>(at + v / kInPanel * to_panel + v % kInPanel * kLanes<float>);
    }
    const auto add = [&](Vec<float> by, int64_t i) __attribute__((always_inline)) {
      const uint64_t there = offset[i];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v)
        sum[v] = fma<float>(by, load<float>(reinterpret_cast<const float*>(from[v] + there)), sum[v]);
    };
    int64_t left = row->entries;
    for (; left >= 4; left -= 4, offset += 4, value += 4) {
      const Vec<float> four = repeat_four(value);
      add(shuffle<float, Spread<0>>(four, four), 0);
      add(shuffle<float, Spread<1>>(four, four), 1);
      add(shuffle<float, Spread<2>>(four, four), 2);
      add(shuffle<float, Spread<3>>(four, four), 3);
    }
    for (; left > 0; --left, ++offset, ++value) add(broadcast(*value), 0);
    if (of.raises) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[v] = sum[v] < Vec<float>{} ? Vec<float>{} : sum[v];
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      store<float>(at + v / kInPanel * to_panel + v % kInPanel * kLanes<float>, sum[v]);
  }
}

inline void multiply_short_rows(const ShortRows& of, int64_t panels, const float* x, int64_t x_panel, float* to,
                                int64_t to_panel) {
  switch (panels) {
    case 1: return add_short_rows<1>(of, x, x_panel, to, to_panel);
    case 2: return add_short_rows<2>(of, x, x_panel, to, to_panel);
    default: return add_short_rows<3>(of, x, x_panel, to, to_panel);
  }
}
