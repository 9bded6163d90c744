// Sums of `Vectors` vectors of an output plane from `at` on, and from there to the end of the plane with fewer.
template <int Vectors>
void plane_sums(const PlaneTaps& taps, int64_t at, float* to) {
  for (; at + Vectors * kLanes<float> <= taps.length; at += Vectors * kLanes<float>) {
    Vec<float> sum[Vectors];
#pragma GCC unroll 8
    for (auto& one : sum) one = broadcast(taps.bias);
    const float* const from = taps.planes + at;
    for (int64_t i = 0; i < taps.count; ++i) {
      const Vec<float> by = broadcast(taps.values[i]);
      const float* const shifted = from + taps.offsets[i];
#pragma GCC unroll 8
      for (int v = 0; v < Vectors; ++v) sum[v] = fma<float>(by, load<float>(shifted + v * kLanes<float>), sum[v]);
    }
    const Vec<float> least = broadcast(taps.floor);
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) store<float>(to + at + v * kLanes<float>, sum[v] < least ? least : sum[v]);
  }
  if constexpr (Vectors > 1) plane_sums<Vectors / 2>(taps, at, to);
}

// `length` is a multiple of 16: the planes have room behind them.
inline void plane_of_sums(const PlaneTaps& taps, float* to) { plane_sums<8>(taps, 0, to); }
