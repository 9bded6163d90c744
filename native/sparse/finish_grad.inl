#include "simd/transpose.inl"

// Component c of a panel: its samples, where y lets them pass, and kept so.
ESPALIER_INLINE Vec<float> passed(const float* y, float* dz) {
  const Vec<float> gradient = load<float>(dz);
  if (y == nullptr) return gradient;
  const Vec<float> passes = load<float>(y) > 0 ? gradient : Vec<float>{};
  store<float>(dz, passes);
  return passes;
}

// A few panels of dz, in place; y may be null. sums[c], of these samples, may be null too.
inline void finish_grad_of_panels(int64_t components, int64_t panels, const float* y, float* dz, float* sums) {
  constexpr int kStep = kLanes<float>;
  const int64_t panel = components * 16;
  const auto sum_of = [&](int64_t c) __attribute__((always_inline)) {
    Vec<float> sum{};
    for (int64_t p = 0; p < panels; ++p)
      for (int64_t s = p * panel + c * 16, end = s + 16; s < end; s += kStep)
        sum += passed(y == nullptr ? nullptr : y + s, dz + s);
    return sum;
  };
  int64_t c = 0;
  for (; c + kStep <= components; c += kStep) {
    Vec<float> of_component[kStep];
    for (int i = 0; i < kStep; ++i) of_component[i] = sum_of(c + i);
    const Vec<float> all = sum_lanes_of_all(of_component);
    if (sums != nullptr) store<float>(sums + c, all);
  }
  for (; c < components; ++c) {
    const float sum = sum_lanes<float>(sum_of(c));
    if (sums != nullptr) sums[c] = sum;
  }
}
