#include "sparse/panels.h"

#include <algorithm>
#include <cstring>

#define ESPALIER_KERNEL "sparse/panels.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {

namespace {

// One panel, its components `pitch` elements apart.
void pack_panel(const Samples& samples, int64_t components, const float* x, int64_t panel, float* to, int64_t pitch) {
  const int64_t from = panel * kPanel, there = std::min(kPanel, samples.count - from);
  if (samples.by_row) ESPALIER_ON_ISA(pack_rows(components, x + from * components, there, to, pitch));
  else ESPALIER_ON_ISA(pack_columns(components, samples.count, x + from, there, to, pitch));
}

}  // namespace

void pack_panels(const Samples& samples, int64_t components, const float* x, int64_t first, int64_t count, float* to) {
  for (int64_t p = 0; p < count; ++p)
    pack_panel(samples, components, x, first + p, to + p * components * kPanel, kPanel);
}

void pack_side_by_side(const Samples& samples, int64_t components, const float* x, int64_t first, int64_t count,
                       float* to) {
  for (int64_t p = 0; p < count; ++p) pack_panel(samples, components, x, first + p, to + p * kPanel, count * kPanel);
}

void unpack_panels(const Samples& samples, const Part& part, const float* from, int64_t first, int64_t count,
                   float* y) {
  for (int64_t panel = first; panel < first + count; ++panel, from += part.count * kPanel) {
    const int64_t to = panel * kPanel, there = std::min(kPanel, samples.count - to);
    if (samples.by_row)
      ESPALIER_ON_ISA(unpack_rows(part.count, from, there, y + to * part.all + part.first, part.all));
    else
      for (int64_t c = 0; c < part.count; ++c)
        std::memcpy(y + (part.first + c) * samples.count + to, from + c * kPanel,
                    static_cast<size_t>(there) * sizeof(float));
  }
}

}  // namespace espalier::sparse
