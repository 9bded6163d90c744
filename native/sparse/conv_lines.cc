#include "sparse/conv_lines.h"

#include <algorithm>
#include <cstring>

#include "core/scratch.h"

#define ESPALIER_KERNEL "sparse/conv_lines.inl"
namespace espalier {
using sparse::Packing;
using sparse::Tiling;
}  // namespace espalier
#include "simd/each_isa.h"

namespace espalier::sparse {

Packing::Packing(const Axes& axes, const Tiling& cut)
    : tiling(cut),
      rows(axes.rows),
      columns(axes.columns),
      down(places_of(axes.rows, cut.rows)),
      right(places_of(axes.columns, cut.vectors)),
      // An odd number: channels a power of two apart would fall into the same few sets of the cache.
      channel((down.count() * cut.segments * right.count()) | 1) {}

void pack_lines(const Packing& packing, const Bands& bands, const std::vector<int32_t>& channels, int64_t of,
                const float* x, float* to) {
  const Tiling& tiling = packing.tiling;
  const int64_t plane = packing.rows.in * packing.columns.in, size = packing.channel * kLine;
  if (packing.right.count() == 0 || packing.down.count() == 0) return;
  const int64_t apart = tiling.vectors * packing.columns.stride;
  // Rows are copied with zeros around them first, a few at a time, so that lines are whole loads.
  constexpr int64_t kBuffer = 4096, kMostPitch = 1 << 16;
  const int64_t pitch = (tiling.segments - 1) * tiling.segment() * packing.columns.stride + packing.right.place.back() -
                        packing.right.place.front() + 16 * apart + 16;
  const bool ordinary = pitch <= std::max(kMostPitch, 4 * packing.columns.in);
  const int64_t together = ordinary ? std::clamp<int64_t>(kBuffer / pitch, 1, packing.down.count()) : 1;
  float* const buffer = ordinary ? scratch<float>(Scratch::kOther, together * pitch) : nullptr;
  if (ordinary) std::fill_n(buffer, together * pitch, 0.0f);
  for (size_t c = 0; c < channels.size(); ++c)
    for (int64_t unit = 0; unit < tiling.units; ++unit) {
      float* const lane = to + static_cast<int64_t>(c) * size + unit * tiling.columns;
      if (unit >= bands.count) {
        for (int64_t line = 0; line < size; line += kLine) std::fill_n(lane + line, tiling.columns, 0.0f);
        continue;
      }
      const int64_t image = (bands.first + unit) / tiling.bands, band = (bands.first + unit) % tiling.bands;
      ESPALIER_ON_ISA(pack_band(packing, x + (image * of + channels[c]) * plane,
                                band * tiling.rows * packing.rows.stride, apart, buffer, pitch, together, lane));
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
