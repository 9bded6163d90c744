// Shuffles built from their index pattern, for kernels that turn lanes into rows. Included by the
// kernels that need it, after vec.inl; their .cc includes <utility>.

template <int... Index, class V>
ESPALIER_INLINE V shuffle(V a, V b, std::integer_sequence<int, Index...>) {
  return __builtin_shufflevector(a, b, Index...);
}

// Lane i of the pattern is Pattern(i); from lanes on it counts those of the second operand.
template <class T, class Pattern, int... I>
constexpr auto pattern(std::integer_sequence<int, I...>) {
  return std::integer_sequence<int, Pattern::at(I)...>{};
}
template <class T, class Pattern>
ESPALIER_INLINE Vec<T> shuffle(Vec<T> a, Vec<T> b) {
  return shuffle(a, b, decltype(pattern<T, Pattern>(std::make_integer_sequence<int, kLanes<T>>{})){});
}

// a0 b0 a1 b1 … of the lower (0) or upper (1) halves.
template <class T, int Half>
struct Interleaved {
  static constexpr int at(int i) { return i / 2 + Half * kLanes<T> / 2 + (i % 2) * kLanes<T>; }
};

// rows[i][j] becomes rows[j][i]: interleaving row i with row i + lanes/2, log2(lanes) times over.
template <class T>
ESPALIER_INLINE void transpose(Vec<T> (&rows)[kLanes<T>]) {
  constexpr int kHalf = kLanes<T> / 2;
#pragma GCC unroll 4
  for (int stage = 1; stage < kLanes<T>; stage *= 2) {
    Vec<T> next[kLanes<T>];
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      next[2 * i] = shuffle<T, Interleaved<T, 0>>(rows[i], rows[i + kHalf]);
      next[2 * i + 1] = shuffle<T, Interleaved<T, 1>>(rows[i], rows[i + kHalf]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes<T>; ++i) rows[i] = next[i];
  }
}

// Where each value of a vector fills Width lanes: the first (0) or second (1) halves of all of them.
template <class T, int Width, int Half>
struct Halves {
  static constexpr int at(int i) { return i / (Width / 2) * Width + i % (Width / 2) + Half * (Width / 2); }
};

// The sums of the lanes of Count vectors, in order, in the first ⌈Count / lanes⌉ of them. A fixed tree.
template <class T, int Count, int Width = kLanes<T>>
ESPALIER_INLINE void sum_lanes_of_each(Vec<T>* v) {
  if constexpr (Width > 1) {
    constexpr int kPairs = (Count + 1) / 2;
#pragma GCC unroll 16
    for (int i = 0; i < kPairs; ++i) {
      const Vec<T> a = v[2 * i], b = 2 * i + 1 < Count ? v[2 * i + 1] : Vec<T>{};
      v[i] = shuffle<T, Halves<T, Width, 0>>(a, b) + shuffle<T, Halves<T, Width, 1>>(a, b);
    }
    sum_lanes_of_each<T, kPairs, Width / 2>(v);
  }
}

// Halves of every Width lanes: the first of a and the second of b (0), or the other ones, in each other's place (1).
template <int Width, int Crossed>
struct Crosswise {
  static constexpr int at(int i) {
    const bool low = i % Width < Width / 2;
    if (Crossed == 0) return low ? i : i + kLanes<float>;
    return low ? i + Width / 2 : i - Width / 2 + kLanes<float>;
  }
};
// The halves of every Width lanes added up: those of a in the first of them, those of b in the second. One half of each
// need not be moved.
template <int Width>
ESPALIER_INLINE Vec<float> sum_halves(Vec<float> a, Vec<float> b) {
  return shuffle<float, Crosswise<Width, 0>>(a, b) + shuffle<float, Crosswise<Width, 1>>(a, b);
}
// The sums of the lanes of as many vectors as a vector has lanes, in order, with half the shuffles that
// sum_lanes_of_each takes. Of fewer vectors, Count: lane i of every Count lanes has a part of the sum of vector i.
template <int Count = kLanes<float>>
ESPALIER_INLINE Vec<float> sum_lanes_of_all(Vec<float>* v) {
  if constexpr (Count == 1) return v[0];
  else {
#pragma GCC unroll 8
    for (int i = 0; i < Count / 2; ++i) v[i] = sum_halves<Count>(v[i], v[i + Count / 2]);
    return sum_lanes_of_all<Count / 2>(v);
  }
}

// Four neighbouring columns of as many rows as a vector has lanes, a vector a column: columns[j][i] = from[i·pitch +
// j]. Rows are read in pieces of four and the pieces put side by side by the loads, so that only the last two of
// `transpose`'s steps are left to the shuffles.
template <int Lanes>
struct Pieces {
  typedef float type __attribute__((vector_size(Lanes * 4)));
  template <int... I>
  ESPALIER_INLINE static type joined(typename Pieces<Lanes / 2>::type a, typename Pieces<Lanes / 2>::type b,
                                     std::integer_sequence<int, I...>) {
    return __builtin_shufflevector(a, b, I...);
  }
  // Piece k is of the row 4k further down.
  ESPALIER_INLINE static type load(const float* from, int64_t pitch) {
    return joined(Pieces<Lanes / 2>::load(from, pitch), Pieces<Lanes / 2>::load(from + Lanes / 2 * pitch, pitch),
                  std::make_integer_sequence<int, Lanes>{});
  }
};
template <>
struct Pieces<4> {
  typedef float type __attribute__((vector_size(16)));
  typedef float unaligned __attribute__((vector_size(16), aligned(4), may_alias));
  ESPALIER_INLINE static type load(const float* from, int64_t) { return *reinterpret_cast<const unaligned*>(from); }
};
// Within each piece of four: a0 b0 a1 b1 (0) or a2 b2 a3 b3 (1); a0 a1 b0 b1 (0) or a2 a3 b2 b3 (1).
template <int Half, int Lanes = kLanes<float>>
struct Singles {
  static constexpr int at(int i) { return i / 4 * 4 + i % 4 / 2 + 2 * Half + i % 2 * Lanes; }
};
template <int Half, int Lanes = kLanes<float>>
struct Doubles {
  static constexpr int at(int i) { return i / 4 * 4 + i % 2 + 2 * Half + i % 4 / 2 * Lanes; }
};
template <int Lanes = kLanes<float>>
ESPALIER_INLINE void load_columns(const float* from, int64_t pitch, typename Pieces<Lanes>::type (&columns)[4]) {
  using V = typename Pieces<Lanes>::type;
  constexpr auto kAll = std::make_integer_sequence<int, Lanes>{};
  const V r0 = Pieces<Lanes>::load(from, pitch), r1 = Pieces<Lanes>::load(from + pitch, pitch);
  const V r2 = Pieces<Lanes>::load(from + 2 * pitch, pitch), r3 = Pieces<Lanes>::load(from + 3 * pitch, pitch);
  const V low01 = shuffle(r0, r1, pattern<float, Singles<0, Lanes>>(kAll)),
          high01 = shuffle(r0, r1, pattern<float, Singles<1, Lanes>>(kAll));
  const V low23 = shuffle(r2, r3, pattern<float, Singles<0, Lanes>>(kAll)),
          high23 = shuffle(r2, r3, pattern<float, Singles<1, Lanes>>(kAll));
  columns[0] = shuffle(low01, low23, pattern<float, Doubles<0, Lanes>>(kAll));
  columns[1] = shuffle(low01, low23, pattern<float, Doubles<1, Lanes>>(kAll));
  columns[2] = shuffle(high01, high23, pattern<float, Doubles<0, Lanes>>(kAll));
  columns[3] = shuffle(high01, high23, pattern<float, Doubles<1, Lanes>>(kAll));
}
