#include "sparse/conv_lines.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/scratch.h"

#define ESPALIER_KERNEL "sparse/conv_lines.inl"
namespace espalier {
using sparse::Packing;
using sparse::Tiling;

// A few rows copied with zeros around them, so that lines are whole loads: column 0 stands at `zero` in each, and
// columns [begin, end) are all that any line reads. Without a buffer where zeros would be out of proportion.
struct Margins {
  float* buffer;
  int64_t rows, pitch, zero, begin, end;
};
}  // namespace espalier
#include "simd/each_isa.h"

namespace espalier::sparse {

namespace {

// Columns 0, 1, … of a row.
Places first_columns(int64_t count) {
  Places made{std::vector<int64_t>(static_cast<size_t>(count)), 1};
  std::iota(made.place.begin(), made.place.end(), 0);
  return made;
}

}  // namespace

Packing::Packing(const Axes& axes, const Tiling& cut, bool whole_rows)
    : tiling(cut),
      rows(axes.rows),
      columns(axes.columns),
      down(places_of(axes.rows, cut.rows)),
      right(whole_rows ? first_columns(cut.vectors) : places_of(axes.columns, cut.vectors)),
      // An odd number: channels a power of two apart would fall into the same few sets of the cache.
      channel((down.count() * cut.segments * right.count()) | 1) {}

namespace {

Margins margins_of(const Packing& packing) {
  constexpr int64_t kBuffer = 4096, kMostPitch = 1 << 16;
  const Tiling& tiling = packing.tiling;
  const auto whole = [](int64_t floats) { return (floats + kLine - 1) / kLine * kLine; };
  const int64_t lowest = packing.right.place.front();
  // One past the last column of any line's last load.
  const int64_t highest = (tiling.segments - 1) * tiling.segment() * packing.columns.stride +
                          packing.right.place.back() + kLine * tiling.vectors * packing.columns.stride + kLine;
  const int64_t begin = std::max<int64_t>(lowest, 0), end = std::min(highest, packing.columns.in);
  if (highest - lowest > std::max(kMostPitch, 4 * packing.columns.in)) return {nullptr, 1, 0, 0, begin, end};
  // (Copies begin where lines of the cache do.)
  const int64_t zero = lowest < 0 ? whole(-lowest) : -(lowest / kLine * kLine);
  const int64_t pitch = whole(highest + zero), rows = std::clamp<int64_t>(kBuffer / pitch, 1, packing.down.count());
  float* const buffer = scratch<float>(Scratch::kOther, rows * pitch);
  std::fill_n(buffer, rows * pitch, 0.0f);
  return {buffer, rows, pitch, zero, begin, end};
}

}  // namespace

void pack_lines(const Packing& packing, const Bands& bands, const std::vector<int32_t>& channels, int64_t of,
                const float* x, float* to) {
  const Tiling& tiling = packing.tiling;
  const int64_t plane = packing.rows.in * packing.columns.in, size = packing.channel * kLine;
  if (packing.right.count() == 0 || packing.down.count() == 0) return;
  if (packing.full_rows()) {
    const int64_t image = bands.first / tiling.bands, band = bands.first % tiling.bands;
    for (size_t c = 0; c < channels.size(); ++c)
      ESPALIER_ON_ISA(pack_full_band(packing, x + (image * of + channels[c]) * plane,
                                     band * tiling.rows * packing.rows.stride, to + static_cast<int64_t>(c) * size));
    return;
  }
  const Margins margins = margins_of(packing);
  for (size_t c = 0; c < channels.size(); ++c)
    for (int64_t unit = 0; unit < tiling.units; ++unit) {
      float* const lane = to + static_cast<int64_t>(c) * size + unit * tiling.columns;
      if (unit >= bands.count) {
        for (int64_t line = 0; line < size; line += kLine) std::fill_n(lane + line, tiling.columns, 0.0f);
        continue;
      }
      const int64_t image = (bands.first + unit) / tiling.bands, band = (bands.first + unit) % tiling.bands;
      ESPALIER_ON_ISA(pack_band(packing, margins, x + (image * of + channels[c]) * plane,
                                band * tiling.rows * packing.rows.stride, lane));
    }
}

void unpack_lines(const Axes& axes, const Tiling& tiling, const Phase& phase, const Bands& bands, int64_t channels,
                  const float* from, int64_t pitch, float* y) {
  const Axis &rows = axes.rows, &columns = axes.columns;
  const int64_t width = columns.lattice(phase.column), height = rows.lattice(phase.row);
  for (int64_t unit = 0; unit < bands.count; ++unit) {
    const int64_t image = (bands.first + unit) / tiling.bands,
                  first = (bands.first + unit) % tiling.bands * tiling.rows;
    const int64_t there = std::min(tiling.rows, height - first);
    if (there > 0 && width > 0)
      ESPALIER_ON_ISA(
          unpack_band(tiling, from + unit * tiling.columns, pitch, channels, there, width, rows.out * columns.out,
                      rows.step * columns.out, columns.step,
                      y + (image * channels * rows.out + first * rows.step + phase.row) * columns.out + phase.column));
  }
}

}  // namespace espalier::sparse
