#include "simd/lookup.inl"

inline void vector_lanes(int64_t& lanes) { lanes = kLanes<float>; }

// Groups of rows, a row a lane: sums of `Samples` vectors, each in tables of its own.
template <int Samples>
void multiply_groups(const VectorView& of, int64_t first, int64_t last, const float* tables, int64_t pitch, float* sums,
                     int64_t sums_pitch) {
  constexpr int kStep = kLanes<float>;
  for (int64_t g = first; g < last; ++g) {
    // Two chains of additions a sample: one alone would wait for itself.
    Vec<float> even[Samples]{}, odd[Samples]{};
    const float* value = of.values + of.step_start[g] * kStep;
    const uint8_t* index = of.index + of.step_start[g] * kStep;
    for (int64_t t = of.tile_start[g]; t < of.tile_start[g + 1]; ++t) {
      const float* const table = tables + of.tiles[t].tile * (2 * kStep);
      int32_t step = of.tiles[t].steps;
      for (; step >= 2; step -= 2, value += 2 * kStep, index += 2 * kStep)
        for (int s = 0; s < Samples; ++s) {
          even[s] = fma<float>(load<float>(value), lookup(table + s * pitch, index), even[s]);
          odd[s] = fma<float>(load<float>(value + kStep), lookup(table + s * pitch, index + kStep), odd[s]);
        }
      if (step == 0) continue;
      for (int s = 0; s < Samples; ++s)
        even[s] = fma<float>(load<float>(value), lookup(table + s * pitch, index), even[s]);
      value += kStep, index += kStep;
    }
    for (int s = 0; s < Samples; ++s) store<float>(sums + s * sums_pitch + g * kStep, even[s] + odd[s]);
  }
}

inline void multiply_vectors(const VectorView& of, int64_t first, int64_t last, int64_t samples, const float* tables,
                             int64_t pitch, float* sums, int64_t sums_pitch) {
  int64_t s = 0;
  for (; s + 4 <= samples; s += 4)
    multiply_groups<4>(of, first, last, tables + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
  for (; s + 2 <= samples; s += 2)
    multiply_groups<2>(of, first, last, tables + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
  for (; s < samples; ++s)
    multiply_groups<1>(of, first, last, tables + s * pitch, pitch, sums + s * sums_pitch, sums_pitch);
}
