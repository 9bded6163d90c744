// The channels view: lanes are output channels, places are broadcast. Each tap of the kernel is a product of matrices,
// places × input channels × output channels, that is left out exactly where it falls beside the image: at 3×3 on
// 32×32 places, 4% of the work of a view that multiplies zeros there.
//
// The tiles run at a Zen 5's peak; what is left to save is the copy of the input (5% of 64 to 64 channels, 3×3, 32×32)
// and turning the output back (2%). Tried without gain: prefetching the next image's input between tiles, to the
// second level or the third. Bands of half an image lost 6%; for the weight's gradient, going over 4 to 16 rows of a
// band at a time made no difference.

// Output channels go by blocks of two vectors, the last of one where that suffices.
template <class T>
constexpr int64_t kBlock = 2 * kLanes<T>;
template <class T>
ESPALIER_INLINE int64_t block_width(const Correlation& c, int64_t channel) {
  return c.out - channel > kLanes<T> ? kBlock<T> : kLanes<T>;
}
template <class T>
ESPALIER_INLINE int64_t padded_out(const Correlation& c) {
  return (c.out + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
}

// Places by vectors in registers; a step of the sum takes a vector load for each of N and a broadcast for each of R.
constexpr int kChannelRows = kRegisters == 32 ? 14 : (ESPALIER_LEVEL == 1 ? 6 : 5);

// sums[i][j] += Σ a[i·a_row + p·a_column] · b[p][j] for p < k, i in [First, Last).
template <class T, int R, int N, int First, int Last>
ESPALIER_INLINE void add_products(Vec<T> (&sums)[R][N], int64_t k, const T* a, int64_t a_row, int64_t a_column,
                                  const T* b) {
  for (; k > 0; --k, a += a_column, b += N * kLanes<T>) {
    Vec<T> v[N];
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) v[j] = load<T>(b + j * kLanes<T>);
#pragma GCC unroll 16
    for (int i = First; i < Last; ++i) {
      const Vec<T> x = broadcast<T>(a[i * a_row]);
#pragma GCC unroll 2
      for (int j = 0; j < N; ++j) sums[i][j] = fma<T>(x, v[j], sums[i][j]);
    }
  }
}

// R neighbouring places of a lattice row by N vectors of output channels, to [R][N][lanes]. `in` is where a run with
// an offset of 0 reads at the first of them; `weights` [run][input channel][N][lanes].
template <class T, int R, int N>
[[gnu::noinline]] void channels_tile(const Run* runs, int64_t count, int64_t channels, int64_t pitch, const T* in,
                                     const T* weights, const T* bias, int64_t row, int64_t column, T* to) {
  Vec<T> sums[R][N];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sums[i][j] = bias ? load<T>(bias + j * kLanes<T>) : Vec<T>{};
  for (int64_t r = 0; r < count; ++r, weights += channels * N * kLanes<T>) {
    const Run& run = runs[r];
    if (row < run.rows.begin || row >= run.rows.end) continue;
    const T* const a = in + run.in;
    // Of places beside the image, one at either end is left out; for more, the copy holds zeros.
    const bool first = run.columns.begin == column + 1, last = run.columns.end == column + R - 1;
    if (R > 1 && first) add_products<T, R, N, 1, R>(sums, channels, a, 1, pitch, weights);
    else if (R > 1 && last) add_products<T, R, N, 0, R - 1>(sums, channels, a, 1, pitch, weights);
    else add_products<T, R, N, 0, R>(sums, channels, a, 1, pitch, weights);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) store<T>(to + (i * N + j) * kLanes<T>, sums[i][j]);
}
template <class T, int N, int R = kChannelRows>
ESPALIER_INLINE void any_channels_tile(int64_t places, const Run* runs, int64_t count, int64_t channels, int64_t pitch,
                                       const T* in, const T* weights, const T* bias, int64_t row, int64_t column,
                                       T* to) {
  if constexpr (R > 1) {
    if (places != R)
      return any_channels_tile<T, N, R - 1>(places, runs, count, channels, pitch, in, weights, bias, row, column, to);
  }
  channels_tile<T, R, N>(runs, count, channels, pitch, in, weights, bias, row, column, to);
}

// The weights of one group as [block][run][input channel][block's width], zeros for channels that are missing.
template <class T>
void pack_channels(const Correlation& c, const ChannelsPlan& plan, const T* weight, T* packed) {
  const int64_t runs = static_cast<int64_t>(plan.runs.size());
  std::memset(packed, 0, static_cast<size_t>(padded_out<T>(c) * c.in * runs) * sizeof(T));
  for (int64_t o = 0; o < c.out; ++o) {
    const int64_t block = o / kBlock<T> * kBlock<T>, width = block_width<T>(c, block);
    for (int64_t channel = 0; channel < c.in; ++channel) {
      const T* const from = weight + o * c.weight_out + channel * c.weight_in;
      T* to = packed + block * c.in * runs + channel * width + o - block;
      for (const Run& run : plan.runs) {
        *to = from[run.tap];
        to += c.in * width;
      }
    }
  }
}

// [places][width] to planes of channels, `pitch` apart, at places `spread` apart: squares [begin, end) of lanes by
// lanes, those of the first places first.
template <class T>
void channels_outside(const T* line, int64_t places, int64_t width, int64_t channels, bool relu, T* y, int64_t pitch,
                      int64_t spread, int64_t begin, int64_t end) {
  constexpr int64_t L = kLanes<T>;
  const int64_t across = width / L;
  for (int64_t square = begin; square < end; ++square) {
    const int64_t j = square / across * L, channel = square % across * L;
    const int64_t count = std::min(places - j, L), present = std::min(channels - channel, L);
    const T* const from = line + j * width + channel;
    T* const to = y + channel * pitch + j * spread;
    Vec<T> v[L];
#pragma GCC unroll 16
    for (int64_t i = 0; i < L; ++i) {
      v[i] = i < count ? load<T>(from + i * width) : Vec<T>{};
      if (relu) v[i] = v[i] < Vec<T>{} ? Vec<T>{} : v[i];
    }
    transpose<T>(v);
    if (spread != 1) {
      alignas(64) T values[L][L];
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i) store<T>(values[i], v[i]);
      for (int64_t i = 0; i < present; ++i)
        for (int64_t l = 0; l < count; ++l) to[i * pitch + l * spread] = values[i][l];
    } else if (count == L && present == L) {
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i) store<T>(to + i * pitch, v[i]);
    } else {
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i)
        if (i < present) store_first<T>(to + i * pitch, v[i], count);
    }
  }
}

// Planes of channels, `pitch` apart, to [places][width]; zeros for channels that are missing.
template <class T>
void channels_inside(const T* from, int64_t places, int64_t width, int64_t channels, int64_t pitch, T* to) {
  constexpr int64_t L = kLanes<T>;
  for (int64_t half = 0; half < width; half += L, channels -= L, from += L * pitch, to += L) {
    for (int64_t j = 0; j < places; j += L) {
      const int64_t count = places - j < L ? places - j : L;
      Vec<T> v[L];
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i)
        v[i] = i >= channels ? Vec<T>{}
               : count == L  ? load<T>(from + i * pitch + j)
                             : load_first<T>(from + i * pitch + j, count);
      transpose<T>(v);
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i)
        if (i < count) store<T>(to + (j + i) * width, v[i]);
    }
  }
}

template <class T>
void correlate_channels(const Correlation& c, const ChannelsPlan& plan, const T* x, const T* weight, const T* bias,
                        bool relu, T* y) {
  const int64_t runs = static_cast<int64_t>(plan.runs.size()), padded = padded_out<T>(c);
  const int64_t group_size = padded * c.in * runs;
  T* const packed = scratch<T>(Scratch::kPackA, c.groups * group_size);
  T* const biases = bias ? scratch<T>(Scratch::kPackB, c.groups * padded) : nullptr;
  for (int64_t group = 0; group < c.groups; ++group) {
    pack_channels<T>(c, plan, weight + group * c.weight_group, packed + group * group_size);
    for (int64_t o = 0; bias && o < padded; ++o)
      biases[group * padded + o] = o < c.out ? bias[group * c.out + o] : T(0);
  }
  const Band& band = plan.band;
  const int64_t cost = runs * c.in * c.out * band.band * c.columns.lattice(0) / kLanes<T>;
  parallel_ranges(c.n * c.groups * band.bands, 1 + kConvGrain / (cost + 1), [&](int64_t task, int64_t last) {
    T* const in = scratch<T>(Scratch::kColumns, c.in * band.channel());
    std::memset(in, 0, static_cast<size_t>(c.in * band.channel()) * sizeof(T));
    const int64_t line = c.columns.lattice(0) * kBlock<T>;
    T* const lines = scratch<T>(Scratch::kPartial, 2 * line);
    for (; task < last; ++task) {
      const int64_t plane = task / band.bands, group = plane % c.groups, first = task % band.bands * band.band;
      copy_band<T>(c, band, x + plane * c.in * c.in_plane(), first * c.rows.stride + c.rows.lowest, in);
      for (int64_t channel = 0; channel < c.out; channel += kBlock<T>) {
        const int64_t width = block_width<T>(c, channel);
        const int64_t channels = c.out - channel < width ? c.out - channel : width;
        for (const ChannelsPlan::Phase& phase : plan.phases) {
          const T* const weights = packed + group * group_size + channel * c.in * runs + phase.first_run * c.in * width;
          const T* const starts = bias ? biases + group * padded + channel : nullptr;
          const Run* const first_run = plan.runs.data() + phase.first_run;
          const int64_t end = std::min(first + band.band, phase.rows);
          const int64_t tiles = tile_count(phase.columns, kChannelRows);
          const int64_t squares = (phase.columns + kLanes<T> - 1) / kLanes<T> * (width / kLanes<T>);
          T* const to =
              y + (plane * c.out + channel) * c.out_plane() + phase.row_phase * c.columns.out + phase.column_phase;
          // A row leaves while the next is computed, some squares after each tile: stores to as many planes at once
          // would wait for each other.
          for (int64_t row = first; row <= end && first < end; ++row) {
            const T* const from = in + (row - first) * c.rows.stride * band.row();
            T* const sums = lines + (row & 1) * line;
            const T* const done = lines + (~row & 1) * line;
            for (int64_t tile = 0; tile < tiles; ++tile) {
              const int64_t column = tile_begin(tile, tiles, phase.columns);
              const int64_t places = tile_begin(tile + 1, tiles, phase.columns) - column;
              if (row < end) {
                if (width == kBlock<T>)
                  any_channels_tile<T, 2>(places, first_run, phase.run_count, c.in, band.channel(), from + column,
                                          weights, starts, row, column, sums + column * width);
                else
                  any_channels_tile<T, 1>(places, first_run, phase.run_count, c.in, band.channel(), from + column,
                                          weights, starts, row, column, sums + column * width);
              }
              if (row > first)
                channels_outside<T>(done, phase.columns, width, channels, relu,
                                    to + (row - 1) * c.rows.step * c.columns.out, c.out_plane(), c.columns.step,
                                    tile * squares / tiles, (tile + 1) * squares / tiles);
            }
          }
        }
      }
    }
  });
}

// R input channels by N vectors of output channels of one tap, over rows [begin, end) of a band that starts at row
// `first`; dy [place][N][lanes]. Adds to sums [R][N][lanes].
template <class T, int R, int N>
[[gnu::noinline]] void channels_grad_tile(const Correlation& c, const Band& band, const Run& run, int64_t first,
                                          int64_t begin, int64_t end, bool fresh, const T* in, const T* dy, T* to) {
  Vec<T> sums[R][N];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) sums[i][j] = fresh ? Vec<T>{} : load<T>(to + (i * N + j) * kLanes<T>);
  const int64_t left = run.columns.begin, count = run.columns.end - left;
  for (int64_t row = begin; row < end; ++row)
    add_products<T, R, N, 0, R>(sums, count, in + run.in + (row - first) * c.rows.stride * band.row() + left,
                                band.channel(), 1, dy + ((row - first) * c.columns.out + left) * N * kLanes<T>);
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i)
#pragma GCC unroll 2
    for (int j = 0; j < N; ++j) store<T>(to + (i * N + j) * kLanes<T>, sums[i][j]);
}
template <class T, int N, int R = kChannelRows>
ESPALIER_INLINE void any_channels_grad_tile(int64_t channels, const Correlation& c, const Band& band, const Run& run,
                                            int64_t first, int64_t begin, int64_t end, bool fresh, const T* in,
                                            const T* dy, T* to) {
  if constexpr (R > 1) {
    if (channels != R)
      return any_channels_grad_tile<T, N, R - 1>(channels, c, band, run, first, begin, end, fresh, in, dy, to);
  }
  channels_grad_tile<T, R, N>(c, band, run, first, begin, end, fresh, in, dy, to);
}

template <class T>
void weight_grad_channels(const Correlation& c, const ChannelsPlan& plan, const T* x, const T* dy, T* dweight) {
  const Band& band = plan.band;
  const int64_t runs = static_cast<int64_t>(plan.runs.size()), padded = padded_out<T>(c), size = padded * c.in * runs;
  const int64_t planes = c.n * band.bands, tiles = tile_count(c.in, kChannelRows);
  const int64_t cost = band.band * c.columns.out * c.in * runs * padded / kLanes<T>;
  const int64_t chunks = grad_chunks(planes, planes * cost, c.groups * size);
  T* const all_sums = scratch<T>(Scratch::kPackB, c.groups * chunks * size);
  parallel_ranges(c.groups * chunks, 1 + kConvGrain / (cost * (planes / chunks) + 1), [&](int64_t task, int64_t last) {
    T* const in = scratch<T>(Scratch::kColumns, c.in * band.channel());
    std::memset(in, 0, static_cast<size_t>(c.in * band.channel()) * sizeof(T));
    T* const left = scratch<T>(Scratch::kOther, band.band * c.columns.out * padded);
    for (; task < last; ++task) {
      const int64_t group = task / chunks, chunk = task % chunks;
      T* const sums = all_sums + task * size;
      const int64_t begin_plane = chunk * planes / chunks;
      for (int64_t index = begin_plane; index < (chunk + 1) * planes / chunks; ++index) {
        const int64_t plane = index / band.bands * c.groups + group, first = index % band.bands * band.band;
        const int64_t end = first + band.band < c.rows.out ? first + band.band : c.rows.out;
        const bool fresh = index == begin_plane;
        const int64_t places = (end - first) * c.columns.out;
        copy_band<T>(c, band, x + plane * c.in * c.in_plane(), first * c.rows.stride + c.rows.lowest, in);
        for (int64_t channel = 0; channel < c.out; channel += kBlock<T>) {
          const int64_t width = block_width<T>(c, channel);
          channels_inside<T>(dy + (plane * c.out + channel) * c.out_plane() + first * c.columns.out, places, width,
                             c.out - channel < width ? c.out - channel : width, c.out_plane(), left + channel * places);
        }
        for (int64_t channel = 0; channel < c.out; channel += kBlock<T>) {
          const int64_t width = block_width<T>(c, channel);
          for (int64_t r = 0; r < runs; ++r) {
            const Run& run = plan.runs[static_cast<size_t>(r)];
            const int64_t low = std::max(first, run.rows.begin), high = std::min(end, run.rows.end);
            for (int64_t tile = 0; tile < tiles; ++tile) {
              const int64_t begin = tile_begin(tile, tiles, c.in), count = tile_begin(tile + 1, tiles, c.in) - begin;
              T* const to = sums + channel * c.in * runs + (r * c.in + begin) * width;
              const T* const from = in + begin * band.channel();
              const T* const right = left + channel * places;
              if (width == kBlock<T>)
                any_channels_grad_tile<T, 2>(count, c, band, run, first, low, high, fresh, from, right, to);
              else any_channels_grad_tile<T, 1>(count, c, band, run, first, low, high, fresh, from, right, to);
            }
          }
        }
      }
    }
  });
  // Runs stand in the order of the taps, and a vector of output channels lies as [tap][input channel].
  constexpr int64_t L = kLanes<T>;
  const int64_t halves = padded / L, depth = c.depth();
  parallel_ranges(c.groups * halves, 1 + kConvGrain / (depth * chunks), [&](int64_t task, int64_t last) {
    for (; task < last; ++task) {
      const int64_t group = task / halves, o = task % halves * L, channel = o / kBlock<T> * kBlock<T>;
      const int64_t width = block_width<T>(c, channel), present = c.out - o < L ? c.out - o : L;
      const T* const from = all_sums + group * chunks * size + channel * depth + o - channel;
      for (int64_t e = 0; e < depth; e += L) {
        const int64_t count = depth - e < L ? depth - e : L;
        Vec<T> v[L];
        for (int64_t i = 0; i < L; ++i) {
          const int64_t tap = (e + i) % c.taps, in = (e + i) / c.taps;
          const T* at = from + (tap * c.in + in) * width;
          v[i] = i < count ? load<T>(at) : Vec<T>{};
          for (int64_t chunk = 1; i < count && chunk < chunks; ++chunk) v[i] = v[i] + load<T>(at += size);
        }
        transpose<T>(v);
        T* const to = dweight + (group * c.out + o) * depth + e;
#pragma GCC unroll 16
        for (int64_t i = 0; i < L; ++i)
          if (i < present) store_first<T>(to + i * depth, v[i], count);
      }
    }
  });
}
