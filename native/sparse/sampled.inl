#include "simd/transpose.inl"

// Vectors of a row of dY that stay in registers.
constexpr int kSampledVectors = 8;

inline void sampled_panels(int64_t& most) { most = kSampledVectors * kLanes<float> / 16; }

// Sums whose lanes are still to be added: a vector's worth of them is added together, for a fraction of what
// one by one would cost.
struct Pending {
  Vec<float> sum[kLanes<float>];
  int64_t entry[kLanes<float>];
  int count = 0;
  ESPALIER_INLINE void flush(float* values) {
    for (int i = count; i < kLanes<float>; ++i) sum[i] = Vec<float>{};
    sum_lanes_of_each<float, kLanes<float>>(sum);
    for (int i = 0; i < count; ++i) values[entry[i]] += sum[0][i];
    count = 0;
  }
};

template <int Vectors>
void sampled_pass(const Pattern& pattern, int64_t begin, int64_t end, const float* dy, const float* x, int64_t* next,
                  float* values) {
  constexpr int64_t kSamples = Vectors * kLanes<float>;
  Pending pending;
  for (int64_t r = begin; r < end; ++r) next[r - begin] = pattern.row_start[static_cast<size_t>(r)];
  for (int64_t block = 0; block < pattern.columns; block += kSampledColumns) {
    for (int64_t r = begin; r < end; ++r) {
      int64_t i = next[r - begin];
      const int64_t last = pattern.row_start[static_cast<size_t>(r) + 1];
      const int32_t* const column = pattern.column.data();
      if (i == last || column[i] >= block + kSampledColumns) continue;
      Vec<float> of_row[Vectors];
      for (int v = 0; v < Vectors; ++v) of_row[v] = load<float>(dy + r * kSamples + v * kLanes<float>);
      for (; i < last && column[i] < block + kSampledColumns; ++i) {
        const float* const from = x + column[i] * kSamples;
        // Two sums: one chain of additions would wait for itself.
        Vec<float> even = of_row[0] * load<float>(from), odd{};
        if constexpr (Vectors > 1) odd = of_row[1] * load<float>(from + kLanes<float>);
#pragma GCC unroll 8
        for (int v = 2; v < Vectors; v += 2) {
          even = fma<float>(of_row[v], load<float>(from + v * kLanes<float>), even);
          if (v + 1 < Vectors) odd = fma<float>(of_row[v + 1], load<float>(from + (v + 1) * kLanes<float>), odd);
        }
        pending.sum[pending.count] = even + odd;
        pending.entry[pending.count] = i;
        if (++pending.count == kLanes<float>) pending.flush(values);
      }
      next[r - begin] = i;
    }
  }
  pending.flush(values);
}

inline void sampled_rows(const Pattern& pattern, int64_t begin, int64_t end, int64_t panels, const float* dy,
                         const float* x, int64_t* next, float* values) {
  switch (panels * 16 / kLanes<float>) {
    case 1: return sampled_pass<1>(pattern, begin, end, dy, x, next, values);
    case 2: return sampled_pass<2>(pattern, begin, end, dy, x, next, values);
    case 4: return sampled_pass<4>(pattern, begin, end, dy, x, next, values);
    default: return sampled_pass<8>(pattern, begin, end, dy, x, next, values);
  }
}
