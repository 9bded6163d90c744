#include "sparse/panels.h"

#include <algorithm>
#include <cstring>

#define ESPALIER_KERNEL "sparse/panels.inl"
namespace espalier {
using sparse::Layout;
}
#include "simd/each_isa.h"

namespace espalier::sparse {

void pack_panels(const Samples& samples, int64_t components, const float* x, int64_t first, int64_t count,
                 const Layout& layout, float* to) {
  const int64_t from = first * kPanel, there = std::min(count * kPanel, samples.count - from);
  if (samples.by_row)
    for (int64_t p = 0; p < count; ++p)
      ESPALIER_ON_ISA(pack_rows(components, x + (from + p * kPanel) * components, std::min(kPanel, there - p * kPanel),
                                to + p * layout.panel, layout.component));
  else ESPALIER_ON_ISA(pack_columns(components, samples.count, x + from, count, there, layout, to));
}

void unpack_panels(const Samples& samples, const Part& part, const float* from, const Layout& layout, int64_t first,
                   int64_t count, float* y) {
  const int64_t begin = first * kPanel, there = std::min(count * kPanel, samples.count - begin);
  if (samples.by_row)
    for (int64_t p = 0; p < count; ++p)
      ESPALIER_ON_ISA(unpack_rows(part.count, from + p * layout.panel, layout.component,
                                  std::min(kPanel, there - p * kPanel),
                                  y + (begin + p * kPanel) * part.all + part.first, part.all));
  else
    for (int64_t c = 0; c < part.count; ++c)
      for (int64_t p = 0; p < count; ++p)
        std::memcpy(y + (part.first + c) * samples.count + begin + p * kPanel,
                    from + p * layout.panel + c * layout.component,
                    static_cast<size_t>(std::min(kPanel, there - p * kPanel)) * sizeof(float));
}

}  // namespace espalier::sparse
