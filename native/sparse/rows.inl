// Rows [first, last) for `count` panels: to[panel][row][16] = Σ value·x[panel][column][16] from bias on.
// Panels that make four vectors are taken together: with fewer the loads of values and columns are what it
// waits for, with more the sums no longer stay in registers beside the operands.
template <int Panels, class Column>
ESPALIER_INLINE void row_of_panels(int64_t x_panel, int64_t to_panel, Column column, const float* value,
                                   int64_t entries, const float* x, float bias, float floor, float* to) {
  constexpr int kVectors = 16 / kLanes<float>;
  Vec<float> sum[Panels * kVectors];
  for (auto& one : sum) one = broadcast(bias);
  for (int64_t i = 0; i < entries; ++i) {
    const Vec<float> by = broadcast(value[i]);
    const float* const from = x + column(i) * int64_t{16};
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

template <class Columns>
void rows_by(const RowsView& of, Columns columns_of, int64_t first, int64_t last, const float* bias, float floor,
             int64_t count, const float* x, int64_t x_panel, float* to, int64_t to_panel) {
  constexpr int kTogether = kLanes<float> >= 4 ? kLanes<float> / 4 : 1;
  for (int64_t r = first; r < last; ++r, to += 16) {
    const int64_t from = of.start == nullptr ? r * of.in_row : of.start[r];
    const int64_t entries = of.start == nullptr ? of.in_row : of.start[r + 1] - from;
    const auto column = columns_of(from);
    const float start = bias == nullptr ? 0.0f : bias[r];
    int64_t p = 0;
    for (; p + kTogether <= count; p += kTogether)
      row_of_panels<kTogether>(x_panel, to_panel, column, of.values + from, entries, x + p * x_panel, start, floor,
                               to + p * to_panel);
    for (; p < count; ++p)
      row_of_panels<1>(x_panel, to_panel, column, of.values + from, entries, x + p * x_panel, start, floor,
                       to + p * to_panel);
  }
}

inline void multiply_rows(const RowsView& of, int64_t first, int64_t last, const float* bias, float floor,
                          int64_t count, const float* x, int64_t x_panel, float* to, int64_t to_panel) {
  const auto by = [&](auto columns_of) {
    rows_by(of, columns_of, first, last, bias, floor, count, x, x_panel, to, to_panel);
  };
  if (of.offset != nullptr)
    by([&](int64_t from) {
      return [base = of.base, offset = of.offset + from](int64_t i) { return base[i] + offset[i]; };
    });
  else if (of.narrow != nullptr)
    by([&](int64_t from) { return [column = of.narrow + from](int64_t i) { return column[i]; }; });
  else by([&](int64_t from) { return [column = of.wide + from](int64_t i) { return column[i]; }; });
}
