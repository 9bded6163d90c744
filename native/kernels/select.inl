// Small vectors of mask elements, one for each lane of a Vec<T>.
template <class T, class M>
struct MaskLanes {
  typedef M type __attribute__((vector_size(kLanes<T> * sizeof(M))));
  typedef M unaligned __attribute__((vector_size(kLanes<T> * sizeof(M)), aligned(alignof(M)), may_alias));
  typedef std::conditional_t<sizeof(M) == 1, int8_t, std::conditional_t<sizeof(M) == 4, int32_t, int64_t>> Signed;
  typedef Signed integers __attribute__((vector_size(kLanes<T> * sizeof(M))));
};

// `lanes` entries of a mask from p on, zeros behind them; ones where there is no mask.
template <class T, class M>
ESPALIER_INLINE typename MaskLanes<T, M>::type load_mask(const M* p, int64_t lanes) {
  typename MaskLanes<T, M>::type v{};
  if (lanes == kLanes<T>) return *reinterpret_cast<const typename MaskLanes<T, M>::unaligned*>(p);
  for (int64_t i = 0; i < lanes; ++i) v[i] = p[i];
  return v;
}
template <class T, class M>
ESPALIER_INLINE void store_mask(M* p, typename MaskLanes<T, M>::type v, int64_t lanes) {
  if (lanes == kLanes<T>) *reinterpret_cast<typename MaskLanes<T, M>::unaligned*>(p) = v;
  else
    for (int64_t i = 0; i < lanes; ++i) p[i] = v[i];
}

// Calls body(i, lanes) for each vector of [begin, end): lanes is a constant for all but the last.
template <class T, class Body>
ESPALIER_INLINE void by_vector(int64_t begin, int64_t end, const Body& body) {
  int64_t i = begin;
  for (; i + kLanes<T> <= end; i += kLanes<T>) body(i, std::integral_constant<int64_t, kLanes<T>>{});
  if (i < end) body(i, end - i);
}

// What entries are ranked by. (Adding 0 makes −0 and 0 equal in every bit.)
template <class T>
ESPALIER_INLINE Vec<T> ranked(const T* x, bool magnitude, int64_t lanes) {
  const Vec<T> v = lanes == kLanes<T> ? load<T>(x) : load_first<T>(x, lanes);
  return magnitude ? abs<T>(v) : v + Vec<T>{};
}

// Which of the first `lanes` entries of a mask from p on are not 0.
template <class T, class M>
ESPALIER_INLINE Mask<T> alive(const M* p, int64_t lanes) {
  if (p != nullptr)
    return __builtin_convertvector(load_mask<T, M>(p, lanes) != typename MaskLanes<T, M>::type{}, Mask<T>);
  Mask<T> all = Mask<T>{} == Mask<T>{};
  for (int64_t i = lanes; i < kLanes<T>; ++i) all[i] = 0;
  return all;
}

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
