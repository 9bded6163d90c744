// Scores and masks by the vector: what all selection reads and writes with.

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
  if (lanes == kLanes<T>) return *reinterpret_cast<const typename MaskLanes<T, M>::unaligned*>(p);
  if constexpr (std::is_same_v<T, M>) return load_first<T>(p, lanes);
  typename MaskLanes<T, M>::type v{};
  for (int64_t i = 0; i < lanes; ++i) v[i] = p[i];
  return v;
}
template <class T, class M>
ESPALIER_INLINE void store_mask(M* p, typename MaskLanes<T, M>::type v, int64_t lanes) {
  if (lanes == kLanes<T>) *reinterpret_cast<typename MaskLanes<T, M>::unaligned*>(p) = v;
  else if constexpr (std::is_same_v<T, M>) store_first<T>(p, v, lanes);
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
