// What the fast convolutions decide before they touch data: which elements meet, as tables of offsets.
//
// In two of three views a vector holds one output channel at `lanes` places: neighbouring columns of a row
// (the rows view), or one place of `lanes` images (the images view). Its value is a sum over steps, each an
// input vector times a weight, and the input vectors lie at from[v] + step.in: one table of vectors and one
// of steps describe forward, either gradient, every stride, dilation and border. In the third, a vector holds
// `lanes` output channels at one place (the channels view).
#pragma once

#include <cstdint>
#include <vector>

#include "espalier/conv.h"

namespace espalier::kernels {

// A kernel element along one axis and the input position it reads at lattice index 0.
struct Tap {
  int64_t element, offset;
};

// Output positions fall into `phases.size()` interleaved lattices: position t·step + phase. Lattice
// index t reads input positions t·stride + offset of its phase's taps.
struct Axis {
  int64_t in, out, stride, step;
  std::vector<std::vector<Tap>> phases;
  int64_t lowest = 0, highest = 0;  // of all offsets

  int64_t lattice(int64_t phase) const { return (out - phase + step - 1) / step; }
};

// Forward, and the data gradient: per group, `out` channels from `in` channels.
struct Correlation {
  int64_t n, groups, in, out, taps, kernel_width;
  // Where the weight of (group, out, in) begins: the sum of index times stride.
  int64_t weight_group, weight_out, weight_in;
  Axis rows, columns;

  int64_t depth() const { return in * taps; }
  int64_t in_plane() const { return rows.in * columns.in; }
  int64_t out_plane() const { return rows.out * columns.out; }
};

// Whether the geometry is of ordinary proportions; the others are for plain::.
bool ordinary(const espalier_conv2d& shape);
Correlation forward_of(const espalier_conv2d& shape);
Correlation data_grad_of(const espalier_conv2d& shape);

struct Step {
  int32_t in, weight;  // offset of the input vector; row of the packed weights
};

// Vectors that take the same steps.
struct Part {
  int64_t first_step, steps, first_vector, vectors;
  int64_t phase = 0, per_row = 0;  // rows view: row phase, and vectors a lattice row
};

struct Plan {
  std::vector<Part> parts;
  std::vector<Step> steps;
  std::vector<int64_t> from, to;  // a vector's place in the input and in an output channel
  std::vector<int32_t> lanes;     // how many of its lanes are outputs
};

// A band is some lattice rows of one group of one image; its input is copied into
// [in][rows][segments][pitch] with zeros around it. Columns of one residue modulo the stride form a
// segment, so that the columns a tap reads are neighbours at any stride.
struct Band {
  int64_t band, bands;  // lattice rows a band, and bands a plane
  int64_t rows, segments, pitch, channel_pitch;

  int64_t row() const { return segments * pitch; }
  int64_t channel() const { return channel_pitch; }
};

// The rows view: lanes are columns of a band.
struct RowsPlan : Plan, Band {
  int64_t spread;  // columns between the outputs of two lanes
};
RowsPlan plan_rows(const Correlation& c, int64_t lanes, int64_t element_bytes);

// The images view: [in][place][lanes], images innermost. Places at a border have parts of their own
// that leave out the taps which fall beside the image.
Plan plan_images(const Correlation& c, int64_t lanes);

// The channels view: lanes are output channels, and each tap a run of products over the input channels of a
// band, at the places where it falls on the image.
struct Range {
  int64_t begin, end;
};
struct Run {
  int64_t in, tap;      // offset in the band; element of the kernel
  Range rows, columns;  // lattice indices that it reaches
};
struct ChannelsPlan {
  struct Phase {
    int64_t first_run, run_count;
    int64_t row_phase, column_phase, rows, columns;  // of its lattice
  };
  Band band;
  std::vector<Phase> phases;
  std::vector<Run> runs;
};
ChannelsPlan plan_channels(const Correlation& c, int64_t lanes, int64_t element_bytes);

// The weight's gradient: element (o, k) is a sum over vectors of dy[o] times the input vectors at
// from[v] + offsets[k]. A block is `planes` bands of the rows view, or `planes` groups of `lanes`
// images, its input copied with zeros around it: in[plane][…]. Lanes beyond the end of a row count
// with a dy of 0; an infinity or NaN in x therefore spreads to all taps of its channel.
struct GradPlan {
  bool images;
  RowsPlan band;                       // rows view
  int64_t height, width;               // images view: a channel's padded plane
  int64_t planes, plane_size;          // and how many elements the input of one takes
  int64_t vectors;                     // of a block
  std::vector<int64_t> from, offsets;  // of its vectors; of the weight's elements
  std::vector<int32_t> places;         // images view: where each input element goes
};
GradPlan plan_grad(const Correlation& forward, bool images, int64_t lanes, int64_t element_bytes);

// The view that takes the least time, roughly: forward and data gradient, and the weight's gradient. Of the channels
// view, `tile` is the most places in registers at once.
enum class View { kRows, kImages, kChannels };
View view_of(const Correlation& c, int64_t lanes, int64_t element_bytes, int64_t tile);
View grad_view_of(const Correlation& forward, int64_t lanes, int64_t element_bytes);

}  // namespace espalier::kernels
