#include "simd/transpose.inl"

// Four columns at a time of as many rows as there are lanes, over a run of components.
template <int Lanes>
ESPALIER_INLINE void pack_rows_by_four(int64_t components, const float* x, int64_t apart, float* to, int64_t pitch) {
  constexpr int64_t kRun = 128;
  using V = typename Pieces<Lanes>::type;
  const auto pack_four = [&](int64_t s, int64_t at) __attribute__((always_inline)) {
    V columns[4];
    load_columns<Lanes>(x + s * apart + at, apart, columns);
    for (int i = 0; i < 4; ++i) std::memcpy(to + (at + i) * pitch + s, &columns[i], sizeof(V));
  };
  const int64_t fours = components / 4 * 4;
  for (int64_t c = 0; c < fours; c += kRun)
    for (int64_t s = 0; s < 16; s += Lanes)
      for (int64_t at = c; at < std::min(c + kRun, fours); at += 4) pack_four(s, at);
  // What is left over, with its neighbours once more.
  for (int64_t s = 0; fours < components && s < 16; s += Lanes) pack_four(s, components - 4);
}

// x has a row of `components` a sample, `apart` from the next one's; in `to` 16 samples of a component stand together,
// `pitch` apart from the next one's. As many rows at a time as a vector has lanes; but where rows stand a multiple of 4
// KiB apart, a first-level cache of eight ways has room for the lines of eight.
inline void pack_rows(int64_t components, const float* x, int64_t apart, int64_t there, float* to, int64_t pitch) {
  constexpr int kStep = kLanes<float>;
  if (there == 16 && components >= 4) {
    if (apart % 1024 == 0) pack_rows_by_four<std::min(kStep, 8)>(components, x, apart, to, pitch);
    else pack_rows_by_four<kStep>(components, x, apart, to, pitch);
    return;
  }
  int64_t c = 0;
  for (; c + kStep <= components; c += kStep)
    for (int64_t s = 0; s < 16; s += kStep) {
      Vec<float> rows[kStep];
      for (int i = 0; i < kStep; ++i) rows[i] = s + i < there ? load<float>(x + (s + i) * apart + c) : Vec<float>{};
      transpose<float>(rows);
      for (int i = 0; i < kStep; ++i) store<float>(to + (c + i) * pitch + s, rows[i]);
    }
  for (; c < components; ++c)
    for (int64_t s = 0; s < 16; ++s) to[c * pitch + s] = s < there ? x[s * apart + c] : 0.0f;
}

ESPALIER_INLINE void copy16(const float* from, float* to) {
  for (int64_t s = 0; s < 16; s += kLanes<float>) store<float>(to + s, load<float>(from + s));
}

// x has `stride` samples a component, of which `there` are taken. Component by component, so that x is read in
// long runs.
inline void pack_columns(int64_t components, int64_t stride, const float* x, int64_t panels, int64_t there,
                         const Layout& layout, float* to) {
  const int64_t whole = there / 16;
  for (int64_t c = 0; c < components; ++c) {
    const float* const from = x + c * stride;
    float* at = to + c * layout.component;
    for (int64_t p = 0; p < whole; ++p, at += layout.panel) copy16(from + p * 16, at);
    if (whole < panels)
      for (int64_t s = 0; s < 16; ++s) at[s] = whole * 16 + s < there ? from[whole * 16 + s] : 0.0f;
  }
}

// From panels to panels: 16 samples of each component.
inline void copy_panels(int64_t components, const float* from, const Layout& of_from, int64_t panels, float* to,
                        const Layout& of_to) {
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t c = 0; c < components; ++c)
      copy16(from + p * of_from.panel + c * of_from.component, to + p * of_to.panel + c * of_to.component);
}

// The reverse of pack_rows, into rows of y that stand `pitch` apart. Four rows at a time, over a run of components:
// where rows stand a multiple of 4 KiB apart, the lines of sixteen would not stay in the cache together.
inline void unpack_rows(int64_t components, const float* from, int64_t apart, int64_t there, float* y, int64_t pitch) {
  constexpr int kStep = kLanes<float>;
  constexpr int64_t kRun = 128;
  const auto unpack_four = [&](int64_t s, int64_t c) __attribute__((always_inline)) {
    Vec<float> rows[4];
    load_columns(from + c * apart + s, apart, rows);
    for (int64_t i = 0; i < std::min<int64_t>(4, there - s); ++i) store<float>(y + (s + i) * pitch + c, rows[i]);
  };
  const int64_t whole = components / kStep * kStep;
  for (int64_t run = 0; run < whole; run += kRun)
    for (int64_t s = 0; s < there; s += 4)
      for (int64_t c = run; c < std::min(run + kRun, whole); c += kStep) unpack_four(s, c);
  if (whole == components) return;
  if (whole > 0)
    for (int64_t s = 0; s < there; s += 4) unpack_four(s, components - kStep);
  else
    for (int64_t c = 0; c < components; ++c)
      for (int64_t s = 0; s < there; ++s) y[s * pitch + c] = from[c * apart + s];
}

// The reverse of pack_columns.
inline void unpack_columns(int64_t components, const float* from, const Layout& layout, int64_t panels, int64_t there,
                           float* y, int64_t stride) {
  const int64_t whole = there / 16;
  for (int64_t c = 0; c < components; ++c) {
    const float* at = from + c * layout.component;
    float* const to = y + c * stride;
    for (int64_t p = 0; p < whole; ++p, at += layout.panel) copy16(at, to + p * 16);
    if (whole < panels)
      for (int64_t s = whole * 16; s < there; ++s) to[s] = at[s - whole * 16];
  }
}
