#include "kernels/conv_plan.h"

#include <algorithm>
#include <limits>

namespace espalier::kernels {
namespace {

void finish(Axis& axis) {
  bool any = false;
  for (const auto& phase : axis.phases)
    for (const Tap& tap : phase) {
      axis.lowest = any ? std::min(axis.lowest, tap.offset) : tap.offset;
      axis.highest = any ? std::max(axis.highest, tap.offset) : tap.offset;
      any = true;
    }
}

Axis forward_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  Axis axis{in, out, stride, 1, {{}}};
  for (int64_t k = 0; k < kernel; ++k) axis.phases[0].push_back({k, k * dilation - padding});
  finish(axis);
  return axis;
}

// Input position i gathers from outputs (i + padding - k·dilation) / stride, where that is whole.
Axis data_grad_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  Axis axis{out, in, 1, stride, {}};
  axis.phases.resize(std::min(stride, in));
  for (int64_t phase = 0; phase < static_cast<int64_t>(axis.phases.size()); ++phase)
    for (int64_t k = 0; k < kernel; ++k) {
      const int64_t position = phase + padding - k * dilation;
      if (position % stride == 0) axis.phases[phase].push_back({k, position / stride});
    }
  finish(axis);
  return axis;
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The taps that reach one output position, with the input positions they read.
std::vector<Tap> reaching(const Axis& axis, int64_t position) {
  std::vector<Tap> found;
  for (const Tap& tap : axis.phases[position % axis.step]) {
    const int64_t at = position / axis.step * axis.stride + tap.offset;
    if (at >= 0 && at < axis.in) found.push_back({tap.element, at});
  }
  return found;
}

// Output positions that take the same taps at the same distances, sorted into kinds.
struct Kind {
  std::vector<Tap> taps;  // relative to the first one's input position
  struct Place {
    int64_t position, base;
  };
  std::vector<Place> places;
};
std::vector<Kind> kinds_of(const Axis& axis) {
  std::vector<Kind> kinds;
  for (int64_t position = 0; position < axis.out; ++position) {
    std::vector<Tap> taps = reaching(axis, position);
    const int64_t base = taps.empty() ? 0 : taps[0].offset;
    for (Tap& tap : taps) tap.offset -= base;
    const auto same = [&](const Kind& kind) {
      return std::equal(kind.taps.begin(), kind.taps.end(), taps.begin(), taps.end(),
                        [](const Tap& a, const Tap& b) { return a.element == b.element && a.offset == b.offset; });
    };
    auto kind = std::find_if(kinds.rbegin(), kinds.rend(), same);
    if (kind == kinds.rend()) {
      kinds.push_back({std::move(taps), {}});
      kind = kinds.rbegin();
    }
    kind->places.push_back({position, base});
  }
  return kinds;
}

// Every pixel meets one weight: planes may be taken for rows, and no vector is cut short at a row's end.
bool flat(const espalier_conv2d& s) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride_height == 1 && s.stride_width == 1 &&
         s.padding_top == 0 && s.padding_left == 0 && s.in_height == s.out_height && s.in_width == s.out_width;
}

}  // namespace

bool ordinary(const espalier_conv2d& s) {
  constexpr int64_t kSize = 1 << 20, kReach = 1 << 12;
  return s.in_height <= kSize && s.in_width <= kSize && s.out_height <= kSize && s.out_width <= kSize &&
         s.kernel_height <= 64 && s.kernel_width <= 64 && s.stride_height <= 16 && s.stride_width <= 16 &&
         s.padding_top <= kReach && s.padding_left <= kReach && s.dilation_height <= 64 && s.dilation_width <= 64 &&
         s.in_channels <= kSize && s.out_channels <= kSize &&
         s.in_channels / s.groups * s.kernel_height * s.kernel_width < (1 << 24);
}

Correlation forward_of(const espalier_conv2d& s) {
  Correlation c{};
  c.n = s.n;
  c.groups = s.groups;
  c.in = s.in_channels / s.groups;
  c.out = s.out_channels / s.groups;
  c.taps = s.kernel_height * s.kernel_width;
  c.kernel_width = s.kernel_width;
  c.weight_group = c.out * c.in * c.taps;
  c.weight_out = c.in * c.taps;
  c.weight_in = c.taps;
  if (flat(s)) {
    c.rows = forward_axis(1, 1, 1, 1, 0, 1);
    c.columns = forward_axis(s.in_height * s.in_width, s.in_height * s.in_width, 1, 1, 0, 1);
  } else {
    c.rows =
        forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
    c.columns = forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  }
  return c;
}

Correlation data_grad_of(const espalier_conv2d& s) {
  Correlation c = forward_of(s);
  std::swap(c.in, c.out);
  std::swap(c.weight_in, c.weight_out);
  if (flat(s)) return c;
  c.rows =
      data_grad_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height);
  c.columns = data_grad_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width);
  return c;
}

namespace {

Band band_of(const Correlation& c, int64_t lanes, int64_t element_bytes) {
  // A band's input should stay in the second-level cache beside the weights.
  constexpr int64_t kBandBytes = 320 << 10;
  Band made;
  const int64_t reach = c.columns.highest - c.columns.lowest;
  const int64_t span = c.rows.highest - c.rows.lowest + 1;
  made.segments = std::min(c.columns.stride, reach + 1);
  made.pitch = divide_up(c.columns.lattice(0), lanes) * lanes + reach / c.columns.stride;
  const int64_t lattice = c.rows.lattice(0);
  const int64_t row_bytes = c.in * made.row() * element_bytes;
  const int64_t fitting = (kBandBytes / std::max<int64_t>(row_bytes, 1) - span) / c.rows.stride + 1;
  // Bands of one size but the last; at least four times the rows that neighbours copy twice.
  made.band = std::clamp<int64_t>(fitting, std::min(lattice, 4 * divide_up(span, c.rows.stride)), lattice);
  made.bands = divide_up(lattice, made.band);
  made.band = divide_up(lattice, made.bands);
  made.bands = divide_up(lattice, made.band);
  made.rows = (made.band - 1) * c.rows.stride + span;
  // An odd number of cache lines: steps go from channel to channel, and at a stride of a power of two
  // they would all fall into the same few sets of the cache.
  made.channel_pitch = (divide_up(made.rows * made.row(), lanes) | 1) * lanes;
  return made;
}

// Where the offset of a column tap stands in a row of the band.
int64_t place_of(const Correlation& c, const Band& band, int64_t column_offset) {
  const int64_t right = column_offset - c.columns.lowest;
  return right % c.columns.stride * band.pitch + right / c.columns.stride;
}

}  // namespace

RowsPlan plan_rows(const Correlation& c, int64_t lanes, int64_t element_bytes) {
  RowsPlan plan;
  static_cast<Band&>(plan) = band_of(c, lanes, element_bytes);
  plan.spread = c.columns.step;
  for (int64_t row_phase = 0; row_phase < static_cast<int64_t>(c.rows.phases.size()); ++row_phase)
    for (int64_t column_phase = 0; column_phase < static_cast<int64_t>(c.columns.phases.size()); ++column_phase) {
      const int64_t columns = c.columns.lattice(column_phase), vectors = divide_up(columns, lanes);
      Part part{static_cast<int64_t>(plan.steps.size()),
                0,
                static_cast<int64_t>(plan.from.size()),
                plan.band * vectors,
                row_phase,
                vectors};
      for (int64_t channel = 0; channel < c.in; ++channel)
        for (const Tap& row : c.rows.phases[row_phase])
          for (const Tap& column : c.columns.phases[column_phase])
            plan.steps.push_back(
                {static_cast<int32_t>(channel * plan.channel() + (row.offset - c.rows.lowest) * plan.row() +
                                      place_of(c, plan, column.offset)),
                 static_cast<int32_t>(channel * c.taps + row.element * c.kernel_width + column.element)});
      part.steps = static_cast<int64_t>(plan.steps.size()) - part.first_step;
      for (int64_t row = 0; row < plan.band; ++row)
        for (int64_t v = 0; v < vectors; ++v) {
          plan.from.push_back(row * c.rows.stride * plan.row() + v * lanes);
          plan.to.push_back((row * c.rows.step + row_phase) * c.columns.out + v * lanes * c.columns.step +
                            column_phase);
          plan.lanes.push_back(static_cast<int32_t>(std::min(lanes, columns - v * lanes)));
        }
      plan.parts.push_back(part);
    }
  return plan;
}

Plan plan_images(const Correlation& c, int64_t lanes) {
  Plan plan;
  const std::vector<Kind> rows = kinds_of(c.rows), columns = kinds_of(c.columns);
  for (const Kind& row : rows)
    for (const Kind& column : columns) {
      Part part{static_cast<int64_t>(plan.steps.size()), 0, static_cast<int64_t>(plan.from.size()), 0};
      for (int64_t channel = 0; channel < c.in; ++channel)
        for (const Tap& down : row.taps)
          for (const Tap& right : column.taps)
            plan.steps.push_back(
                {static_cast<int32_t>((channel * c.in_plane() + down.offset * c.columns.in + right.offset) * lanes),
                 static_cast<int32_t>(channel * c.taps + down.element * c.kernel_width + right.element)});
      for (const Kind::Place& i : row.places)
        for (const Kind::Place& j : column.places) {
          plan.from.push_back((i.base * c.columns.in + j.base) * lanes);
          plan.to.push_back((i.position * c.columns.out + j.position) * lanes);
        }
      part.steps = static_cast<int64_t>(plan.steps.size()) - part.first_step;
      part.vectors = static_cast<int64_t>(plan.from.size()) - part.first_vector;
      plan.parts.push_back(part);
    }
  plan.lanes.assign(plan.from.size(), static_cast<int32_t>(lanes));
  return plan;
}

ChannelsPlan plan_channels(const Correlation& c, int64_t lanes, int64_t element_bytes) {
  ChannelsPlan plan{band_of(c, lanes, element_bytes), {}, {}};
  // Lattice indices whose input position lies inside.
  const auto reached = [](const Axis& axis, const Tap& tap, int64_t lattice) {
    const int64_t begin = tap.offset >= 0 ? 0 : divide_up(-tap.offset, axis.stride);
    const int64_t end = tap.offset >= axis.in ? 0 : divide_up(axis.in - tap.offset, axis.stride);
    return Range{std::min(begin, lattice), std::clamp(end, std::min(begin, lattice), lattice)};
  };
  for (int64_t row_phase = 0; row_phase < static_cast<int64_t>(c.rows.phases.size()); ++row_phase)
    for (int64_t column_phase = 0; column_phase < static_cast<int64_t>(c.columns.phases.size()); ++column_phase) {
      const int64_t rows = c.rows.lattice(row_phase), columns = c.columns.lattice(column_phase);
      const int64_t first = static_cast<int64_t>(plan.runs.size());
      for (const Tap& row : c.rows.phases[row_phase])
        for (const Tap& column : c.columns.phases[column_phase])
          plan.runs.push_back({(row.offset - c.rows.lowest) * plan.band.row() + place_of(c, plan.band, column.offset),
                               row.element * c.kernel_width + column.element, reached(c.rows, row, rows),
                               reached(c.columns, column, columns)});
      plan.phases.push_back(
          {first, static_cast<int64_t>(plan.runs.size()) - first, row_phase, column_phase, rows, columns});
    }
  return plan;
}

namespace {

// How many (output position, tap) pairs fall on the image, along one axis.
int64_t reached(const Axis& axis) {
  int64_t count = 0;
  for (int64_t i = 0; i < axis.out; ++i)
    for (const Tap& tap : axis.phases[i % axis.step]) {
      const int64_t at = i / axis.step * axis.stride + tap.offset;
      count += at >= 0 && at < axis.in;
    }
  return count;
}

// How many pairs a view computes whose vectors hold `width` positions.
int64_t taken(const Axis& axis, int64_t width) {
  int64_t count = 0;
  for (size_t phase = 0; phase < axis.phases.size(); ++phase)
    count +=
        divide_up(axis.lattice(static_cast<int64_t>(phase)), width) * static_cast<int64_t>(axis.phases[phase].size());
  return count;
}

// What the views cost in vector operations: the products, and what bringing the data into shape takes beside a copy.
double rows_cost(const Correlation& c, int64_t lanes) {
  return static_cast<double>(c.n) * (static_cast<double>(c.in * c.out) * static_cast<double>(taken(c.rows, 1)) *
                                         static_cast<double>(taken(c.columns, lanes)) +
                                     static_cast<double>(c.in * c.rows.in * (2 + c.columns.in / lanes)));
}
double images_cost(const Correlation& c, int64_t lanes) {
  return static_cast<double>(divide_up(c.n, lanes)) *
         (static_cast<double>(c.in * c.out) * static_cast<double>(reached(c.rows)) *
              static_cast<double>(reached(c.columns)) +
          6 * static_cast<double>(c.in * c.in_plane() + c.out * c.out_plane()));
}
// A tile of few places loads more a product, and a tap's sum over few input channels ends before it is at full speed.
// The factors are measured, on a Zen 5: 1.06 at 8 places, 1.03 at 11, 1.03 more at 16 channels.
double channels_cost(const Correlation& c, int64_t lanes, int64_t tile) {
  const double columns = static_cast<double>(c.columns.lattice(0));
  const double places = columns / static_cast<double>(divide_up(c.columns.lattice(0), tile));
  const double slower = 1 + 4 / (places * places) + 0.5 / static_cast<double>(c.in);
  return static_cast<double>(c.n) * slower * static_cast<double>(c.in * 2 * divide_up(c.out, 2 * lanes)) *
         static_cast<double>(reached(c.rows)) * static_cast<double>(reached(c.columns));
}

bool images_fit(const Correlation& c, int64_t lanes, int64_t element_bytes) {
  // Both planes of a block should stay in a cache. The third level's will do: a tile reads each value
  // for many products, and blocks past the second level still reach the peak.
  constexpr int64_t kBlockBytes = 4096 << 10;
  if ((c.in * c.in_plane() + c.out * c.out_plane()) * lanes * element_bytes > kBlockBytes) return false;
  // Every place may be of a kind of its own, and tables should stay small beside the data.
  constexpr int64_t kMostSteps = 1 << 21;
  const int64_t row_taps = reached(c.rows), column_taps = reached(c.columns);
  return row_taps <= kMostSteps && column_taps <= kMostSteps && row_taps * column_taps <= kMostSteps / c.in;
}

}  // namespace

View view_of(const Correlation& c, int64_t lanes, int64_t element_bytes, int64_t tile) {
  const double rows = rows_cost(c, lanes);
  const double images = images_fit(c, lanes, element_bytes) ? images_cost(c, lanes) : rows;
  // One tap has no border to leave out; and the weights of a block are read anew for each tile.
  constexpr int64_t kWeightBytes = 256 << 10;
  const bool able = c.taps > 1 && c.depth() * 2 * lanes * element_bytes <= kWeightBytes;
  const double channels = able ? channels_cost(c, lanes, tile) : std::numeric_limits<double>::infinity();
  if (images < rows) return channels < images ? View::kChannels : View::kImages;
  return channels < rows ? View::kChannels : View::kRows;
}

View grad_view_of(const Correlation& c, int64_t lanes, int64_t element_bytes) {
  // Sums that wait in memory for the next band: below about 256 places a band, fetching them shows.
  constexpr int64_t kPlaces = 256, kChannels = 8;
  const Band band = band_of(c, lanes, element_bytes);
  if (c.out >= lanes && c.in >= kChannels && band.band * c.columns.out >= kPlaces) return View::kChannels;
  return images_fit(c, lanes, element_bytes) && images_cost(c, lanes) < rows_cost(c, lanes) ? View::kImages
                                                                                            : View::kRows;
}

GradPlan plan_grad(const Correlation& c, bool images, int64_t lanes, int64_t element_bytes) {
  // A block should stay in the second-level cache, and be long enough to pay for adding up the lanes.
  constexpr int64_t kBlockBytes = 512 << 10, kBlockVectors = 128;
  GradPlan plan{};
  plan.images = images;
  int64_t available;
  std::vector<int64_t> from;
  if (plan.images) {
    plan.height =
        std::max((c.rows.out - 1) * c.rows.stride + c.rows.highest - c.rows.lowest + 1, c.rows.in - c.rows.lowest);
    plan.width = std::max((c.columns.out - 1) * c.columns.stride + c.columns.highest - c.columns.lowest + 1,
                          c.columns.in - c.columns.lowest);
    plan.plane_size = c.in * plan.height * plan.width * lanes;
    available = divide_up(c.n, lanes);
    for (int64_t i = 0; i < c.rows.out; ++i)
      for (int64_t j = 0; j < c.columns.out; ++j)
        from.push_back((i * c.rows.stride * plan.width + j * c.columns.stride) * lanes);
    for (int64_t channel = 0; channel < c.in; ++channel) {
      for (const Tap& row : c.rows.phases[0])
        for (const Tap& column : c.columns.phases[0])
          plan.offsets.push_back(
              ((channel * plan.height + row.offset - c.rows.lowest) * plan.width + column.offset - c.columns.lowest) *
              lanes);
      for (int64_t i = 0; i < c.rows.in; ++i)
        for (int64_t j = 0; j < c.columns.in; ++j)
          plan.places.push_back(
              static_cast<int32_t>((channel * plan.height + i - c.rows.lowest) * plan.width + j - c.columns.lowest));
    }
  } else {
    plan.band = plan_rows(c, lanes, element_bytes);
    plan.plane_size = c.in * plan.band.channel();
    available = c.n * plan.band.bands;
    from = plan.band.from;
    for (const Step& step : plan.band.steps) plan.offsets.push_back(step.in);
  }
  const int64_t vectors = static_cast<int64_t>(from.size());
  const int64_t bytes = (plan.plane_size + vectors * c.out * lanes) * element_bytes;
  plan.planes = std::max<int64_t>(1, std::min({available, kBlockVectors / vectors, kBlockBytes / bytes}));
  plan.vectors = vectors * plan.planes;
  for (int64_t plane = 0; plane < plan.planes; ++plane)
    for (const int64_t place : from) plan.from.push_back(plane * plan.plane_size + place);
  return plan;
}

}  // namespace espalier::kernels
