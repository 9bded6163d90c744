// A vector of sums times their multipliers.
template <class T>
struct Scaled {
  Vec<T> value, nearest;

  ESPALIER_INLINE Scaled(Vec<T> x, Vec<T> multiplier) : value(x * multiplier), nearest(round_even<T>(value)) {}
  ESPALIER_INLINE Vec<T> code(T top) const {
    const Vec<T> clamped = min<T>(max<T>(nearest, Vec<T>{}), broadcast<T>(top));
    return value != value ? value : clamped;
  }
  ESPALIER_INLINE Mask<T> inside(T top) const { return (nearest >= Vec<T>{}) & (nearest <= broadcast<T>(top)); }
};

// Calls body(i, lanes, multiplier) for each vector of the sums of one channel in one sample.
template <class T, class Body>
ESPALIER_INLINE void along_channel(const quant::Sums<T>& sums, int64_t sample, int64_t channel, const Body& body) {
  const int64_t start = (sample * sums.channels + channel) * sums.inner;
  const Vec<T> multiplier = broadcast<T>(sums.multiplier[channel]);
  for (int64_t i = 0; i < sums.inner; i += kLanes<T>)
    body(start + i, std::min<int64_t>(kLanes<T>, sums.inner - i), multiplier);
}

// The same for channels [begin, end) of one sample side by side, where each has one sum.
template <class T, class Body>
ESPALIER_INLINE void across_channels(const quant::Sums<T>& sums, int64_t sample, int64_t begin, int64_t end,
                                     const Body& body) {
  const int64_t start = sample * sums.channels;
  for (int64_t channel = begin; channel < end; channel += kLanes<T>) {
    const int64_t lanes = std::min<int64_t>(kLanes<T>, end - channel);
    body(start + channel, lanes, load_first<T>(sums.multiplier + channel, lanes));
  }
}

template <class T>
void requantise_forward(const quant::Sums<T>& sums, T* y) {
  const auto body = [&](int64_t i, int64_t lanes, Vec<T> multiplier) {
    store_first<T>(y + i, Scaled<T>(load_first<T>(sums.x + i, lanes), multiplier).code(sums.top), lanes);
  };
  const int64_t grain = std::max<int64_t>(1, kRequantiseGrain / (sums.channels * sums.inner));
  parallel_ranges(sums.outer, grain, [&](int64_t begin, int64_t end) {
    for (int64_t sample = begin; sample < end; ++sample) {
      if (sums.inner == 1) across_channels<T>(sums, sample, 0, sums.channels, body);
      else
        for (int64_t channel = 0; channel < sums.channels; ++channel) along_channel<T>(sums, sample, channel, body);
    }
  });
}

// A channel's sum of gradients is one thread's, sample after sample: the bits do not depend on the threads.
template <class T>
void requantise_backward(const quant::Sums<T>& sums, const T* gradient, T* gradient_x, T* gradient_log) {
  const auto vector = [&](int64_t i, int64_t lanes, Vec<T> multiplier) -> Vec<T> {
    const Scaled<T> scaled(load_first<T>(sums.x + i, lanes), multiplier);
    const Vec<T> passed = scaled.inside(sums.top) ? load_first<T>(gradient + i, lanes) : Vec<T>{};
    if (gradient_x != nullptr) store_first<T>(gradient_x + i, passed * multiplier, lanes);
    return passed * scaled.value;
  };
  const int64_t step = sums.inner == 1 ? kLanes<T> : 1;
  const int64_t grain = std::max<int64_t>(1, kRequantiseGrain / (sums.outer * sums.inner * step));
  parallel_ranges((sums.channels + step - 1) / step, grain, [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; ++group) {
      const int64_t channel = group * step, count = std::min(step, sums.channels - channel);
      Vec<T> total{};
      const auto add = [&](int64_t i, int64_t lanes, Vec<T> multiplier) { total += vector(i, lanes, multiplier); };
      for (int64_t sample = 0; sample < sums.outer; ++sample) {
        if (sums.inner == 1) across_channels<T>(sums, sample, channel, channel + count, add);
        else along_channel<T>(sums, sample, channel, add);
      }
      if (gradient_log == nullptr) continue;
      if (sums.inner == 1) store_first<T>(gradient_log + channel, total, count);
      else gradient_log[channel] = sum_lanes<T>(total);
    }
  });
}
