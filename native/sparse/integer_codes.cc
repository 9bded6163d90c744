#include "sparse/integer_codes.h"

#include "core/scratch.h"
#include "simd/isa.h"

namespace espalier {
namespace {
// Element [sample][component] of X stands at sample·by_sample + component·by_component, within a panel.
struct CodeSteps {
  int64_t by_sample, by_component, by_panel;
};
// What the type of X's codes holds of a range. If that is nothing, all of them count as its nearest end, which stands
// so far beyond the type's own.
struct HeldRange {
  int32_t low, high, beyond;
};
struct CodesView {
  int64_t there, columns;  // samples that exist
  CodeSteps steps;
  sparse::CodeRange range;
  HeldRange held;
};
using sparse::CodeOrder;
constexpr int64_t kPanelSamples = sparse::kPanel;
}  // namespace
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/integer_codes.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {

CodeShape code_shape() {
  CodeShape shape{};
  ESPALIER_ON_ISA(tell_code_shape(shape.samples, shape.terms, shape.bytes, shape.lanes));
  return shape;
}

int32_t code_bias(CodeRange range) {
  int32_t bias = 0;
  ESPALIER_ON_ISA(tell_bias(range, bias));
  return bias;
}

std::vector<uint32_t> of_bias(const IntegerEntries& entries, int32_t bias) {
  const Pattern& pattern = entries.pattern;
  std::vector<uint32_t> sums(static_cast<size_t>(pattern.rows));
  for (int64_t r = 0; r < pattern.rows; ++r)
    for (int64_t i = pattern.begin(r); i < pattern.end(r); ++i)
      sums[static_cast<size_t>(r)] +=
          static_cast<uint32_t>(bias) * static_cast<uint32_t>(entries.value[static_cast<size_t>(i)]);
  return sums;
}

BiasedStart::BiasedStart(const IntegerEntries& entries, CodeRange range)
    : of_bias_(of_bias(entries, code_bias(range))) {}

std::vector<int32_t> BiasedStart::of(const IntegerCall& call) const {
  std::vector<int32_t> start(of_bias_.size());
  for (size_t r = 0; r < start.size(); ++r)
    start[r] = static_cast<int32_t>((call.start == nullptr ? 0u : static_cast<uint32_t>(call.start[r])) - of_bias_[r]);
  return start;
}

namespace {
HeldRange held_by(Codes codes, CodeRange range) {
  if (codes == Codes::float32) return {range.low, range.high, 0};
  const int32_t least = codes == Codes::int8 ? -128 : 0;
  const int32_t low = std::clamp(range.low, least, least + 255), high = std::clamp(range.high, least, least + 255);
  return {low, high, std::max(range.low - low, 0) + std::min(range.high - high, 0)};
}

// Calls body(view, x) for X from sample `first` on, by the type of its codes.
template <class Body>
void for_codes(const IntegerCall& call, int64_t columns, CodeRange range, int64_t first, Body body) {
  const int64_t count = call.samples.count;
  int64_t offset = 0;
  CodesView view{count - first, columns, {}, range, held_by(call.codes, range)};
  switch (call.samples.layout) {
    case ESPALIER_SPARSE_LAYOUT_COLUMNS:
      view.steps = {1, count, kPanel};
      offset = first;
      break;
    case ESPALIER_SPARSE_LAYOUT_ROWS:
      view.steps = {columns, 1, columns * kPanel};
      offset = first * columns;
      break;
    case ESPALIER_SPARSE_LAYOUT_PANELS:
      view.steps = {1, kPanel, columns * kPanel};
      offset = first / kPanel * kPanel * columns + first % kPanel;
      break;
  }
  switch (call.codes) {
    case Codes::uint8: body(view, static_cast<const uint8_t*>(call.x) + offset); break;
    case Codes::int8: body(view, static_cast<const int8_t*>(call.x) + offset); break;
    case Codes::float32: body(view, static_cast<const float*>(call.x) + offset); break;
  }
}
}  // namespace

void pack_codes(const IntegerCall& call, int64_t columns, CodeRange range, CodeOrder order, int64_t first, void* to) {
  for_codes(call, columns, range, first,
            [&](const CodesView& view, const auto* x) { ESPALIER_ON_ISA(pack_codes(view, x, order, to)); });
}

void pack_words(const IntegerCall& call, int64_t columns, CodeRange range, int64_t first, int64_t samples,
                int16_t* to) {
  for_codes(call, columns, range, first, [&](CodesView view, const auto* x) {
    view.there = std::min(view.there, samples);
    ESPALIER_ON_ISA(pack_words(view, x, to));
  });
}

void pack_sample(const IntegerCall& call, int64_t columns, CodeRange range, int64_t sample, int32_t bias, uint8_t* to) {
  for_codes(call, columns, range, sample,
            [&](const CodesView& view, const auto* x) { ESPALIER_ON_ISA(take_sample(view, x, bias, to)); });
}

int64_t samples_computed(const IntegerCall& call, int64_t first) {
  const CodeShape shape = code_shape();
  return call.samples.count - first <= shape.half() ? shape.half() : shape.samples;
}

SumsPlace place_in_y(const IntegerCall& call, int64_t rows, int64_t first) {
  return place_in_y(call, rows, first, samples_computed(call, first));
}
SumsPlace place_in_y(const IntegerCall& call, int64_t rows, int64_t first, int64_t samples) {
  const int64_t lanes = code_shape().lanes, last = first + samples;
  int32_t* const y = static_cast<int32_t*>(call.y);
  const auto in_panels = [&](int64_t sample) { return sample / kPanel * kPanel * rows + sample % kPanel; };
  switch (call.samples.layout) {
    case ESPALIER_SPARSE_LAYOUT_COLUMNS:
      if (last <= call.samples.count) return {y + first, call.samples.count, lanes, 2 * lanes};
      break;
    case ESPALIER_SPARSE_LAYOUT_PANELS:
      if (last <= panels_of(call.samples.count) * kPanel)
        return {y + in_panels(first), kPanel, in_panels(lanes), in_panels(2 * lanes)};
      break;
    case ESPALIER_SPARSE_LAYOUT_ROWS: break;
  }
  return {nullptr, 0, 0, 0};
}

void finish_words(const IntegerCall& call, int64_t components, RowRange rows, int64_t first, int64_t samples,
                  const WordSums& sums, const SumsPlace& in_y) {
  const bool as_float = call.codes == Codes::float32;
  if (in_y.at != nullptr) {
    ESPALIER_ON_ISA(finish_words(rows, samples, sums, call.start, call.relu, as_float, in_y));
    return;
  }
  const int64_t there = std::min(samples, call.samples.count - first);
  if (call.samples.layout == ESPALIER_SPARSE_LAYOUT_ROWS) {
    int32_t* const y = static_cast<int32_t*>(call.y) + first * components;
    ESPALIER_ON_ISA(words_to_rows(rows, there, sums, call.start, call.relu, as_float, y, components));
    return;
  }
  // The last samples, of which not all are there.
  const int64_t lanes = code_shape().lanes;
  int32_t* const wide = scratch<int32_t>(Scratch::kColumns, components * samples);
  ESPALIER_ON_ISA(
      finish_words(rows, samples, sums, call.start, call.relu, as_float, {wide, samples, lanes, 2 * lanes}));
  unpack_sums(call, components, rows, wide, first, samples);
}

// (Words that are moved and never read: whether they are whole numbers or float32 does not matter.)
void unpack_sums(const IntegerCall& call, int64_t components, RowRange rows, const int32_t* sums, int64_t first,
                 int64_t samples) {
  sums += rows.first * samples;
  if (call.samples.layout == ESPALIER_SPARSE_LAYOUT_ROWS) {
    int32_t* const y = static_cast<int32_t*>(call.y) + first * components + rows.first;
    const int64_t there = std::min(samples, call.samples.count - first);
    ESPALIER_ON_ISA(sums_to_rows(rows.count, sums, samples, there, y, components));
    return;
  }
  if (samples >= kPanel) {
    const int64_t panels = std::min(samples / kPanel, panels_of(call.samples.count) - first / kPanel);
    unpack_panels(call.samples, {rows.first, rows.count, components}, reinterpret_cast<const float*>(sums),
                  {kPanel, samples}, first / kPanel, panels, static_cast<float*>(call.y));
    return;
  }
  const int64_t there = std::min(samples, call.samples.count - first);
  int32_t* const y = static_cast<int32_t*>(call.y);
  for (int64_t c = 0; c < rows.count; ++c)
    for (int64_t i = 0; i < there; ++i) {
      const int64_t s = first + i, component = rows.first + c;
      int64_t at = 0;
      switch (call.samples.layout) {
        case ESPALIER_SPARSE_LAYOUT_COLUMNS: at = component * call.samples.count + s; break;
        case ESPALIER_SPARSE_LAYOUT_ROWS: break;
        case ESPALIER_SPARSE_LAYOUT_PANELS: at = (s / kPanel * components + component) * kPanel + s % kPanel; break;
      }
      y[at] = sums[c * samples + i];
    }
}

void unpack_panels_of_sums(const IntegerCall& call, int64_t components, RowRange rows, const int32_t* sums,
                           int64_t apart, int64_t first_panel, int64_t panels) {
  if (call.samples.layout != ESPALIER_SPARSE_LAYOUT_ROWS) {
    unpack_panels(call.samples, {rows.first, rows.count, components}, reinterpret_cast<const float*>(sums),
                  {apart, kPanel}, first_panel, panels, static_cast<float*>(call.y));
    return;
  }
  for (int64_t p = 0; p < panels; ++p, sums += apart) {
    const int64_t first = (first_panel + p) * kPanel;
    int32_t* const y = static_cast<int32_t*>(call.y) + first * components + rows.first;
    ESPALIER_ON_ISA(panel_to_rows(rows.count, sums, std::min(kPanel, call.samples.count - first), y, components));
  }
}

}  // namespace espalier::sparse
