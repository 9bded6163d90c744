#include "simd/transpose.inl"

// Vectors of a row of dY that stay in registers: 64 samples, where registers suffice.
constexpr int kSampledVectors = kLanes<float> == 16 ? 4 : 8;

inline void sampled_panels(int64_t& most) { most = kSampledVectors * kLanes<float> / 16; }
// The offsets of a piece, four at a time. Each four is read before the products of the four before it: addresses that
// are known when their loads are issued made these a tenth faster.
struct Offsets {
  const uint16_t* at;
  uint64_t next;

  explicit Offsets(const uint16_t* from) : at(from) { std::memcpy(&next, at, sizeof next); }
  ESPALIER_INLINE uint64_t take() {
    static_assert(kOffsetsTogether * sizeof(uint16_t) == sizeof(uint64_t));
    const uint64_t taken = next;
    at += kOffsetsTogether;
    std::memcpy(&next, at, sizeof next);
    return taken;
  }
};
// The one whose turn it is: the others follow by shifts.
ESPALIER_INLINE const float* moved_by(const float* x, uint64_t offsets) {
  constexpr bool kLowFirst = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
  return reinterpret_cast<const float*>(reinterpret_cast<const char*>(x) +
                                        (kLowFirst ? offsets & 0xFFFF : offsets >> 48));
}
ESPALIER_INLINE uint64_t following(uint64_t offsets) {
  return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? offsets >> 16 : offsets << 16;
}

// Lanes 0 and 2 (0) or 1 and 3 (1) of every four of a, then of b.
template <int Half>
struct Alternate {
  static constexpr int at(int i) { return i / 4 * 4 + i % 2 * 2 + Half + i % 4 / 2 * kLanes<float>; }
};
// sum_lanes_of_all<4> in fewer shuffles, by what eight lanes and more have: one that takes two of every four of each
// operand. Lanes that stay in their places are chosen as whole numbers, which GCC does by a blend: any port can do
// that, and shuffles share theirs with multiply-adds.
ESPALIER_INLINE Vec<float> sum_lanes_of_four(const Vec<float>* v) {
  const auto halves = [](Vec<float> a, Vec<float> b) {
    const auto in_place = shuffle<int32_t, Crosswise<4, 0>>((Vec<int32_t>)a, (Vec<int32_t>)b);
    return (Vec<float>)in_place + shuffle<float, Crosswise<4, 1>>(a, b);
  };
  const Vec<float> first = halves(v[0], v[1]), second = halves(v[2], v[3]);
  return shuffle<float, Alternate<0>>(first, second) + shuffle<float, Alternate<1>>(first, second);
}

// The products of an entry, lane by lane.
template <int Vectors>
ESPALIER_INLINE Vec<float> product_of_lanes(const Vec<float>* of_row, const float* x) {
  constexpr int kStep = kLanes<float>;
  Vec<float> sum = of_row[0] * load<float>(x);
  if constexpr (kStep == 8 && Vectors == 8) {
    // Two chains: eight multiply-adds that wait for each other fill the queues of a Zen 3 before there is one for each
    // cycle of both its ports. Its additions have ports of their own.
    Vec<float> odd = of_row[1] * load<float>(x + kStep);
#pragma GCC unroll 8
    for (int v = 2; v < Vectors; v += 2) {
      sum = fma<float>(of_row[v], load<float>(x + v * kStep), sum);
      odd = fma<float>(of_row[v + 1], load<float>(x + (v + 1) * kStep), odd);
    }
    return sum + odd;
  }
#pragma GCC unroll 8
  for (int v = 1; v < Vectors; ++v) sum = fma<float>(of_row[v], load<float>(x + v * kStep), sum);
  return sum;
}

// The products of up to four entries. Lane 4q + i of the result holds a quarter, an eighth, … of entry i's lanes.
template <int Vectors, int Entries>
ESPALIER_INLINE Vec<float> products(const Vec<float>* of_row, const float* x, uint64_t offsets) {
  Vec<float> sum[4] = {};
#pragma GCC unroll 4
  for (int i = 0; i < Entries; ++i, offsets = following(offsets))
    sum[i] = product_of_lanes<Vectors>(of_row, moved_by(x, offsets));
  if constexpr (kLanes<float> == 4) return sum_lanes_of_all<4>(sum);
  else return sum_lanes_of_four(sum);
}

// The sums of a vector's worth of entries, a lane an entry; lanes past the last are 0.
template <int Vectors, int Entries>
ESPALIER_INLINE Vec<float> vector_of_sums(const Vec<float>* of_row, const float* x, Offsets& offsets) {
  constexpr int kFours = kLanes<float> / 4, kWhole = Entries / 4;
  Vec<float> four[kFours] = {};
#pragma GCC unroll 4
  for (int f = 0; f < kWhole; ++f) four[f] = products<Vectors, 4>(of_row, x, offsets.take());
  if constexpr (Entries % 4 > 0) four[kWhole] = products<Vectors, Entries % 4>(of_row, x, offsets.take());
  if constexpr (kFours == 4) return sum_halves<8>(sum_halves<16>(four[0], four[2]), sum_halves<16>(four[1], four[3]));
  else if constexpr (kFours == 2) return sum_halves<8>(four[0], four[1]);
  else return four[0];
}

// Pieces of whole vectors and Rest entries.
template <int Vectors, int Rest>
[[gnu::noinline]] void sampled_run(int pieces, int whole, const SampledPlan::Piece* piece, Offsets& offsets,
                                   const SampledRows& dy, const float* x, const SampledSums& where, float*& sums) {
  constexpr int kStep = kLanes<float>;
  // (Copies of what the caller has: it would be read anew after every store.)
  const SampledSums to = where;
  const float* const at = dy.at;
  const sparse::Layout layout = dy.layout;
  Offsets here = offsets;
  float* sum = sums;
  for (const SampledPlan::Piece* const end = piece + pieces; piece < end; ++piece) {
    const auto row = [&](int i, int v) {
      return at + piece[i].row * layout.component + v * kStep / 16 * layout.panel + v * kStep % 16;
    };
    Vec<float> of_row[Vectors];
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; ++v) of_row[v] = load<float>(row(0, v));
#pragma GCC unroll 8
    for (int v = 0; v < Vectors; v += 16 / kStep) __builtin_prefetch(row(kPiecesAhead, v));
    float* value = to.values + piece->entry;
    const auto leave = [&](Vec<float> made, auto count) {
      if (!to.first) made = made + load<float>(sum);
      if (!to.last) store<float>(sum, made);
      else {
        if (to.adds) made = made + load_first<float>(value, count);
        if constexpr (count == kStep) store<float>(value, made);
        else store_first<float>(value, made, count);
      }
      sum += kStep, value += kStep;
    };
    for (int i = 0; i < whole; ++i)
      leave(vector_of_sums<Vectors, kStep>(of_row, x, here), std::integral_constant<int, kStep>());
    if constexpr (Rest > 0) leave(vector_of_sums<Vectors, Rest>(of_row, x, here), std::integral_constant<int, Rest>());
  }
  offsets = here;
  sums = sum;
}

// The run with that many entries past its whole vectors.
template <int Vectors, int Rest = kLanes<float> - 1, class... Arguments>
void any_run(int rest, Arguments&&... arguments) {
  if constexpr (Rest > 0) {
    if (rest < Rest) return any_run<Vectors, Rest - 1>(rest, arguments...);
  }
  sampled_run<Vectors, Rest>(arguments...);
}

template <int Vectors>
void sampled_pass(const SampledPlan& plan, int64_t task, const SampledRows& dy, const float* x, const SampledSums& to) {
  constexpr int kStep = kLanes<float>;
  const SampledPlan::Task& from = plan.tasks[task];
  const SampledPlan::Piece* piece = plan.pieces.data() + from.piece;
  Offsets offsets(plan.offset.data() + from.offset);
  float* sums = to.sums + from.sum;
  for (int64_t i = from.run; i < plan.tasks[task + 1].run; ++i) {
    const auto [pieces, entries] = plan.runs[i];
    any_run<Vectors>(entries % kStep, pieces, entries / kStep, piece, offsets, dy, x, to, sums);
    piece += pieces;
  }
}

template <int Vectors = kSampledVectors>
void sampled_task(const SampledPlan& plan, int64_t task, int64_t panels, const SampledRows& dy, const float* x,
                  const SampledSums& to) {
  if constexpr (Vectors * kLanes < float >> 16) {
    if (panels * 16 < Vectors * kLanes<float>) return sampled_task<Vectors / 2>(plan, task, panels, dy, x, to);
  }
  sampled_pass<Vectors>(plan, task, dy, x, to);
}
