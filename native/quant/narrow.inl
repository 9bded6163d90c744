// A vector holds one neuron at as many places of the output: every register of it takes the same
// products in the same order. Int is wide enough that a register plus a product does not overflow it.

// A register's width.
template <class Int>
struct Register {
  ESPALIER_INLINE explicit Register(int bits)
      : low(broadcast<Int>(static_cast<Int>(-(int64_t{1} << (bits - 1))))),
        high(broadcast<Int>(static_cast<Int>((int64_t{1} << (bits - 1)) - 1))),
        shift(static_cast<int>(8 * sizeof(Int)) - bits) {}

  ESPALIER_INLINE Mask<Int> lost(Vec<Int> sum) const { return (sum < low) | (sum > high); }
  template <bool Saturate>
  ESPALIER_INLINE Vec<Int> kept(Vec<Int> sum) const {
    if constexpr (Saturate) return max<Int>(min<Int>(sum, high), low);
    // The bits above are shifted out, and the sign is brought back down.
    else return reinterpret_cast<Vec<Int>>(reinterpret_cast<Vec<std::make_unsigned_t<Int>>>(sum) << shift) >> shift;
  }

  Vec<Int> low, high;
  int shift;
};

// A register at work on a sum, with the place where it was first left.
template <class Int, bool Saturate, bool Watch>
struct Sum {
  Vec<Int> value, first;

  // (Written out: GCC makes a defaulted one without the instruction set it stands in.)
  ESPALIER_INLINE Sum() : value{}, first(broadcast<Int>(Int{-1})) {}

  ESPALIER_INLINE void note(Mask<Int> lost, Int step) {
    first = (lost & (first < Vec<Int>{})) ? broadcast<Int>(step) : first;
  }

  ESPALIER_INLINE void add(const Register<Int>& reg, Vec<Int> term, Int step) {
    const Vec<Int> sum = value + term;
    if constexpr (Watch) note(reg.lost(sum), step);
    value = reg.template kept<Saturate>(sum);
  }
  // Without the bits lost on the way, which nobody asks for: they are lost once, at the end.
  ESPALIER_INLINE void add_freely(Vec<Int> term) {
    typedef Vec<std::make_unsigned_t<Int>> Bits;
    value = reinterpret_cast<Vec<Int>>(reinterpret_cast<Bits>(value) + reinterpret_cast<Bits>(term));
  }
  // All positive terms and all negative ones, those first that leave the register by more.
  ESPALIER_INLINE void add_worst(const Register<Int>& reg, Vec<Int> positive, Vec<Int> negative, Int step) {
    const Vec<Int> top = value + positive, bottom = value + negative;
    if constexpr (Watch) note((top > reg.high) | (bottom < reg.low), step);
    const Vec<Int> downwards = reg.template kept<Saturate>(reg.template kept<Saturate>(top) + negative);
    const Vec<Int> upwards = reg.template kept<Saturate>(reg.template kept<Saturate>(bottom) + positive);
    value = top - reg.high >= reg.low - bottom ? downwards : upwards;
  }
};

// One neuron at a vector of places: `columns` holds its inputs there, a vector each `stride`, in the
// order of summation; the weight of the k-th is weight[order[k]].
template <class Int, bool Saturate, bool Watch>
ESPALIER_INLINE Sum<Int, Saturate, Watch> neuron(const quant::NarrowConv& conv, const Int* columns, int64_t stride,
                                                 const int32_t* weight, Int bias) {
  const int64_t fan_in = conv.fan_in();
  const Register<Int> outer(conv.bits), inner(conv.tiled ? conv.tile_bits : conv.bits);
  Sum<Int, Saturate, Watch> total;
  total.add(outer, broadcast<Int>(bias), 0);
  Vec<Int> positive_tiles{}, negative_tiles{};
  for (int64_t begin = 0; begin < fan_in; begin += conv.tile) {
    const int64_t end = std::min(fan_in, begin + conv.tile);
    Sum<Int, Saturate, Watch> sum = conv.tiled ? Sum<Int, Saturate, Watch>{} : total;
    Vec<Int> positive{}, negative{};
    for (int64_t k = begin; k < end; ++k) {
      const Int w = weight[conv.order == nullptr ? k : conv.order[k]];
      if (w == 0) continue;
      const Vec<Int> product = load<Int>(columns + k * stride) * broadcast<Int>(w);
      if (conv.worst) {
        positive += max<Int>(product, Vec<Int>{});
        negative += min<Int>(product, Vec<Int>{});
      } else if constexpr (Saturate || Watch) sum.add(inner, product, static_cast<Int>(k + 1));
      else sum.add_freely(product);
    }
    if (conv.worst) sum.add_worst(inner, positive, negative, static_cast<Int>(fan_in));
    else if constexpr (!Saturate && !Watch) sum.value = inner.template kept<false>(sum.value);
    if (!conv.tiled) return sum;
    if constexpr (Watch) total.first = total.first < Vec<Int>{} ? sum.first : total.first;
    if (conv.worst) {
      positive_tiles += max<Int>(sum.value, Vec<Int>{});
      negative_tiles += min<Int>(sum.value, Vec<Int>{});
    } else total.add(outer, sum.value, static_cast<Int>(end));
  }
  if (conv.worst && conv.tiled) total.add_worst(outer, positive_tiles, negative_tiles, static_cast<Int>(fan_in));
  return total;
}

// The inputs of one group at `count` places from `place` on, [fan-in, lanes], in the order of summation;
// what lies outside of the image, or behind the last place, is 0.
template <class Int>
void gather(const quant::NarrowConv& conv, int64_t group, int64_t place, int64_t count, Int* columns) {
  const espalier_conv2d& s = conv.shape;
  constexpr int64_t lanes = kLanes<Int>;
  const int64_t taps = s.kernel_height * s.kernel_width, in_group = s.in_channels / s.groups;
  const int64_t plane = s.in_height * s.in_width, fan_in = conv.fan_in();
  int64_t image[lanes], top[lanes], left[lanes];
  for (int64_t lane = 0; lane < count; ++lane) {
    const int64_t p = place + lane, row = p / s.out_width;
    image[lane] = (row / s.out_height * s.in_channels + group * in_group) * plane;
    top[lane] = row % s.out_height * s.stride_height - s.padding_top;
    left[lane] = p % s.out_width * s.stride_width - s.padding_left;
  }
  for (int64_t k = 0; k < fan_in; ++k) {
    const int64_t index = conv.order == nullptr ? k : conv.order[k];
    const int64_t channel = index / taps * plane, tap = index % taps;
    const int64_t down = tap / s.kernel_width * s.dilation_height, right = tap % s.kernel_width * s.dilation_width;
    Int* const to = columns + k * lanes;
    std::fill_n(to, lanes, Int{0});
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t y = top[lane] + down, x = left[lane] + right;
      if (y >= 0 && y < s.in_height && x >= 0 && x < s.in_width)
        to[lane] = conv.x[image[lane] + channel + y * s.in_width + x];
    }
  }
}

template <class Int, bool Saturate, bool Watch>
void narrow_conv2d_with(const quant::NarrowConv& conv) {
  const espalier_conv2d& s = conv.shape;
  constexpr int64_t lanes = kLanes<Int>;
  const int64_t out_plane = s.out_height * s.out_width, places = s.n * out_plane;
  const int64_t vectors = (places + lanes - 1) / lanes, out_group = s.out_channels / s.groups, fan_in = conv.fan_in();
  parallel_for(vectors * s.groups, [&](int64_t task) {
    const int64_t group = task / vectors, place = task % vectors * lanes, count = std::min(lanes, places - place);
    Int* const columns = scratch<Int>(Scratch::kColumns, std::max<int64_t>(1, fan_in * lanes));
    gather<Int>(conv, group, place, count, columns);
    for (int64_t o = group * out_group; o < (group + 1) * out_group; ++o) {
      const Int bias = conv.bias == nullptr ? Int{0} : static_cast<Int>(conv.bias[o]);
      const auto sum = neuron<Int, Saturate, Watch>(conv, columns, lanes, conv.weight + o * fan_in, bias);
      for (int64_t lane = 0; lane < count; ++lane) {
        const int64_t p = place + lane, at = (p / out_plane * s.out_channels + o) * out_plane + p % out_plane;
        conv.y[at] = static_cast<int32_t>(sum.value[lane]);
        if constexpr (Watch) conv.first[at] = static_cast<int32_t>(sum.first[lane]);
      }
    }
  });
}

template <class Int>
void narrow_conv2d(const quant::NarrowConv& conv) {
  if (conv.saturate) {
    if (conv.first != nullptr) narrow_conv2d_with<Int, true, true>(conv);
    else narrow_conv2d_with<Int, true, false>(conv);
  } else if (conv.first != nullptr) narrow_conv2d_with<Int, false, true>(conv);
  else narrow_conv2d_with<Int, false, false>(conv);
}
