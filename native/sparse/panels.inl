#include "simd/transpose.inl"

// x has a row of `components` a sample; in `to` 16 samples of a component stand together, `pitch` apart from the
// next one's.
inline void pack_rows(int64_t components, const float* x, int64_t there, float* to, int64_t pitch) {
  constexpr int kStep = kLanes<float>;
  int64_t c = 0;
  for (; c + kStep <= components; c += kStep)
    for (int64_t s = 0; s < 16; s += kStep) {
      Vec<float> rows[kStep];
      for (int i = 0; i < kStep; ++i)
        rows[i] = s + i < there ? load<float>(x + (s + i) * components + c) : Vec<float>{};
      transpose<float>(rows);
      for (int i = 0; i < kStep; ++i) store<float>(to + (c + i) * pitch + s, rows[i]);
    }
  for (; c < components; ++c)
    for (int64_t s = 0; s < 16; ++s) to[c * pitch + s] = s < there ? x[s * components + c] : 0.0f;
}

// x has `stride` samples a component, of which `there` are taken. Component by component, so that x is read in
// long runs.
inline void pack_columns(int64_t components, int64_t stride, const float* x, int64_t panels, int64_t there,
                         const Layout& layout, float* to) {
  const int64_t whole = there / 16;
  for (int64_t c = 0; c < components; ++c) {
    const float* const from = x + c * stride;
    float* at = to + c * layout.component;
    for (int64_t p = 0; p < whole; ++p, at += layout.panel)
      for (int64_t s = 0; s < 16; s += kLanes<float>) store<float>(at + s, load<float>(from + p * 16 + s));
    if (whole < panels)
      for (int64_t s = 0; s < 16; ++s) at[s] = whole * 16 + s < there ? from[whole * 16 + s] : 0.0f;
  }
}

// The reverse, into rows of y that stand `pitch` apart.
inline void unpack_rows(int64_t components, const float* from, int64_t apart, int64_t there, float* y, int64_t pitch) {
  constexpr int kStep = kLanes<float>;
  int64_t c = 0;
  for (; c + kStep <= components; c += kStep)
    for (int64_t s = 0; s < there; s += kStep) {
      Vec<float> rows[kStep];
      for (int i = 0; i < kStep; ++i) rows[i] = load<float>(from + (c + i) * apart + s);
      transpose<float>(rows);
      for (int64_t i = 0; i < std::min<int64_t>(kStep, there - s); ++i) store<float>(y + (s + i) * pitch + c, rows[i]);
    }
  for (; c < components; ++c)
    for (int64_t s = 0; s < there; ++s) y[s * pitch + c] = from[c * apart + s];
}
