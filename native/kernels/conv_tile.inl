// The register tiles of the fast convolutions, and the passes of them over a plan's tables.

// A tile is R output channels by tile_vectors(R) vectors: as many accumulators as leave registers for
// the vectors and for one weight, and few enough loads to hide behind the products. Tiles of 13 by 2
// are no faster than 8 by 3, which divide the usual numbers of channels; nor did it help to prefetch
// the lines of the output before the sums, or the next band's input meanwhile, or to start every input
// row on a cache line.
constexpr int kMostRows = kRegisters == 32 ? 9 : 6;
constexpr int tile_vectors(int rows) {
  constexpr int kAccumulators = kRegisters == 32 ? 28 : 12;
  const int fitting = kAccumulators / rows < 8 ? kAccumulators / rows : 8;
  // What is loaded once a step takes registers as well: the shorter side, and one of the other.
  return rows * fitting + (rows < fitting ? rows : fitting) + 1 > kRegisters ? fitting - 1 : fitting;
}

// Channels are cut into tiles of nearly one height: tile t begins at channel t·out / tiles.
ESPALIER_INLINE int64_t tile_count(int64_t out, int64_t most) { return (out + most - 1) / most; }
ESPALIER_INLINE int64_t tile_begin(int64_t tile, int64_t tiles, int64_t out) { return tile * out / tiles; }

// The weights of one group as [tile][depth][rows of the tile].
template <class T>
void pack_weights(const Correlation& c, const T* weight, int64_t most, T* packed) {
  const int64_t tiles = tile_count(c.out, most);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = tile_begin(tile, tiles, c.out), rows = tile_begin(tile + 1, tiles, c.out) - begin;
    for (int64_t r = 0; r < rows; ++r) {
      T* to = packed + begin * c.depth() + r;
      for (int64_t channel = 0; channel < c.in; ++channel) {
        const T* const from = weight + (begin + r) * c.weight_out + channel * c.weight_in;
        for (int64_t tap = 0; tap < c.taps; ++tap, to += rows) *to = from[tap];
      }
    }
  }
}

// Some vectors of one plan part, for one tile of output channels.
template <class T>
struct Pass {
  const Step* steps;
  int64_t step_count;
  const int64_t *from, *to;
  const int32_t* lanes;
  int64_t vectors;
  const T* in;
  const T* weights;  // [depth][rows]
  const T* bias;     // of the tile's rows, or nullptr
  bool relu;
  T* out;
  int64_t out_pitch;  // between output channels
  int64_t spread;     // between the places of two lanes
};

// From vector `first` on, P at a time, and what is left over by narrower tiles.
template <class T, int R, int P = tile_vectors(R)>
void pass_rows(const Pass<T>& pass, int64_t first = 0) {
  for (; first + P <= pass.vectors; first += P) {
    const T* in[P];
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) in[p] = pass.in + pass.from[first + p];
    Vec<T> sum[R][P];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) sum[r][p] = pass.bias ? broadcast<T>(pass.bias[r]) : Vec<T>{};
    for (const Step *step = pass.steps, *end = step + pass.step_count; step < end; ++step) {
      const T* const weight = pass.weights + static_cast<int64_t>(step->weight) * R;
      const int64_t offset = step->in;
      if constexpr (R < P) {
        Vec<T> w[R];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) w[r] = broadcast<T>(weight[r]);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) {
          const Vec<T> v = in_register<T>(load<T>(in[p] + offset));
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r) sum[r][p] = fma<T>(w[r], v, sum[r][p]);
        }
      } else {
        Vec<T> v[P];
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) v[p] = load<T>(in[p] + offset);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
          const Vec<T> w = broadcast<T>(weight[r]);
#pragma GCC unroll 8
          for (int p = 0; p < P; ++p) sum[r][p] = fma<T>(w, v[p], sum[r][p]);
        }
      }
    }
    if (pass.relu) {
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) sum[r][p] = sum[r][p] < Vec<T>{} ? Vec<T>{} : sum[r][p];
    }
#pragma GCC unroll 8
    for (int p = 0; p < P; ++p) {
      T* const out = pass.out + pass.to[first + p];
      const int64_t lanes = pass.lanes[first + p];
      if (pass.spread != 1) {
        // Through memory: an accumulator's lanes cannot be told apart by a number.
        alignas(64) T values[R][kLanes<T>];
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) store<T>(values[r], sum[r][p]);
        for (int r = 0; r < R; ++r)
          for (int64_t i = 0; i < lanes; ++i) out[r * pass.out_pitch + i * pass.spread] = values[r][i];
      } else if (lanes == kLanes<T>) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) store<T>(out + r * pass.out_pitch, sum[r][p]);
      } else {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) store_first<T>(out + r * pass.out_pitch, sum[r][p], lanes);
      }
    }
  }
  if constexpr (P > 1)
    if (first < pass.vectors) pass_rows<T, R, P / 2>(pass, first);
}

// The same for any height of tile.
template <class T>
void run_pass(int64_t rows, const Pass<T>& pass) {
  switch (rows) {
    case 1: return pass_rows<T, 1>(pass);
    case 2: return pass_rows<T, 2>(pass);
    case 3: return pass_rows<T, 3>(pass);
    case 4: return pass_rows<T, 4>(pass);
    case 5: return pass_rows<T, 5>(pass);
    case 6: return pass_rows<T, 6>(pass);
  }
  if constexpr (kMostRows > 6) {
    switch (rows) {
      case 7: return pass_rows<T, 7>(pass);
      case 8: return pass_rows<T, 8>(pass);
      case 9: return pass_rows<T, 9>(pass);
    }
  }
}

// Every tile of output channels over the first `rows` lattice rows of a plan (all vectors where the
// plan has no rows). `rows_of(phase)` tells how many rows a phase has.
template <class T, class Vectors>
ESPALIER_INLINE void run_plan(const Correlation& c, const Plan& plan, int64_t spread, const T* in, const T* packed,
                              const T* bias, bool relu, T* out, int64_t out_pitch, Vectors vectors_of) {
  const int64_t tiles = tile_count(c.out, kMostRows);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t begin = tile_begin(tile, tiles, c.out), rows = tile_begin(tile + 1, tiles, c.out) - begin;
    for (const Part& part : plan.parts) {
      const int64_t first = part.first_vector;
      run_pass<T>(rows,
                  {plan.steps.data() + part.first_step, part.steps, plan.from.data() + first, plan.to.data() + first,
                   plan.lanes.data() + first, vectors_of(part), in, packed + begin * c.depth(),
                   bias ? bias + begin : nullptr, relu, out + begin * out_pitch, out_pitch, spread});
    }
  }
}
