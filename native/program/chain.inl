// A vector's registers through one function after the other.
template <int Vectors, class Apply>
ESPALIER_INLINE void each_vector(Vec<float> (&v)[Vectors], const ChainLink& link, int64_t at, Apply apply) {
  if (link.each) {
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) v[i] = apply(v[i], load<float>(link.by + at + i * kLanes<float>));
  } else {
    const Vec<float> by = broadcast(*link.by);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) v[i] = apply(v[i], by);
  }
}

// Each as kernels/elementwise.inl has it, to the bit, what is no number included.
template <int Vectors>
ESPALIER_INLINE void through(const ChainLink* link, int64_t links, int64_t at, Vec<float> (&v)[Vectors]) {
  typedef Vec<float> V;
  for (const ChainLink* const end = link + links; link < end; ++link) switch (link->function) {
      case ChainFunction::kAdd: each_vector(v, *link, at, [](V a, V b) { return a + b; }); break;
      case ChainFunction::kSub: each_vector(v, *link, at, [](V a, V b) { return a - b; }); break;
      case ChainFunction::kMul: each_vector(v, *link, at, [](V a, V b) { return a * b; }); break;
      case ChainFunction::kDiv: each_vector(v, *link, at, [](V a, V b) { return a / b; }); break;
      case ChainFunction::kMaximum:
        each_vector(v, *link, at, [](V a, V b) { return a != a ? a : max<float>(a, b); });
        break;
      case ChainFunction::kMinimum:
        each_vector(v, *link, at, [](V a, V b) { return a != a ? a : min<float>(a, b); });
        break;
      case ChainFunction::kRelu:
#pragma GCC unroll 8
        for (auto& one : v) one = max<float>(V{}, one);
        break;
      case ChainFunction::kClamp: {
        const V low = broadcast(link->low), high = broadcast(link->high);
#pragma GCC unroll 8
        for (auto& one : v) one = min<float>(high, max<float>(low, one));
        break;
      }
      case ChainFunction::kRound:
#pragma GCC unroll 8
        for (auto& one : v) one = round_even<float>(one);
        break;
      case ChainFunction::kAbs:
#pragma GCC unroll 8
        for (auto& one : v) one = abs<float>(one);
        break;
      case ChainFunction::kNeg:
#pragma GCC unroll 8
        for (auto& one : v) one = -one;
        break;
      case ChainFunction::kSquare:
#pragma GCC unroll 8
        for (auto& one : v) one = one * one;
        break;
    }
}

// Vectors at `at` … as long as whole groups of them are left.
template <int Vectors>
ESPALIER_INLINE int64_t groups_through(const ChainLink* link, int64_t links, int64_t at, int64_t end, const float* x,
                                       float* y) {
  for (; at + Vectors * kLanes<float> <= end; at += Vectors * kLanes<float>) {
    Vec<float> v[Vectors];
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) v[i] = load<float>(x + at + i * kLanes<float>);
    through(link, links, at, v);
#pragma GCC unroll 8
    for (int i = 0; i < Vectors; ++i) store<float>(y + at + i * kLanes<float>, v[i]);
  }
  return at;
}

// y = the links' functions of x, one behind the other; y may be x. What a link finds its operand by has to be decided
// for as many vectors as registers hold, or deciding takes longer than computing.
inline void chain_of_links(const ChainLink* link, int64_t links, int64_t length, const float* x, float* y) {
  if (length < kLanes<float>) {
    // (Less than a vector comes at ends of samples alone: operands are copied too.)
    float rest[kLanes<float>] = {}, by[kLanes<float>] = {};
    std::memcpy(rest, x, static_cast<size_t>(length) * sizeof(float));
    for (int64_t i = 0; i < links; ++i) {
      ChainLink one = link[i];
      if (one.each) {
        std::memcpy(by, one.by, static_cast<size_t>(length) * sizeof(float));
        one.by = by;
      }
      Vec<float> v[1] = {load<float>(rest)};
      through(&one, 1, 0, v);
      store<float>(rest, v[0]);
    }
    std::memcpy(y, rest, static_cast<size_t>(length) * sizeof(float));
    return;
  }
  // The last vector ends with x, and is read before y overwrites what it shares with the one before it.
  const int64_t last = length - kLanes<float>;
  Vec<float> end[1] = {load<float>(x + last)};
  int64_t at = groups_through<8>(link, links, 0, length, x, y);
  at = groups_through<2>(link, links, at, length, x, y);
  at = groups_through<1>(link, links, at, length, x, y);
  if (at == length) return;
  through(link, links, last, end);
  store<float>(y + last, end[0]);
}
