// to[panel][row][16] = Σ value·x[panel][column][16].
inline void multiply_integer_rows(const IntegerRowsView& of, int64_t rows, int64_t panels, const int32_t* x,
                                  int64_t x_panel, int32_t* to, int64_t to_panel) {
  constexpr int kStep = kLanes<int32_t>, kVectors = 16 / kStep;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t p = 0; p < panels; ++p) {
      Vec<int32_t> sum[kVectors]{};
      for (int64_t i = of.start[r]; i < of.start[r + 1]; ++i) {
        const int32_t* const from = x + p * x_panel + of.column[i] * int64_t{16};
        const Vec<int32_t> by = broadcast(of.value[i]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[v] += by * load<int32_t>(from + v * kStep);
      }
      for (int v = 0; v < kVectors; ++v) store<int32_t>(to + p * to_panel + r * 16 + v * kStep, sum[v]);
    }
}
