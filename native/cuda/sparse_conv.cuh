// Convolutions by the kept elements of a weight: what the kernels share.
//
// The planes of all images lie one behind the other on a lattice: a row is as long as what is read and what is written
// want, the padding's zeros between one row's end and the next one's beginning, and images follow each other likewise.
// There a tap is a shift: y at position f is the sum of value·x at f + shift over a row's elements, whatever image and
// row f is in, and what a shift finds beyond an edge is zero. Steps larger than 1 are shifts too: plane (a, b) of a
// channel of x holds rows a, a + step, … and columns b, b + step, …, and a tap reads one of these planes, its phase.
// The gradient of x is the same sum with dy read and dx written, and shifts the other way: every plane of dx is a row
// of its own and has the taps of its phase. Zeros are multiplied like all else, and 0·Inf is NaN: an Inf or NaN among
// the values spreads to sums where its tap is beyond an edge, one in x or dy to gradients of values whose taps do not
// join it with anything.
//
// A block takes a tile, 32·pixels positions, and some rows of W, each of which one warp computes for the whole tile.
// The planes of as many channels as fit are brought to shared memory together with what shifts reach, a row's elements
// in them are written down as offsets, and every element is one access of 128 bytes of shared memory for 32
// multiply-adds. That is what bounds the kernels, at a quarter of the rate of the CUDA cores: there is nothing to gain
// where more than a quarter is kept. A block's rows are of one group: a depth-wise layer, which has one in each, uses
// one of a block's 32 places for rows. A lane's pixels are 32 apart, so that banks do not conflict and all but the
// first are at fixed distances. None of this has been timed.
#pragma once

#include "cuda/divider.h"
#include "cuda/sparse_pattern.cuh"
#include "espalier/conv.h"

namespace espalier::cuda::sparse_conv {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kRows = 4;  // of W, of a warp
constexpr int kBlockRows = kWarps * kRows;
constexpr int kBatch = 32;              // elements of a row that are read at once, one a lane
constexpr int32_t kNever = 0x7fffffff;  // a column that no chunk has

// Pixels of a lane: many, few where tiles would be fewer than the device has room for, one where steps are so large
// that a channel has very many planes.
template <class T>
constexpr int kManyPixels = 64 / static_cast<int>(sizeof(wide_t<T>));
constexpr int kFewPixels = 4;

// A kept element as a warp reads it: where its plane begins in the tile, shifted.
template <class W>
struct Entry {
  uint32_t offset;
  W value;
};

// x or y.
struct Side {
  int64_t channels, height, width;  // channels: of a group
  int64_t row_step, column_step;    // of the planes that a channel is cut into
  int64_t image;                    // elements of an image

  __host__ __device__ int64_t phases() const { return row_step * column_step; }
  __host__ __device__ int64_t plane() const { return height * width; }
  // Where an element of a plane's row and column stands in its channel; false where the channel ends before.
  __device__ bool find(int64_t phase, int64_t row, int64_t column, int64_t& at) const {
    row = row * row_step + phase / column_step;
    column = column * column_step + phase % column_step;
    at = row * width + column;
    return row < height && column < width;
  }
};

// The lattice, and how it is cut into tiles.
struct Lattice {
  Side from, to;
  int64_t n, groups;
  Divider rows, columns, taps;  // of an image; of a kernel
  int64_t lead;                 // the least shift
  int pixels;                   // of a lane
  int length, channel_length;   // of one plane in a tile, and of all of a channel
  int chunk;                    // channels that are in shared memory at once

  __host__ __device__ int64_t image_positions() const { return rows.divisor() * columns.divisor(); }
  __host__ __device__ int64_t tiles() const { return tiles_of(n * image_positions(), 32 * pixels); }
  // Rows of W, where every plane that is written has one.
  __host__ __device__ int64_t group_rows() const { return to.channels * to.phases(); }
  __host__ __device__ int64_t group_blocks() const { return tiles_of(group_rows(), kBlockRows); }

  // The image of a position that is not negative, its row and column in it.
  __device__ int64_t split(int64_t position, int64_t& row, int64_t& column) const {
    return rows.split(columns.split(position, column), row);
  }
  // The image that a tile's reading begins in.
  __device__ int64_t first_image(int64_t tile) const {
    return max(tile * 32 * pixels + lead, int64_t{0}) / image_positions();
  }

  // Where the elements of a channel's planes in a tile stand in x, from the channel's beginning in the first image on;
  // -1 where they are zeros. By the block.
  __device__ void write_places(int64_t tile, int32_t* places) const {
    const int64_t first = first_image(tile);
    for (int i = threadIdx.x; i < channel_length; i += kThreads) {
      const int64_t position = tile * 32 * pixels + lead + i % length;
      int64_t row, column, at = 0;
      const int64_t image = position < 0 ? n : split(position, row, column);
      const bool exists = image < n && from.find(i / length, row, column, at);
      places[i] = exists ? static_cast<int32_t>((image - first) * from.image + at) : -1;
    }
  }
  // Brings `count` channels from `channel` on, which counts through all groups. By the block.
  template <class T>
  __device__ void load(const T* x, int64_t tile, int64_t channel, int count, const int32_t* places,
                       wide_t<T>* planes) const {
    const T* const begin = x + first_image(tile) * from.image + channel * from.plane();
    for (int i = threadIdx.x; i < channel_length; i += kThreads) {
      const int32_t place = places[i];
#pragma unroll 4
      for (int c = 0; c < count; ++c)
        planes[c * channel_length + i] = place >= 0 ? widen(begin[c * from.plane() + place]) : wide_t<T>(0);
    }
  }
};

// The rows of W that a block's warps compute: of one group, and of a warp every eighth.
struct Share {
  int64_t group, first, count;  // of the group

  __device__ Share(const Lattice& lattice, int64_t block)
      : group(block / lattice.group_blocks()),
        first(block % lattice.group_blocks() * kBlockRows),
        count(lattice.group_rows()) {}
  // The r-th of this warp, counted through all groups; -1: there is none.
  __device__ int64_t row(int r) const {
    const int64_t in_group = first + r * kWarps + (threadIdx.x >> 5);
    return in_group < count ? group * count + in_group : -1;
  }
};

// Shared memory: entries of the warps, planes, places.
template <class W>
constexpr int kEntriesBytes = kWarps* kBatch* static_cast<int>(sizeof(Entry<W>));
template <class W>
int shared_bytes(int64_t channel_length, int64_t chunk) {
  return kEntriesBytes<W> + static_cast<int>(channel_length * (chunk * sizeof(W) + sizeof(int32_t)));
}

// y on `lattice.to`, of lists that are rows of W: their columns are channel·taps + tap, channels counted in the group.
template <class T>
struct Product {
  Lattice lattice;
  Lists lists;
  const T* values;
  const int32_t* offsets;  // of each tap, in a channel of a tile
  const T* x;
  const T* bias;  // of a channel, or none
  T* y;
};
template <class T>
void multiply(const Product<T>& product);

// dvalues of each element: the sum over all positions of y there times x at its shift.
template <class T>
struct Sampled {
  Lattice lattice;
  Lists lists;
  int64_t elements;
  const int32_t* offsets;
  const T *x, *y;
  T* dvalues;
};
template <class T>
void sampled(const Sampled<T>& product);

// Runs body for the pixels a lane that the lattice is laid out for, as a template argument.
template <class T, class Body>
void with_pixels(const Lattice& lattice, Body body) {
  if (lattice.pixels == kManyPixels<T>) body.template operator()<kManyPixels<T>>();
  else if (lattice.pixels == kFewPixels) body.template operator()<kFewPixels>();
  else body.template operator()<1>();
}

}  // namespace espalier::cuda::sparse_conv
