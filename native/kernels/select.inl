#include "kernels/mask_lanes.inl"

// Counts the entries of a block below `low` and within [low, high], and stores the latter.
template <class T, class M>
void survey(const T* score, const M* mask, bool magnitude, int64_t n, T low, T high, T* inside, SelectCounts* counts) {
  Mask<T> below{}, within{}, live{}, bad{};
  T* out = inside;
  by_vector<T>(0, n, [&](int64_t i, auto lanes) {
    const Vec<T> v = ranked<T>(score + i, magnitude, lanes);
    const Mask<T> here = alive<T, M>(mask == nullptr ? nullptr : mask + i, lanes);
    const Mask<T> chosen = (v >= broadcast<T>(low)) & (v <= broadcast<T>(high)) & here;
    // A mask's lanes are −1 where it holds.
    below += (v < broadcast<T>(low)) & here;
    within += chosen;
    live += here;
    bad |= v != v;
    if (inside != nullptr) out += store_chosen<T>(out, v, chosen);
  });
  *counts = {};
  for (int lane = 0; lane < kLanes<T>; ++lane) {
    counts->below -= below[lane];
    counts->inside -= within[lane];
    counts->alive -= live[lane];
    counts->bad |= bad[lane] != 0;
  }
}

// Result of a block: 0 for those that fall, the mask (or 1) for the others. With `ties` those at the
// threshold fall too.
template <class T, class M>
void fell(const kernels::Scored<T, M>& array, bool magnitude, int64_t begin, int64_t end, T threshold, bool ties) {
  typedef MaskLanes<T, M> Lanes;
  by_vector<T>(begin, end, [&](int64_t i, auto lanes) {
    const Vec<T> v = ranked<T>(array.score + i, magnitude, lanes), t = broadcast<T>(threshold);
    const auto keep = __builtin_convertvector(ties ? v > t : v >= t, typename Lanes::integers);
    typename Lanes::type before;
    if (array.mask == nullptr) before = typename Lanes::type{} + M{1};
    else before = load_mask<T, M>(array.mask + i, lanes);
    store_mask<T, M>(array.result + i, keep ? before : typename Lanes::type{}, lanes);
  });
}

// Brings to `out` the values within [low, high] and counts them and those below.
template <class T>
void narrow(const T* values, int64_t n, T low, T high, T* out, int64_t* below, int64_t* inside) {
  SelectCounts counts;
  survey<T, T>(values, nullptr, false, n, low, high, out, &counts);
  *below = counts.below;
  *inside = counts.inside;
}

template <class T, class M>
void apply_mask(const T* x, const M* mask, T* y, int64_t n) {
  parallel_ranges(n, kSelectGrain, [=](int64_t begin, int64_t end) {
    by_vector<T>(begin, end, [=](int64_t i, auto lanes) {
      const Vec<T> factor = __builtin_convertvector(load_mask<T, M>(mask + i, lanes), Vec<T>);
      if constexpr (std::is_same_v<decltype(lanes), int64_t>)
        store_first<T>(y + i, load_first<T>(x + i, lanes) * factor, lanes);
      else store<T>(y + i, load<T>(x + i) * factor);
    });
  });
}

// Adds the ones of a mask to `ones`; sets `other` where an entry is neither 0 nor 1.
template <class M>
void survey_mask(const M* mask, int64_t n, int64_t* ones, char* other) {
  // Short runs, so that the compiler may count in lanes as narrow as the entries.
  constexpr int64_t kRun = 128;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = begin + kRun < n ? begin + kRun : n;
    int32_t count = 0, strange = 0;
    for (int64_t i = begin; i < end; ++i) {
      count += mask[i] == M{1};
      strange |= (mask[i] != M{0}) & (mask[i] != M{1});
    }
    *ones += count;
    if (strange != 0) *other = 1;
  }
}
