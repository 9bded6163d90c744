// Rows [0, rows) for `count` panels: to[panel][row][16] = Σ value·x[panel][column][16] from bias on.
// Panels that make four vectors are taken together: with fewer the loads of values and columns are what it
// waits for, with more the sums no longer stay in registers beside the operands.
template <int Panels>
ESPALIER_INLINE void row_of_panels(int64_t x_panel, int64_t to_panel, const int32_t* column, const float* value,
                                   int64_t entries, const float* x, float bias, float floor, float* to) {
  constexpr int kVectors = 16 / kLanes<float>;
  Vec<float> sum[Panels * kVectors];
  for (auto& one : sum) one = broadcast(bias);
  for (int64_t i = 0; i < entries; ++i) {
    const Vec<float> by = broadcast(value[i]);
    const float* const from = x + column[i] * int64_t{16};
#pragma GCC unroll 4
    for (int p = 0; p < Panels; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sum[p * kVectors + v] =
            fma<float>(by, load<float>(from + p * x_panel + v * kLanes<float>), sum[p * kVectors + v]);
  }
  const Vec<float> least = broadcast(floor);
  for (int p = 0; p < Panels; ++p)
    for (int v = 0; v < kVectors; ++v) {
      const Vec<float> one = sum[p * kVectors + v];
      store<float>(to + p * to_panel + v * kLanes<float>, one < least ? least : one);
    }
}

inline void multiply_rows(const Pattern& pattern, const float* values, const float* bias, float floor, int64_t count,
                          const float* x, int64_t x_panel, float* to, int64_t to_panel) {
  constexpr int kTogether = kLanes<float> >= 4 ? kLanes<float> / 4 : 1;
  for (int64_t r = 0; r < pattern.rows; ++r) {
    const int64_t from = pattern.row_start[static_cast<size_t>(r)];
    const int64_t entries = pattern.row_start[static_cast<size_t>(r) + 1] - from;
    const int32_t* const column = pattern.column.data() + from;
    const float start = bias == nullptr ? 0.0f : bias[r];
    int64_t p = 0;
    for (; p + kTogether <= count; p += kTogether)
      row_of_panels<kTogether>(x_panel, to_panel, column, values + from, entries, x + p * x_panel, start, floor,
                               to + p * to_panel + r * 16);
    for (; p < count; ++p)
      row_of_panels<1>(x_panel, to_panel, column, values + from, entries, x + p * x_panel, start, floor,
                       to + p * to_panel + r * 16);
  }
}
