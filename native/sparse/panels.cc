#include "sparse/panels.h"

#include <algorithm>

#include "core/failure.h"

#define ESPALIER_KERNEL "sparse/panels.inl"
namespace espalier {
using sparse::Layout;
}
#include "simd/each_isa.h"

namespace espalier::sparse {

void pack_panels(const Samples& samples, const Part& part, const float* x, int64_t first, int64_t count,
                 const Layout& layout, float* to) {
  const int64_t from = first * kPanel, there = std::min(count * kPanel, samples.count - from);
  switch (samples.layout) {
    case ESPALIER_SPARSE_LAYOUT_COLUMNS:
      ESPALIER_ON_ISA(
          pack_columns(part.count, samples.count, x + part.first * samples.count + from, count, there, layout, to));
      break;
    case ESPALIER_SPARSE_LAYOUT_ROWS:
      for (int64_t p = 0; p < count; ++p)
        ESPALIER_ON_ISA(pack_rows(part.count, x + (from + p * kPanel) * part.all + part.first, part.all,
                                  std::min(kPanel, there - p * kPanel), to + p * layout.panel, layout.component));
      break;
    case ESPALIER_SPARSE_LAYOUT_PANELS:
      ESPALIER_ON_ISA(copy_panels(part.count, x + from * part.all + part.first * kPanel, close_together(part.all),
                                  count, to, layout));
      for (int64_t s = there; s < count * kPanel; ++s)
        for (int64_t c = 0; c < part.count; ++c)
          to[s / kPanel * layout.panel + c * layout.component + s % kPanel] = 0.0f;
      break;
  }
}

void unpack_panels(const Samples& samples, const Part& part, const float* from, const Layout& layout, int64_t first,
                   int64_t count, float* y) {
  const int64_t begin = first * kPanel, there = std::min(count * kPanel, samples.count - begin);
  switch (samples.layout) {
    case ESPALIER_SPARSE_LAYOUT_COLUMNS:
      ESPALIER_ON_ISA(unpack_columns(part.count, from, layout, count, there, y + part.first * samples.count + begin,
                                     samples.count));
      break;
    case ESPALIER_SPARSE_LAYOUT_ROWS:
      for (int64_t p = 0; p < count; ++p)
        ESPALIER_ON_ISA(unpack_rows(part.count, from + p * layout.panel, layout.component,
                                    std::min(kPanel, there - p * kPanel),
                                    y + (begin + p * kPanel) * part.all + part.first, part.all));
      break;
    case ESPALIER_SPARSE_LAYOUT_PANELS:
      ESPALIER_ON_ISA(copy_panels(part.count, from, layout, count, y + begin * part.all + part.first * kPanel,
                                  close_together(part.all)));
      break;
  }
}

}  // namespace espalier::sparse
