// A code within the range, whatever comes.
template <class T>
ESPALIER_INLINE int32_t code(T value, CodeRange range) {
  if constexpr (std::is_same_v<T, float>) {
    // (What is no number fails the first comparison.)
    if (!(value > static_cast<float>(range.low))) return range.low;
    return value < static_cast<float>(range.high) ? static_cast<int32_t>(value) : range.high;
  } else return std::clamp(static_cast<int32_t>(value), range.low, range.high);
}

template <class T>
void widen(const T* x, int64_t by_sample, int64_t by_component, int64_t there, int64_t components, CodeRange range,
           int32_t* to) {
  for (int64_t c = 0; c < components; ++c)
    for (int64_t s = 0; s < 16; ++s)
      to[c * 16 + s] = s < there ? code(x[s * by_sample + c * by_component], range) : range.low;
}

template <class T>
void finish(const int32_t* sums, int64_t components, const int32_t* start, bool relu, int64_t there, T* y,
            int64_t by_sample, int64_t by_component) {
  for (int64_t c = 0; c < components; ++c) {
    const uint32_t from = start == nullptr ? 0u : static_cast<uint32_t>(start[c]);
    for (int64_t s = 0; s < there; ++s) {
      const int32_t sum = static_cast<int32_t>(static_cast<uint32_t>(sums[c * 16 + s]) + from);
      y[s * by_sample + c * by_component] = static_cast<T>(relu ? std::max(sum, 0) : sum);
    }
  }
}
