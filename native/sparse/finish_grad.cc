#include "sparse/finish_grad.h"

#include <algorithm>

#include "sparse/panels.h"

#define ESPALIER_KERNEL "sparse/finish_grad.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Panels that a thread takes at a time: their sums come out together, with as many fewer sums over lanes.
constexpr int64_t kTogether = 4;

}  // namespace

void finish_grad(const Samples& samples, int64_t components, const float* dy, const float* y, float* dz, float* sums) {
  const int64_t panels = panels_of(samples.count), panel = components * kPanel;
  const int64_t parts = (panels + kTogether - 1) / kTogether;
  float* const of_parts = sums == nullptr ? nullptr : scratch<float>(Scratch::kPartial, parts * components);
  parallel_for(parts, [&](int64_t part) {
    const int64_t first = part * kTogether, count = std::min(kTogether, panels - first);
    float* const to = dz + first * panel;
    // (Packing what is packed copies it, and clears what stands past the last sample.)
    if (dy != dz) pack_panels(samples, components, dy, first, count, close_together(components), to);
    else if (const int64_t there = samples.count % kPanel; there > 0 && first + count == panels)
      for (int64_t c = 0; c < components; ++c)
        std::fill(to + (count - 1) * panel + c * kPanel + there, to + (count - 1) * panel + (c + 1) * kPanel, 0.0f);
    if (y == nullptr && sums == nullptr) return;
    ESPALIER_ON_ISA(finish_grad_of_panels(components, count, y == nullptr ? nullptr : y + first * panel, to,
                                          sums == nullptr ? nullptr : of_parts + part * components));
  });
  if (sums == nullptr) return;
  std::copy_n(of_parts, components, sums);
  for (int64_t part = 1; part < parts; ++part)
    for (int64_t c = 0; c < components; ++c) sums[c] += of_parts[part * components + c];
}

}  // namespace espalier::sparse
