// One channel's sums of `Together` lines in registers: with fewer the loads of values and places are what it waits
// for, with more the sums no longer stay in registers beside the operands.
template <int Together>
ESPALIER_INLINE void channel_of_lines(const Stencil& stencil, const float* values, int64_t channel, float bias,
                                      float floor, const float* packed, const int32_t* base, float* sums,
                                      int64_t pitch) {
  constexpr int kVectors = 16 / kLanes<float>;
  Vec<float> sum[Together * kVectors];
  for (auto& one : sum) one = broadcast(bias);
  const float* from[Together];
  for (int i = 0; i < Together; ++i) from[i] = packed + base[i] * int64_t{16};
  const int64_t end = stencil.start[static_cast<size_t>(channel) + 1];
  for (int64_t e = stencil.start[static_cast<size_t>(channel)]; e < end; ++e) {
    const Vec<float> by = broadcast(values[e]);
    const int64_t at = stencil.line[static_cast<size_t>(e)] * int64_t{16};
#pragma GCC unroll 4
    for (int i = 0; i < Together; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sum[i * kVectors + v] = fma<float>(by, load<float>(from[i] + at + v * kLanes<float>), sum[i * kVectors + v]);
  }
  const Vec<float> least = broadcast(floor);
  for (int i = 0; i < Together; ++i)
    for (int v = 0; v < kVectors; ++v) {
      const Vec<float> one = sum[i * kVectors + v];
      store<float>(sums + i * pitch + channel * 16 + v * kLanes<float>, one < least ? least : one);
    }
}

inline void run_stencil(const Stencil& stencil, const float* values, const Lines& lines, const float* bias,
                        float floor) {
  constexpr int kTogether = kLanes<float> >= 4 ? kLanes<float> / 4 : 1;
  const int64_t pitch = sparse::pitch_of(stencil.channels);
  for (int64_t c = 0; c < stencil.channels; ++c) {
    const float from = bias == nullptr ? 0.0f : bias[c];
    int64_t i = 0;
    for (; i + kTogether <= lines.count; i += kTogether)
      channel_of_lines<kTogether>(stencil, values, c, from, floor, lines.packed, lines.base + i, lines.sums + i * pitch,
                                  pitch);
    for (; i < lines.count; ++i)
      channel_of_lines<1>(stencil, values, c, from, floor, lines.packed, lines.base + i, lines.sums + i * pitch, pitch);
  }
}
