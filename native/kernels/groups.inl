#include "kernels/mask_lanes.inl"

// An element of a Mask.
template <class T>
using Lane = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

// The first lanes' entries of a score array, and which of them count.
template <class T>
struct Entries {
  Vec<T> value;
  Mask<T> live;
};
template <class T, class M>
ESPALIER_INLINE Entries<T> entries(const kernels::Scored<T, M>& array, bool magnitude, int64_t i, int64_t lanes) {
  return {ranked<T>(array.score + i, magnitude, lanes),
          alive<T, M>(array.mask == nullptr ? nullptr : array.mask + i, lanes)};
}

// Writes 0 where an entry fell, the mask (or 1) elsewhere.
template <class T, class M>
ESPALIER_INLINE void settle(const kernels::Scored<T, M>& array, int64_t i, Mask<T> fell, int64_t lanes) {
  typedef MaskLanes<T, M> Lanes;
  typename Lanes::type before;
  if (array.mask == nullptr) before = typename Lanes::type{} + M{1};
  else before = load_mask<T, M>(array.mask + i, lanes);
  const auto gone = __builtin_convertvector(fell, typename Lanes::integers);
  store_mask<T, M>(array.result + i, gone ? typename Lanes::type{} : before, lanes);
}

// Within each Size neighbours of a vector, each is replaced by the one Step further on, round and round.
template <class V, int Size, int Step, int... I>
ESPALIER_INLINE V turn(V v, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(v, v, (I / Size * Size + (I + Step) % Size)...);
}

// Where an entry comes before one of its group: it is lower, or equal and the first by index, which `first` has
// −1 for and 0 elsewhere.
template <class T>
ESPALIER_INLINE Mask<T> comes_before(Vec<T> other, Vec<T> own, Mask<T> first) {
  return (other < own) | ((other == own) & first);
}

// The same for magnitudes, of which the bits are in their order as whole numbers and the difference of two has a
// sign: without a comparison, whose answer processors with mask registers hand back late.
template <class T>
ESPALIER_INLINE Mask<T> comes_before(Mask<T> other, Mask<T> own, Mask<T> first) {
  return (other - (own - first)) >> (8 * static_cast<int>(sizeof(T)) - 1);
}

// How many entries of its group come before each entry.
template <class T, int Size, bool Masked, class V, int Step = 1>
ESPALIER_INLINE void count_before(V own, Mask<T> live, Mask<T>* before) {
  if constexpr (Step < Size) {
    constexpr auto lanes = std::make_integer_sequence<int, kLanes<T>>{};
    Mask<T> first{};
    for (int i = 0; i < kLanes<T>; ++i) first[i] = i % Size + Step >= Size ? -1 : 0;
    Mask<T> counts = comes_before<T>(turn<V, Size, Step>(own, lanes), own, first);
    if constexpr (Masked) counts &= turn<Mask<T>, Size, Step>(live, lanes);
    *before -= counts;
    count_before<T, Size, Masked, V, Step + 1>(own, live, before);
  }
}

// Groups that divide a vector, side by side.
template <class T, class M, int Size, bool Masked, bool Magnitude>
void prune_neighbours(const kernels::Scored<T, M>& array, const kernels::Groups& groups) {
  typedef std::conditional_t<Magnitude, Mask<T>, Vec<T>> Keys;
  Mask<T> falling = Mask<T>{} + static_cast<Lane<T>>(groups.falls(0));
  by_vector<T>(0, array.n, [=, &falling](int64_t i, auto lanes) {
    const Entries<T> own = entries<T, M>(array, Magnitude, i, lanes);
    if (groups.each)
      for (int64_t lane = 0; lane < lanes; ++lane) falling[lane] = groups.falling[(i + lane) / Size];
    Mask<T> before{};
    count_before<T, Size, Masked, Keys>(reinterpret_cast<Keys>(own.value), own.live, &before);
    settle<T, M>(array, i, before < falling, lanes);
  });
}
template <class T, class M, int Size>
void prune_neighbours(const kernels::Scored<T, M>& array, bool magnitude, const kernels::Groups& groups) {
  if (array.mask != nullptr && magnitude) prune_neighbours<T, M, Size, true, true>(array, groups);
  else if (array.mask != nullptr) prune_neighbours<T, M, Size, true, false>(array, groups);
  else if (magnitude) prune_neighbours<T, M, Size, false, true>(array, groups);
  else prune_neighbours<T, M, Size, false, false>(array, groups);
}

// One vector of groups whose entries lie `inner` apart, a lane a group, the first of them at `begin`.
template <class T, class M, class Lanes>
ESPALIER_INLINE void prune_lanes(const kernels::Scored<T, M>& array, bool magnitude, const kernels::Groups& groups,
                                 int64_t begin, Mask<T> falling, Lanes lanes) {
  // (Lanes past the last group are never written: they may count as live.)
  const auto read = [&](int64_t i) -> Entries<T> {
    const int64_t at = begin + i * groups.inner;
    if (array.mask == nullptr) return {ranked<T>(array.score + at, magnitude, lanes), Mask<T>{} == Mask<T>{}};
    return entries<T, M>(array, magnitude, at, lanes);
  };
  Mask<T> fell[kLongestShort];
  for (int64_t i = 0; i < groups.size; ++i) {
    const Entries<T> own = read(i);
    Mask<T> before{};
    for (int64_t j = 0; j < i; ++j) {
      const Entries<T> other = read(j);
      before -= other.live & (other.value <= own.value);
    }
    for (int64_t j = i + 1; j < groups.size; ++j) {
      const Entries<T> other = read(j);
      before -= other.live & (other.value < own.value);
    }
    fell[i] = before < falling;
  }
  for (int64_t i = 0; i < groups.size; ++i) settle<T, M>(array, begin + i * groups.inner, fell[i], lanes);
}

// The groups of one outer index, whose entries lie `inner` apart.
template <class T, class M>
void prune_apart(const kernels::Scored<T, M>& array, bool magnitude, const kernels::Groups& groups, int64_t outer) {
  typedef std::integral_constant<int64_t, kLanes<T>> Whole;
  const int64_t inner = groups.inner, begin = outer * groups.size * inner;
  Mask<T> falling = Mask<T>{} + static_cast<Lane<T>>(groups.falls(0));
  for (int64_t n = 0; n < inner; n += kLanes<T>) {
    // The last whole vector reaches back over groups that are done, unless the masks it would read are
    // their results.
    if (inner < n + kLanes<T> && inner >= kLanes<T> && array.mask != array.result) n = inner - kLanes<T>;
    const int64_t lanes = std::min<int64_t>(kLanes<T>, inner - n);
    if (groups.each)
      for (int64_t lane = 0; lane < lanes; ++lane) falling[lane] = groups.falling[outer * inner + n + lane];
    if (lanes == kLanes<T>) prune_lanes<T, M>(array, magnitude, groups, begin + n, falling, Whole{});
    else prune_lanes<T, M>(array, magnitude, groups, begin + n, falling, lanes);
  }
}

// The short groups of some outer indices. Sets `done` to false where they are of a kind that is not for vectors.
template <class T, class M>
void prune_short(const kernels::Scored<T, M>& array, bool magnitude, const kernels::Groups& groups, bool* done) {
  *done = true;
  if (groups.inner > 1) {
    for (int64_t outer = 0; outer < groups.outer; ++outer) prune_apart<T, M>(array, magnitude, groups, outer);
    return;
  }
  if (groups.size == 2) prune_neighbours<T, M, 2>(array, magnitude, groups);
  else if (groups.size == 4 && kLanes<T> >= 4) prune_neighbours<T, M, std::min(4, kLanes<T>)>(array, magnitude, groups);
  else if (groups.size == 8 && kLanes<T> >= 8) prune_neighbours<T, M, std::min(8, kLanes<T>)>(array, magnitude, groups);
  else if (groups.size == 16 && kLanes<T> >= 16)
    prune_neighbours<T, M, std::min(16, kLanes<T>)>(array, magnitude, groups);
  else *done = false;
}

// counts[inner] += the entries of each row that are not 0.
template <class M>
void count_rows(const M* mask, int64_t size, int64_t inner, int32_t* counts) {
  if (inner == 1) {
    int32_t count = 0;
    for (int64_t i = 0; i < size; ++i) count += mask[i] != M{0};
    *counts += count;
    return;
  }
  for (int64_t i = 0; i < size; ++i)
    for (int64_t n = 0; n < inner; ++n) counts[n] += mask[i * inner + n] != M{0};
}
