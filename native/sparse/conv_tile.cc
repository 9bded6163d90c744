#include "sparse/conv_tile.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"
#include "core/scratch.h"

namespace espalier {
namespace {

// The most vectors, and rows, of sums that stand in registers together.
constexpr int kMostTileVectors = 12, kMostTileRows = 8;

// How far taps reach along a row: nowhere; a column to either side; fewer than a segment's vectors; anyhow.
enum class TileReach { kItself, kThree, kNear, kAny };

// How rows of a plane are packed: `rows` of them, a line of lanes for each of `places`.
struct TileRows {
  const int64_t *down, *right;
  int64_t rows, places, vectors;
  int64_t apart;  // input columns from one output to the next
  int64_t height, width;
  TileReach reach;
};

// What the next tile reads of a channel and this one does not: so many floats from there on in the channel's plane.
struct TileAhead {
  int64_t from, floats;
};

// What an output channel keeps of a block of input channels: entries of the stream that follow one another.
struct TileRun {
  int64_t first, count;
  int32_t channel;
  bool starts, ends;  // the first, the last of its channel
};

// Where results go: the tile's first output of channel 0.
struct TileTarget {
  float* y;
  int64_t plane, width, columns;  // floats of a plane, of a row; columns that are there
};

}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/conv_tile.inl"
#include "simd/each_isa.h"

// A tile is a few rows of V vectors each, whose sums of one output channel are all in registers; its input, a block of
// channels at a time, is packed into the first-level cache and stays there while all output channels go through it. A
// weight is then a load of itself, one of where its operands stand, and a multiply-add with an operand in memory for
// each vector.
namespace espalier::sparse {
namespace {

// Bytes of a block of a tile's input: most of the first-level cache. (Smaller blocks stay there more surely, but sums
// are put down and taken up again more often.)
constexpr int64_t kInputBytes = 31 << 10;
// Multiply-adds below which a piece of work is not worth a thread's waking; shares of a batch that have sums of their
// own.
constexpr int64_t kGrain = 1 << 18, kMostShares = 8;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool itself(const Axis& axis) {
  return axis.in == axis.out && axis.stride == 1 && axis.phases[0].size() == 1 && axis.phases[0][0].offset == 0;
}

class Tiles final : public TileKernel {
 public:
  Tiles(const Axes& axes, int64_t lanes, int64_t vectors, int64_t rows)
      : axes_(axes), lanes_(lanes), vectors_(vectors) {
    bands_ = divide_up(axes.rows.out, rows);
    rows_ = divide_up(axes.rows.out, bands_);  // (Alike in size.)
    segments_ = divide_up(axes.columns.out, lanes * vectors);
    down_ = places_of(axes.rows, rows_);
    right_ = places_of(axes.columns, vectors_);
    channel_ = down_.count() * right_.count() * lanes;
    const std::vector<int64_t>& place = right_.place;
    of_x_ = {down_.place.data(),  place.data(), down_.count(),   right_.count(), vectors_,
             axes.columns.stride, axes.rows.in, axes.columns.in, TileReach::kAny};
    if (axes.columns.stride == 1 && !place.empty() && place.front() >= -vectors_ && place.back() < 2 * vectors_)
      of_x_.reach = place.front() == 0 && right_.count() == vectors_        ? TileReach::kItself
                    : place.front() == -1 && right_.count() == vectors_ + 2 ? TileReach::kThree
                                                                            : TileReach::kNear;
    counted_.resize(static_cast<size_t>(std::max(rows_, vectors_)));
    std::iota(counted_.begin(), counted_.end(), 0);
    of_dy_ = {counted_.data(),  counted_.data(),   rows_, vectors_, vectors_, 1, axes.rows.out,
              axes.columns.out, TileReach::kItself};
  }

  int32_t row_of(int64_t element) const override { return place_of(axes_.rows, down_, element); }
  int32_t column_of(int64_t element) const override { return place_of(axes_.columns, right_, element); }

  void hold(std::vector<TileTerm> terms, int64_t out_channels) override {
    out_ = out_channels;
    int64_t in = 0;
    for (const TileTerm& term : terms) in = std::max<int64_t>(in, term.in + 1);
    const int64_t most =
        std::max<int64_t>(1, kInputBytes / std::max<int64_t>(1, channel_ * static_cast<int64_t>(sizeof(float))));
    const int64_t blocks = std::max<int64_t>(1, divide_up(in, most));
    for (int64_t b = 0; b <= blocks; ++b) block_.push_back(in * b / blocks);
    // By block, then by output channel; terms come by output channel.
    std::vector<size_t> block_of(static_cast<size_t>(in));
    for (size_t b = 0; b + 1 < block_.size(); ++b)
      for (int64_t c = block_[b]; c < block_[b + 1]; ++c) block_of[static_cast<size_t>(c)] = b;
    const auto of = [&](const TileTerm& term) { return block_of[static_cast<size_t>(term.in)]; };
    std::stable_sort(terms.begin(), terms.end(), [&](const TileTerm& a, const TileTerm& b) { return of(a) < of(b); });
    std::vector<int64_t> latest(static_cast<size_t>(out_), -1);
    runs_of_.push_back(0);
    size_t at = 0;
    for (size_t b = 0; b < static_cast<size_t>(blocks); ++b) {
      for (; at < terms.size() && of(terms[at]) == b; ++at) {
        const TileTerm& term = terms[at];
        if (runs_of_.back() == static_cast<int64_t>(runs_.size()) || runs_.back().channel != term.out) {
          int64_t& last = latest[static_cast<size_t>(term.out)];
          runs_.push_back({static_cast<int64_t>(at), 0, term.out, last < 0, false});
          last = static_cast<int64_t>(runs_.size()) - 1;
        }
        ++runs_.back().count;
        const int64_t line = static_cast<int64_t>(term.row) * right_.count() + term.column;
        place_.push_back(static_cast<int32_t>((term.in - block_[b]) * channel_ + line * lanes_));
        origin_.push_back(term.origin);
      }
      if (b + 1 == static_cast<size_t>(blocks))
        // A channel that keeps nothing is its bias.
        for (int64_t c = 0; c < out_; ++c)
          if (latest[static_cast<size_t>(c)] < 0) runs_.push_back({0, 0, static_cast<int32_t>(c), true, true});
      runs_of_.push_back(static_cast<int64_t>(runs_.size()));
    }
    for (const int64_t last : latest)
      if (last >= 0) runs_[static_cast<size_t>(last)].ends = true;
    values_.resize(origin_.size());
  }

  void set_values(const float* values) override {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = values[origin_[i]];
  }

  void run(int64_t n, const std::vector<int32_t>& channels, int64_t in, const float* x, const float* bias, bool relu,
           float* y) const override {
    const float zero = 0.0f;
    const int64_t cost = static_cast<int64_t>(values_.size()) * rows_ * vectors_ * lanes_ + 1;
    parallel_ranges(n * tiles(), 1 + kGrain / cost, [&](int64_t tile, int64_t last) {
      float* const packed = scratch<float>(Scratch::kPackA, most_inputs() * channel_);
      float* const sums = scratch<float>(Scratch::kColumns, out_ * kMostTileVectors * lanes_);
      for (; tile < last; ++tile) {
        const Place at = place(tile);
        const int64_t plane = axes_.rows.out * axes_.columns.out;
        const TileTarget to{y + at.image * out_ * plane + at.row * axes_.columns.out + at.column, plane,
                            axes_.columns.out, axes_.columns.out - at.column};
        for (size_t b = 0; b + 1 < block_.size(); ++b) {
          pack(at, b, channels, n, in, x, packed);
          const int64_t first = runs_of_[b], count = runs_of_[b + 1] - first;
          ESPALIER_ON_ISA(run_tile(at.rows, vectors_, runs_.data() + first, count, place_.data(), values_.data(),
                                   packed, row_step(), bias, relu ? &zero : nullptr, sums, to));
        }
      }
    });
  }

  void weight_grad(int64_t n, const std::vector<int32_t>& channels, int64_t in, const float* x, const float* dy,
                   float* values) const override {
    // Shares of a batch add up on their own; there are as many whatever the threads, so the bits do not depend on them.
    const int64_t all = n * tiles(), shares = std::clamp<int64_t>(all, 1, kMostShares);
    // (A vector may reach beyond the last one.)
    const int64_t size = (static_cast<int64_t>(origin_.size()) + 2 * lanes_) / lanes_ * lanes_;
    float* const sums = scratch<float>(Scratch::kPartial, shares * size);
    const float* const dy_end = dy + n * out_ * axes_.rows.out * axes_.columns.out;
    std::vector<int32_t> every(static_cast<size_t>(out_));
    std::iota(every.begin(), every.end(), 0);
    parallel_for(shares, [&](int64_t share) {
      float* const of_share = sums + share * size;
      std::fill_n(of_share, size, 0.0f);
      const int64_t dy_channel = rows_ * vectors_ * lanes_;
      float* const packed = scratch<float>(Scratch::kPackA, most_inputs() * channel_);
      float* const packed_dy = scratch<float>(Scratch::kPackB, out_ * dy_channel);
      for (int64_t tile = all * share / shares; tile < all * (share + 1) / shares; ++tile) {
        const Place at = place(tile);
        const float* const of_image = dy + at.image * out_ * axes_.rows.out * axes_.columns.out;
        ESPALIER_ON_ISA(pack_tile(of_dy_, every.data(), out_, of_image, at.row, at.column, ahead(of_dy_, at, out_, 1),
                                  dy_end, packed_dy));
        for (size_t b = 0; b + 1 < block_.size(); ++b) {
          pack(at, b, channels, n, in, x, packed);
          const int64_t first = runs_of_[b], count = runs_of_[b + 1] - first;
          ESPALIER_ON_ISA(grad_tile(at.rows, vectors_, runs_.data() + first, count, place_.data(), packed, row_step(),
                                    packed_dy, dy_channel, of_share));
        }
      }
    });
    for (size_t i = 0; i < origin_.size(); ++i) {
      float sum = 0.0f;
      for (int64_t share = 0; share < shares; ++share) sum += sums[share * size + static_cast<int64_t>(i)];
      values[origin_[i]] = sum;
    }
  }

 private:
  // A tile's image, and its first output row and column.
  struct Place {
    int64_t image, row, column, rows;
  };
  int64_t tiles() const { return bands_ * segments_; }
  Place place(int64_t tile) const {
    const int64_t in_image = tile % tiles(), row = in_image / segments_ * rows_;
    return {tile / tiles(), row, in_image % segments_ * lanes_ * vectors_, std::min(rows_, axes_.rows.out - row)};
  }
  int64_t most_inputs() const {
    int64_t most = 1;
    for (size_t b = 0; b + 1 < block_.size(); ++b) most = std::max(most, block_[b + 1] - block_[b]);
    return most;
  }
  int64_t row_step() const { return down_.step * right_.count() * lanes_; }

  void pack(const Place& at, size_t block, const std::vector<int32_t>& channels, int64_t n, int64_t in, const float* x,
            float* to) const {
    const float* const image = x + at.image * in * of_x_.height * of_x_.width;
    ESPALIER_ON_ISA(pack_tile(of_x_, channels.data() + block_[block], block_[block + 1] - block_[block], image,
                              at.row * axes_.rows.stride, at.column * axes_.columns.stride,
                              ahead(of_x_, at, in, axes_.rows.stride), x + n * in * of_x_.height * of_x_.width, to));
  }
  // The rows of the next band or, behind the last one, the first of the next image.
  TileAhead ahead(const TileRows& by, const Place& at, int64_t channels, int64_t stride) const {
    if (by.rows == 0 || at.column > 0) return {0, 0};
    const bool here = at.row + at.rows < axes_.rows.out;
    const int64_t behind = by.down[by.rows - 1] + 1, row = here ? at.row * stride + behind : 0;
    const int64_t rows = here ? rows_ * stride : behind;
    return {(here ? 0 : channels * by.height * by.width) + row * by.width, rows * by.width};
  }

  static int32_t place_of(const Axis& axis, const Places& places, int64_t element) {
    const auto& taps = axis.phases[0];
    return static_cast<int32_t>(
        places.of(*std::find_if(taps.begin(), taps.end(), [&](const Tap& tap) { return tap.element == element; })));
  }

  const Axes axes_;
  const int64_t lanes_, vectors_;
  int64_t rows_, bands_, segments_;
  Places down_, right_;
  std::vector<int64_t> counted_;
  TileRows of_x_, of_dy_;
  int64_t channel_;  // floats of an input channel's tile
  int64_t out_ = 0;
  std::vector<int64_t> block_, runs_of_;  // the first input channel, and the first run, of each block; and the end
  std::vector<TileRun> runs_;             // by block, then by channel
  std::vector<int32_t> place_, origin_;
  std::vector<float> values_;
};

}  // namespace

std::unique_ptr<TileKernel> make_tiles(const Axes& of) {
  Axes axes = of;
  if (axes.rows.phases.size() != 1 || axes.columns.phases.size() != 1 || axes.rows.step != 1 || axes.columns.step != 1)
    return nullptr;
  int64_t lanes = 1;
  ESPALIER_ON_ISA(tile_lanes(lanes));
  // Where every pixel meets itself alone a plane may be cut anew, into rows of whole tiles.
  if (itself(axes.rows) && itself(axes.columns)) {
    const int64_t plane = axes.rows.in * axes.columns.in;
    for (const int64_t vectors : {4, 2, 1})
      if (plane % (lanes * vectors) == 0) {
        axes.columns.in = axes.columns.out = lanes * vectors;
        axes.rows.in = axes.rows.out = plane / (lanes * vectors);
        break;
      }
  }
  const int64_t width = axes.columns.out, height = axes.rows.out;
  int64_t best = 0;
  double least = 0;
  for (const int64_t vectors : {4, 2, 1}) {
    if (vectors > 1 && axes.columns.stride != 1) continue;
    if (!share_places(axes.columns, vectors)) continue;
    const int64_t places = places_of(axes.columns, vectors).count();
    // Vectors to compute, and what packing them takes.
    const double cost = static_cast<double>(divide_up(width, lanes * vectors)) *
                        (static_cast<double>(vectors) + 0.1 * static_cast<double>(places));
    if (best == 0 || cost < least) best = vectors, least = cost;
  }
  int64_t rows = std::min<int64_t>({height, kMostTileVectors / best, kMostTileRows});
  while (!share_places(axes.rows, rows)) --rows;
  constexpr int64_t kLeastVectors = 8;
  if (rows * best < kLeastVectors || width * 2 <= lanes) return nullptr;
  return std::make_unique<Tiles>(axes, lanes, best, rows);
}

}  // namespace espalier::sparse
