#include "sparse/conv_weight_grad.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"
#include "core/scratch.h"

#define ESPALIER_KERNEL "sparse/conv_weight_grad.inl"
namespace espalier {
using sparse::GradOrder;
}
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Input lines that stay in the first-level cache while all entries that read them are added to; output lines that
// an entry's sum is taken up for at once.
constexpr int64_t kInputLines = 384, kOutputLines = 16;
// Entries whose sums are kept at a time, a vector each.
constexpr int64_t kMostEntries = int64_t{1} << 18;
// Entries and channels below which a piece of work is not worth a thread's waking.
constexpr int64_t kEntriesATask = 512, kChannelsATask = 8;

}  // namespace

GradOrder grad_order(const Packing& packing, const Stencil& stencil) {
  GradOrder made;
  made.rows = std::clamp<int64_t>((kOutputLines + packing.tiling.row_lines() - 1) / packing.tiling.row_lines(), 1,
                                  packing.tiling.rows);
  // Lines of a channel that so many rows read.
  const int64_t rows = std::min(packing.down.count(), made.rows * std::max<int64_t>(packing.down.step, 1) + 2);
  const int64_t lines = std::max<int64_t>(1, rows * packing.tiling.segments * packing.right.count());
  const int64_t together = std::max<int64_t>(1, kInputLines / lines) * packing.channel;

  struct Entry {
    int64_t block;
    int32_t channel, line, origin;
  };
  std::vector<Entry> entries;
  entries.reserve(stencil.line.size());
  for (int64_t c = 0; c < stencil.channels; ++c)
    for (int64_t i = stencil.start[static_cast<size_t>(c)]; i < stencil.start[static_cast<size_t>(c) + 1]; ++i) {
      const int32_t line = stencil.line[static_cast<size_t>(i)];
      entries.push_back({line / together, static_cast<int32_t>(c), line, stencil.origin[static_cast<size_t>(i)]});
    }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.block != b.block ? a.block < b.block : a.channel < b.channel;
  });
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i == 0 || entries[i].block != entries[i - 1].block || entries[i].channel != entries[i - 1].channel)
      made.runs.push_back({entries[i].channel, static_cast<int64_t>(i), 0});
    ++made.runs.back().count;
    made.line.push_back(entries[i].line);
    made.origin.push_back(entries[i].origin);
  }
  return made;
}

void grad_values(const int32_t* origin, int64_t begin, int64_t end, const float* sums, float* values) {
  ESPALIER_ON_ISA(values_of_sums(origin, begin, end, sums, values));
}

void weight_grad(const Axes& axes, const Packing& packing, const GradOrder& order, int64_t n,
                 const std::vector<int32_t>& channels, int64_t in, int64_t out, const float* x, const float* dy,
                 float* values) {
  const Tiling& tiling = packing.tiling;
  // dy in the same lines: every output meets itself.
  const auto itself = [](const Axis& axis) { return Axis{axis.out, axis.out, 1, 1, {{{0, 0}}}}; };
  const Packing of_dy({itself(axes.rows), itself(axes.columns)}, tiling);
  std::vector<int32_t> all(static_cast<size_t>(out));
  std::iota(all.begin(), all.end(), 0);
  std::vector<int32_t> base;
  for (int64_t row = 0; row < tiling.rows; ++row)
    for (int64_t s = 0; s < tiling.segments; ++s)
      for (int64_t v = 0; v < tiling.vectors; ++v) base.push_back(static_cast<int32_t>(packing.base(row, s, v)));

  float* const packed =
      scratch<float>(Scratch::kPackA, static_cast<int64_t>(channels.size()) * packing.channel * kLine);
  float* const packed_dy = scratch<float>(Scratch::kPackB, out * of_dy.channel * kLine);
  const auto pack = [](const Packing& by, const Bands& bands, const std::vector<int32_t>& of, int64_t every,
                       const float* from, float* to) {
    parallel_ranges(static_cast<int64_t>(of.size()), kChannelsATask, [&](int64_t begin, int64_t end) {
      pack_lines(by, bands, {of.begin() + begin, of.begin() + end}, every, from, to + begin * by.channel * kLine);
    });
  };
  int64_t lanes = 1;
  ESPALIER_ON_ISA(grad_lanes(lanes));
  const int64_t units = n * tiling.bands;
  const std::vector<GradOrder::Run>& runs = order.runs;
  for (size_t first = 0; first < runs.size();) {
    // Runs that are added up in one walk through the batch, and the tasks they are cut into. A task owns its
    // entries, so the bits do not depend on the threads.
    std::vector<size_t> cuts{first};
    const int64_t begin = runs[first].first;
    size_t last = first;
    for (int64_t since = begin; last < runs.size() && (last == first || runs[last].first - begin < kMostEntries);
         ++last)
      if (runs[last].first - since >= kEntriesATask) {
        cuts.push_back(last);
        since = runs[last].first;
      }
    cuts.push_back(last);
    const int64_t end = runs[last - 1].first + runs[last - 1].count;
    float* const sums = scratch<float>(Scratch::kPartial, (end - begin) * lanes);
    std::fill_n(sums, (end - begin) * lanes, 0.0f);
    for (int64_t unit = 0; unit < units; unit += tiling.units) {
      const Bands bands{unit, std::min(tiling.units, units - unit)};
      pack(packing, bands, channels, in, x, packed);
      pack(of_dy, bands, all, out, dy, packed_dy);
      parallel_for(static_cast<int64_t>(cuts.size()) - 1, [&](int64_t task) {
        const int64_t from = static_cast<int64_t>(cuts[static_cast<size_t>(task)]),
                      to = static_cast<int64_t>(cuts[static_cast<size_t>(task) + 1]);
        for (int64_t row = 0; row < tiling.rows; row += order.rows) {
          const int64_t line = row * tiling.row_lines();
          const int64_t count = std::min(order.rows, tiling.rows - row) * tiling.row_lines();
          ESPALIER_ON_ISA(grad_of_runs(order, from, to, begin, packed, base.data() + line, count,
                                       packed_dy + line * kLine, of_dy.channel * kLine, sums));
        }
      });
    }
    grad_values(order.origin.data(), begin, end, sums, values);
    first = last;
  }
}

}  // namespace espalier::sparse
