#include "sparse/integer_codes.h"

#define ESPALIER_KERNEL "sparse/integer_codes.inl"
namespace espalier {
using sparse::CodeRange;
}
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Element [sample][component] of X or Y stands at offset + sample·by_sample + component·by_component, for the 16
// samples of a panel.
struct Steps {
  int64_t offset, by_sample, by_component;
};
Steps steps_of(const Samples& samples, int64_t components, int64_t panel) {
  switch (samples.layout) {
    case ESPALIER_SPARSE_LAYOUT_COLUMNS: return {panel * kPanel, 1, samples.count};
    case ESPALIER_SPARSE_LAYOUT_ROWS: return {panel * kPanel * components, components, 1};
    case ESPALIER_SPARSE_LAYOUT_PANELS: return {panel * kPanel * components, 1, kPanel};
  }
  return {0, 0, 0};
}

}  // namespace

void pack_wide(const IntegerCall& call, int64_t components, CodeRange range, int64_t first, int64_t count,
               int32_t* to) {
  for (int64_t s = 0; s < count; s += kPanel, to += components * kPanel) {
    const Steps at = steps_of(call.samples, components, (first + s) / kPanel);
    const int64_t there = std::min(kPanel, call.samples.count - first - s);
    const auto pack = [&](const auto* x) {
      ESPALIER_ON_ISA(widen(x + at.offset, at.by_sample, at.by_component, there, components, range, to));
    };
    switch (call.codes) {
      case Codes::uint8: pack(static_cast<const uint8_t*>(call.x)); break;
      case Codes::int8: pack(static_cast<const int8_t*>(call.x)); break;
      case Codes::float32: pack(static_cast<const float*>(call.x)); break;
    }
  }
}

void unpack_wide(const IntegerCall& call, int64_t components, const int32_t* sums, int64_t first, int64_t count) {
  for (int64_t s = 0; s < count; s += kPanel, sums += components * kPanel) {
    const Steps at = steps_of(call.samples, components, (first + s) / kPanel);
    const int64_t there = call.samples.layout == ESPALIER_SPARSE_LAYOUT_PANELS
                              ? kPanel
                              : std::min(kPanel, call.samples.count - first - s);
    const auto unpack = [&](auto* y) {
      ESPALIER_ON_ISA(finish(sums, components, call.start, call.relu, there, y + at.offset, at.by_sample,
                             at.by_component));
    };
    if (call.codes == Codes::float32) unpack(static_cast<float*>(call.y));
    else unpack(static_cast<int32_t*>(call.y));
  }
}

}  // namespace espalier::sparse
