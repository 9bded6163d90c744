#include "sparse/sampled.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sparse/panels.h"

namespace espalier {
using sparse::Pattern;
// Columns whose samples of one pass stay in the first-level cache, 24 KiB in AVX-512.
constexpr int64_t kSampledColumns = 48;
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/sampled.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Rows a task owns: it adds up its own entries over all samples, so the bits do not depend on the threads.
constexpr int64_t kRowsATask = 256;

}  // namespace

void sampled_product(const Pattern& pattern, const Samples& samples, const float* dy, const float* x, float* values) {
  const int64_t entries = pattern.entries();
  std::fill_n(values, entries, 0.0f);
  if (entries == 0 || samples.count == 0) return;
  const int64_t panels = panels_of(samples.count);
  // A pass takes as many panels as the registers hold of a row of dY, the last passes fewer.
  int64_t most = 1;
  ESPALIER_ON_ISA(sampled_panels(most));
  const int64_t room = std::min(panels, most) * kPanel;
  float* const packed_x = scratch<float>(Scratch::kPackB, pattern.columns * room);
  float* const packed_dy = scratch<float>(Scratch::kPackA, pattern.rows * room);
  for (int64_t first = 0; first < panels;) {
    int64_t count = most;
    while (count > panels - first) count /= 2;
    pack_panels(samples, pattern.columns, x, first, count, side_by_side(count), packed_x);
    pack_panels(samples, pattern.rows, dy, first, count, side_by_side(count), packed_dy);
    parallel_ranges(pattern.rows, kRowsATask, [&](int64_t begin, int64_t end) {
      int64_t* const next = scratch<int64_t>(Scratch::kIndex, end - begin);
      ESPALIER_ON_ISA(sampled_rows(pattern, begin, end, count, packed_dy, packed_x, next, values));
    });
    first += count;
  }
}

}  // namespace espalier::sparse
