// Convolutions by the kept elements of a weight: the lattice, the lists of the gradient of x, and the functions of the
// C interface. How the kernels work stands in sparse_conv.cuh.
#include "cuda/sparse_conv.cuh"

#include "core/conv_shape.h"
#include "cuda/conv_dense.cuh"
#include "cuda/sparse_conv.h"

namespace espalier::cuda::sparse_conv {
namespace {

// Along one axis the shifts of the first tap and the last, of planes that are read a step apart.
struct Reach {
  int64_t least, most;
};
int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }
Reach reach(int64_t kernel, int64_t step, int64_t padding, int64_t dilation) {
  return {floor_div(-padding, step), floor_div((kernel - 1) * dilation - padding, step)};
}
Reach backwards(Reach r) { return {-r.most, -r.least}; }

// How far apart lines of the lattice are, so that what a shift finds beyond either end of one is zero.
int64_t pitch(int64_t read, int64_t written, Reach r) {
  return std::max({int64_t{1}, read, read - r.least, written, written + r.most});
}

int64_t taps_of(const espalier_conv2d& s) { return s.kernel_height * s.kernel_width; }

struct Reaches {
  Reach rows, columns;
};
Reaches reaches(const espalier_conv2d& s, bool back) {
  const Reach rows = reach(s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  const Reach columns = reach(s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  return back ? Reaches{backwards(rows), backwards(columns)} : Reaches{rows, columns};
}

Side side_x(const espalier_conv2d& s) {
  return {s.in_channels / s.groups, s.in_height,    s.in_width,
          s.stride_height,          s.stride_width, s.in_channels * s.in_height * s.in_width};
}
Side side_y(const espalier_conv2d& s) {
  return {s.out_channels / s.groups, s.out_height, s.out_width, 1, 1, s.out_channels * s.out_height * s.out_width};
}

// Lays the lattice out for so many pixels a lane, with planes of type W in shared memory; false where a tile of one
// channel, with what taps reach and in all its planes, is too large for that, or the whole for the integers. back: dy
// is read and dx written.
template <class W>
bool lay_out(const espalier_conv2d& s, bool back, int pixels, Lattice& to) {
  constexpr int64_t kFar = int64_t{1} << 20, kMost = int64_t{1} << 31;
  const Reaches shifts = reaches(s, back);
  const Side from = back ? side_y(s) : side_x(s), onto = back ? side_x(s) : side_y(s);
  // (Where there are no channels, a kernel may be of any size.)
  if (s.stride_height * s.stride_width >= kFar || taps_of(s) >= kFar) return false;
  if (shifts.rows.most - shifts.rows.least >= kFar || shifts.columns.most - shifts.columns.least >= kFar) return false;
  const int64_t rows = pitch(ceil_div(from.height, from.row_step), ceil_div(onto.height, onto.row_step), shifts.rows);
  const int64_t columns =
      pitch(ceil_div(from.width, from.column_step), ceil_div(onto.width, onto.column_step), shifts.columns);
  if (rows >= kMost || columns >= kMost || rows * columns >= kMost) return false;
  const int64_t length =
      32 * pixels + (shifts.rows.most - shifts.rows.least) * columns + shifts.columns.most - shifts.columns.least;
  if (length >= kFar || length * from.phases() >= kFar) return false;
  const int64_t channel_length = length * from.phases();
  // Places in the images that a tile lies in are int32.
  if (length / (rows * columns) + 2 > kMost / std::max<int64_t>(from.image, 1)) return false;
  if (onto.phases() * onto.channels * s.groups >= kMost / 2) return false;
  // So are a list's columns, channel·taps + tap, all below kNever.
  if (from.channels * taps_of(s) >= kMost - 1) return false;

  // Two blocks to a multiprocessor, where a channel fits so: one brings planes while the other multiplies.
  const auto fits = [&](int64_t room) {
    return (room - kEntriesBytes<W> - channel_length * int64_t{sizeof(int32_t)}) /
           (channel_length * int64_t{sizeof(W)});
  };
  const int64_t whole = traits().shared_optin, half = (whole - 1024) / 2;  // each takes 1 KiB beside what it asks for
  const int64_t most = fits(half) >= 1 ? fits(half) : fits(whole);
  if (most < 1) return false;
  const int64_t chunks = std::max<int64_t>(1, ceil_div(from.channels, most));
  to = {from,
        onto,
        s.n,
        s.groups,
        Divider(rows),
        Divider(columns),
        Divider(s.kernel_height * s.kernel_width),
        shifts.rows.least * columns + shifts.columns.least,
        pixels,
        static_cast<int>(length),
        static_cast<int>(channel_length),
        static_cast<int>(std::max<int64_t>(1, ceil_div(from.channels, chunks)))};
  return true;
}

// The lattice with the pixels that suit the device; false where there is none.
template <class T>
bool choose(const espalier_conv2d& s, bool back, Lattice& to) {
  using W = wide_t<T>;
  switch (tiles_wanted()) {
    case Tiles::kNone: return false;
    case Tiles::kMany: return lay_out<W>(s, back, kManyPixels<T>, to);
    case Tiles::kFew: return lay_out<W>(s, back, kFewPixels, to);
    case Tiles::kOne: return lay_out<W>(s, back, 1, to);
    default: break;
  }
  const bool many = lay_out<W>(s, back, kManyPixels<T>, to);
  if (many && to.tiles() * to.groups * to.group_blocks() >= 2 * traits().multiprocessors) return true;
  return lay_out<W>(s, back, kFewPixels, to) || lay_out<W>(s, back, 1, to);
}

// Of each tap of the kernel its phase, which is the plane of x that it reads or, backwards, writes; and where in a
// channel of a tile it reads.
struct Taps {
  explicit Taps(int64_t count) : offsets(count), phases(count) {}
  Temporary<int32_t> offsets, phases;
};
void write_taps(const espalier_conv2d& s, bool back, const Lattice& lattice, const Taps& to) {
  const Reaches shifts = reaches(s, back);
  const int64_t columns = lattice.columns.divisor(), length = lattice.length;
  int32_t *const offsets = to.offsets.get(), *const phases = to.phases.get();
  for_each(taps_of(s), "taps of a sparse convolution", [=] __device__(int64_t tap) {
    const int64_t row = tap / s.kernel_width * s.dilation_height - s.padding_top;
    const int64_t column = tap % s.kernel_width * s.dilation_width - s.padding_left;
    const int64_t a = (row % s.stride_height + s.stride_height) % s.stride_height;
    const int64_t b = (column % s.stride_width + s.stride_width) % s.stride_width;
    const int64_t down = (row - a) / s.stride_height, right = (column - b) / s.stride_width;
    const int64_t phase = a * s.stride_width + b;
    phases[tap] = static_cast<int32_t>(phase);
    offsets[tap] = static_cast<int32_t>(back ? (-down - shifts.rows.least) * columns - right - shifts.columns.least
                                             : phase * length + (down - shifts.rows.least) * columns + right -
                                                   shifts.columns.least);
  });
}

// W turned round: a list for each plane of x, of the elements that reach it, ordered by their output channel.
struct Turn {
  Lists by_column;                        // of W, from channels of a group and taps
  int64_t groups, out, in, taps, planes;  // channels of a group, taps of a kernel, planes of a channel
  const int32_t* phases;

  // Where in its column's list the first element stands that is in `row` or below.
  __device__ int32_t find(int64_t column, int64_t row) const {
    int32_t low = by_column.begin(column), high = by_column.begin(column + 1);
    while (low < high) {
      const int32_t middle = low + (high - low) / 2;
      if (by_column.index[middle] < row) low = middle + 1;
      else high = middle;
    }
    return low;
  }
  // How many elements of a group's channel and phase come before (row, tap), by row and then by tap.
  __device__ int32_t before(int64_t group, int64_t channel, int32_t phase, int64_t row, int64_t tap) const {
    int32_t count = 0;
    for (int64_t t = 0; t < taps; ++t)
      if (phases[t] == phase)
        count += find(channel * taps + t, row + (t < tap)) - find(channel * taps + t, group * out);
    return count;
  }
};

template <class T>
__global__ void turn_kernel(Turn turn, const int32_t* position, const T* values, const int32_t* start, int32_t* index,
                            T* turned) {
  const int64_t column = (blockIdx.x * int64_t{blockDim.x} + threadIdx.x) / 32;
  if (column >= turn.by_column.count) return;
  const int64_t channel = column / turn.taps, tap = column % turn.taps;
  const int32_t phase = turn.phases[tap], end = turn.by_column.begin(column + 1);
  for (int32_t i = turn.by_column.begin(column) + (threadIdx.x & 31); i < end; i += 32) {
    const int64_t row = turn.by_column.index[i], group = row / turn.out;
    const int32_t to =
        start[(group * turn.in + channel) * turn.planes + phase] + turn.before(group, channel, phase, row, tap);
    index[to] = static_cast<int32_t>((row - group * turn.out) * turn.taps + tap);
    turned[to] = values[position[i]];
  }
}

// Those lists, and the values in their order.
template <class T>
struct Turned {
  Turned(int64_t rows, int64_t count) : start(rows + 1), index(count), values(count) {}
  Temporary<int32_t> start, index;
  Temporary<T> values;
};
template <class T>
void write_turned(const Turn& turn, const int32_t* position, const T* values, int64_t count, const Turned<T>& to) {
  int32_t* const start = to.start.get();
  const int64_t rows = turn.groups * turn.in * turn.planes;
  for_each(rows, "turned lists", [=] __device__(int64_t i) {
    const int64_t channel = i / turn.planes, group = channel / turn.in;
    start[i + 1] =
        turn.before(group, channel % turn.in, static_cast<int32_t>(i % turn.planes), (group + 1) * turn.out, 0);
  });
  scan(rows, start, "turned lists");
  if (count == 0) return;
  const unsigned blocks = static_cast<unsigned>(ceil_div(turn.by_column.count * 32, kBlock));
  turn_kernel<<<blocks, kBlock, 0, stream()>>>(turn, position, values, start, to.index.get(), to.values.get());
  launched("turned lists");
}

// What every function checks: the geometry, the pattern, and the lengths.
struct Checked {
  ConvLengths lengths;
  espalier_cuda_sparse matrix;
  SparsePattern<const int32_t> pattern;

  Checked(const espalier_conv2d& s, int64_t fan_in, espalier_in pattern, int64_t count)
      : lengths(checked_conv(s)),
        matrix(matrix_of(s, fan_in, count)),
        pattern(elements<int32_t>("pattern", pattern, SparsePattern<int32_t>::length(count, matrix)), count, matrix) {}
  Lists rows() const { return pattern.by_row(matrix); }

 private:
  static espalier_cuda_sparse matrix_of(const espalier_conv2d& s, int64_t fan_in, int64_t count) {
    const espalier_cuda_sparse matrix{
        s.out_channels,
        checked_product("a row of the weight", {s.in_channels / s.groups, s.kernel_height, s.kernel_width}), 0, 0,
        fan_in};
    require_sparse(matrix, count);
    return matrix;
  }
};

// The weight with zeros where nothing is kept, for geometries that have no tiles: steps that cut a channel of x into
// very many planes, or taps that reach over many long rows. They are dense convolutions.
template <class T>
class Whole {
 public:
  Whole(const Checked& by, const T* values) : weight_(by.lengths.weight) {
    ESPALIER_CUDA(cudaMemsetAsync(weight_.get(), 0, static_cast<size_t>(by.lengths.weight) * sizeof(T), stream()));
    scatter_values(by.rows(), by.matrix.k, values, weight_.get());
  }
  const T* data() const { return weight_.get(); }

 private:
  Temporary<T> weight_;
};

template <class T>
void forward(const espalier_conv2d& s, const Checked& by, const T* values, const T* x, const T* bias, T* y) {
  if (by.lengths.y == 0) return;
  Lattice lattice;
  if (!choose<T>(s, false, lattice))
    return conv::dense_forward(s, by.lengths, x, Whole<T>(by, values).data(), bias, false, y);
  const Taps taps(taps_of(s));
  write_taps(s, false, lattice, taps);
  multiply<T>({lattice, by.rows(), values, taps.offsets.get(), x, bias, y});
}

template <class T>
void data_grad(const espalier_conv2d& s, const Checked& by, int64_t count, const T* values, const T* dy, T* dx) {
  if (by.lengths.x == 0) return;
  Lattice lattice;
  if (!choose<T>(s, true, lattice))
    return conv::dense_data_grad<T>(s, by.lengths, Whole<T>(by, values).data(), dy, nullptr, dx);
  const Taps taps(taps_of(s));
  write_taps(s, true, lattice, taps);
  const Turn turn{by.pattern.by_column(by.matrix),
                  s.groups,
                  s.out_channels / s.groups,
                  s.in_channels / s.groups,
                  taps_of(s),
                  s.stride_height * s.stride_width,
                  taps.phases.get()};
  const int64_t rows = s.in_channels * turn.planes;
  const Turned<T> turned(rows, count);
  write_turned(turn, by.pattern.position, values, count, turned);
  const Lists lists{turned.start.get(), turned.index.get(), nullptr, 0, rows};
  multiply<T>({lattice, lists, turned.values.get(), taps.offsets.get(), dy, nullptr, dx});
}

template <class T>
void weight_grad(const espalier_conv2d& s, const Checked& by, int64_t count, const T* x, const T* dy, T* dvalues) {
  if (count == 0) return;
  if (by.lengths.y == 0) {
    ESPALIER_CUDA(cudaMemsetAsync(dvalues, 0, static_cast<size_t>(count) * sizeof(T), stream()));
    return;
  }
  Lattice lattice;
  if (!choose<T>(s, false, lattice)) {
    Temporary<T> whole(by.lengths.weight);
    conv::dense_weight_grad(s, by.lengths, x, dy, whole.get());
    return gather_values<T>(by.rows(), by.matrix.k, whole.get(), dvalues);
  }
  const Taps taps(taps_of(s));
  write_taps(s, false, lattice, taps);
  sampled<T>({lattice, by.rows(), count, taps.offsets.get(), x, dy, dvalues});
}

}  // namespace

Tiles& tiles_wanted() {
  static Tiles wanted = Tiles::kChosen;
  return wanted;
}

Tiles tiles_for(const espalier_conv2d& shape, espalier_dtype dtype, bool back) {
  Tiles tiles = Tiles::kNone;
  for_device_float("values", dtype, [&]<class T>(T) {
    Lattice lattice;
    if (!choose<T>(shape, back, lattice)) return;
    tiles = lattice.pixels == kManyPixels<T> ? Tiles::kMany : lattice.pixels == kFewPixels ? Tiles::kFew : Tiles::kOne;
  });
  return tiles;
}

}  // namespace espalier::cuda::sparse_conv

using namespace espalier;
using namespace espalier::cuda;

espalier_status espalier_cuda_sparse_convolution_forward(espalier_in values, espalier_in pattern, espalier_in x,
                                                         espalier_in bias, espalier_out y, int64_t fan_in,
                                                         espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const sparse_conv::Checked by(shape, fan_in, pattern, values.length);
    for_device_float("values", values.dtype, [&]<class T>(T) {
      const T* const of = elements<T>("values", values, values.length);
      const T* const in = elements<T>("x", x, by.lengths.x);
      const T* const added = optional_elements<T>("bias", bias, shape.out_channels);
      sparse_conv::forward(shape, by, of, in, added, elements<T>("y", y, by.lengths.y));
    });
  });
}

espalier_status espalier_cuda_sparse_convolution_data_grad(espalier_in values, espalier_in pattern, espalier_in dy,
                                                           espalier_out dx, int64_t fan_in, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const sparse_conv::Checked by(shape, fan_in, pattern, values.length);
    for_device_float("values", values.dtype, [&]<class T>(T) {
      const T* const of = elements<T>("values", values, values.length);
      const T* const in = elements<T>("dy", dy, by.lengths.y);
      sparse_conv::data_grad(shape, by, values.length, of, in, elements<T>("dx", dx, by.lengths.x));
    });
  });
}

espalier_status espalier_cuda_sparse_convolution_weight_grad(espalier_in x, espalier_in dy, espalier_in pattern,
                                                             espalier_out dvalues, int64_t fan_in,
                                                             espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const sparse_conv::Checked by(shape, fan_in, pattern, dvalues.length);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const in = elements<T>("x", x, by.lengths.x);
      const T* const from = elements<T>("dy", dy, by.lengths.y);
      sparse_conv::weight_grad(shape, by, dvalues.length, in, from, elements<T>("dvalues", dvalues, dvalues.length));
    });
  });
}
