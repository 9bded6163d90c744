#include "sparse/conv_geometry.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace espalier::sparse {
namespace {

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

Axis forward_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  Axis axis{in, out, stride, 1, {{}}};
  for (int64_t k = 0; k < kernel; ++k) axis.phases[0].push_back({k, k * dilation - padding});
  return axis;
}

// Input i gathers from outputs (i + padding − k·dilation) / stride, where that is whole.
Axis data_grad_axis(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  Axis axis{out, in, 1, stride, {}};
  axis.phases.resize(static_cast<size_t>(std::min(stride, in)));
  for (int64_t k = 0; k < kernel; ++k) {
    // The phases that this element serves are one residue.
    const int64_t phase = (((k * dilation - padding) % stride) + stride) % stride;
    if (phase < in) axis.phases[static_cast<size_t>(phase)].push_back({k, (phase + padding - k * dilation) / stride});
  }
  return axis;
}

// Every pixel meets one weight of a channel: where a row begins does not matter.
bool flat(const espalier_conv2d& s) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride_height == 1 && s.stride_width == 1 &&
         s.padding_top == 0 && s.padding_left == 0 && s.in_height == s.out_height && s.in_width == s.out_width;
}
// A plane cut anew, into rows of whole lines where that can be, else one row.
Axes flat_axes(int64_t plane) {
  constexpr int64_t kMost = 1024;
  int64_t width = plane;
  for (int64_t whole = kMost; whole >= kLine && plane % kLine == 0; whole -= kLine)
    if (plane % whole == 0) {
      width = whole;
      break;
    }
  const int64_t height = width == 0 ? 0 : plane / width;
  return {{height, height, 1, 1, {{{0, 0}}}}, {width, width, 1, 1, {{{0, 0}}}}};
}

std::vector<int64_t> offsets_of(const Axis& axis) {
  std::vector<int64_t> offsets;
  for (const auto& phase : axis.phases)
    for (const Tap& tap : phase) offsets.push_back(tap.offset);
  std::sort(offsets.begin(), offsets.end());
  offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
  return offsets;
}

// How many places `count` indices take, and the distance of neighbours.
struct Extent {
  int64_t places, apart;
};
Extent extent_of(const std::vector<int64_t>& offsets, int64_t stride, int64_t count) {
  if (offsets.empty()) return {0, 1};
  int64_t apart = count > 1 ? stride : 0;
  for (const int64_t offset : offsets) apart = std::gcd(apart, offset - offsets[0]);
  apart = std::max<int64_t>(apart, 1);
  return {((count - 1) * stride + offsets.back() - offsets[0]) / apart + 1, apart};
}

bool shares(const std::vector<int64_t>& offsets, int64_t stride, int64_t count) {
  return count == 1 ||
         extent_of(offsets, stride, count).places <= count * static_cast<int64_t>(std::max<size_t>(offsets.size(), 1));
}

}  // namespace

Axes forward_axes(const espalier_conv2d& s) {
  if (flat(s)) return flat_axes(s.in_height * s.in_width);
  return {forward_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height),
          forward_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width)};
}

Axes data_grad_axes(const espalier_conv2d& s) {
  if (flat(s)) return flat_axes(s.in_height * s.in_width);
  return {data_grad_axis(s.in_height, s.out_height, s.kernel_height, s.stride_height, s.padding_top, s.dilation_height),
          data_grad_axis(s.in_width, s.out_width, s.kernel_width, s.stride_width, s.padding_left, s.dilation_width)};
}

int64_t Places::of(const Tap& tap) const {
  return std::lower_bound(place.begin(), place.end(), tap.offset) - place.begin();
}

Places places_of(const Axis& axis, int64_t count) {
  const std::vector<int64_t> offsets = offsets_of(axis);
  const Extent extent = extent_of(offsets, axis.stride, count);
  // A single index needs no place between its taps.
  if (count == 1) return {offsets, 0};
  Places made{std::vector<int64_t>(static_cast<size_t>(extent.places)), axis.stride / extent.apart};
  for (int64_t i = 0; i < extent.places; ++i) made.place[static_cast<size_t>(i)] = offsets[0] + i * extent.apart;
  return made;
}

bool share_places(const Axis& axis, int64_t count) { return shares(offsets_of(axis), axis.stride, count); }

Tiling tiling_of(const Axes& axes, int64_t n, int64_t in, int64_t out, int64_t kept) {
  const std::vector<int64_t> down = offsets_of(axes.rows), right = offsets_of(axes.columns);
  const int64_t width = axes.columns.lattice(0), height = axes.rows.lattice(0);

  // Cycles, roughly, for a row of an input channel: a product each 1, a line packed or unpacked as measured, by how
  // many moves it takes. What lanes beyond a row's end do is lost, and so are units without an image.
  const auto moving = [](int64_t units, int64_t apart) {
    if (units == 1 && apart <= 2) return 4.0 + static_cast<double>(apart);
    return apart == 1 ? 5.0 * static_cast<double>(units) : 3.0 * kLine;
  };
  const double products = static_cast<double>(kept) / static_cast<double>(std::max<int64_t>(in, 1));
  const double outputs = static_cast<double>(out) / static_cast<double>(std::max<int64_t>(in, 1));
  Tiling best{};
  double least = std::numeric_limits<double>::infinity();
  for (int64_t columns = kLine; columns >= 1; columns /= 2)
    for (const int64_t vectors : {int64_t{1}, int64_t{2}, int64_t{4}, divide_up(width, columns)}) {
      if (vectors > 32 || (vectors > 1 && (vectors - 1) * columns >= width)) continue;
      if (!shares(right, axes.columns.stride, vectors)) continue;
      const int64_t units = kLine / columns, segments = divide_up(width, columns * vectors);
      const double packed = static_cast<double>(extent_of(right, axes.columns.stride, vectors).places) *
                            moving(units, vectors * axes.columns.stride);
      const double computed =
          static_cast<double>(vectors) * (products + outputs * moving(units, vectors * axes.columns.step));
      const double lost = n >= units ? static_cast<double>(divide_up(n, units) * units) / static_cast<double>(n) : 1;
      const double cost = lost * static_cast<double>(segments) / static_cast<double>(units) * (packed + computed);
      if (cost < least) {
        least = cost;
        best = {columns, units, vectors, segments, 1, 1};
      }
    }

  // A band's input and sums stay in the second-level cache together; bands enough for all units of a line, and for
  // a few threads where images are few.
  constexpr int64_t kBandBytes = 832 << 10, kTasks = 8;
  const int64_t columns = best.segments * extent_of(right, axes.columns.stride, best.vectors).places;
  const auto fits = [&](int64_t rows) {
    const double packed = static_cast<double>(extent_of(down, axes.rows.stride, rows).places * columns);
    const double sums = static_cast<double>(rows * best.row_lines());
    return (static_cast<double>(in) * packed + static_cast<double>(out) * sums) * kLine * sizeof(float) <= kBandBytes;
  };
  int64_t rows = height;
  const int64_t span = down.empty() ? 1 : down.back() - down.front() + 1;
  if (n < best.units) rows = divide_up(height, divide_up(best.units, n));
  if (n < kTasks * best.units)
    rows = std::min(
        rows, std::max(divide_up(height, divide_up(kTasks * best.units, n)), 4 * divide_up(span, axes.rows.stride)));
  int64_t most = 1;
  for (int64_t above = rows + 1; above - most > 1;) {
    const int64_t middle = most + (above - most) / 2;
    (fits(middle) ? most : above) = middle;
  }
  best.rows = divide_up(height, divide_up(height, most));
  if (!shares(down, axes.rows.stride, best.rows)) best.rows = 1;
  best.bands = divide_up(height, best.rows);
  return best;
}

}  // namespace espalier::sparse
