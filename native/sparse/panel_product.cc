#include "sparse/panel_product.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/scratch.h"
#include "sparse/cost.h"

namespace espalier::sparse {
namespace {

// Bytes of X and Y that work together: they stay in the second-level cache, which is 1 MB on cores with AVX-512 and
// half of that, or less, on others.
int64_t near() { return is_avx2() ? 288 << 10 : 640 << 10; }
// Parts that a product of few samples is cut into at most.
constexpr int64_t kParts = 8;

}  // namespace

int64_t PanelProduct::panels_together() const {
  return std::clamp<int64_t>(near() / ((rows_ + columns_ + 1) * kPanel * 4), 4, 8);
}

void PanelProduct::multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const {
  const int64_t panels = panels_of(samples.count), together = panels_together();
  const bool in_panels = samples.layout == ESPALIER_SPARSE_LAYOUT_PANELS;
  const bool packs = !in_panels || (reads_across() && panels > 1);
  const Layout of_x = packs ? stacked(columns_) : close_together(columns_);
  // Sums go to panels of their own first where Y holds samples otherwise: its rows may lie 4 KiB apart, and writing a
  // line of each of a group's in turn is slow.
  const Layout of_y = in_panels ? close_together(rows_) : stacked(rows_);
  const auto run_groups = [&](int64_t first, int64_t last, int64_t count, const float* from, float* sums,
                              const Layout& of_sums) {
    run({first, last, count, from, of_x.panel, bias, relu, sums, of_sums.panel});
  };
  int64_t tasks = (panels + together - 1) / together;
  if (tasks > 1) {
    // An even number: two threads then have as much to do.
    tasks += tasks & 1;
    parallel_for(tasks, [&](int64_t task) {
      const int64_t first = panels * task / tasks, count = panels * (task + 1) / tasks - first;
      const float* from = x + first * of_x.panel;
      if (packs) {
        float* const packed = scratch<float>(Scratch::kPackB, count * of_x.panel);
        pack_panels(samples, columns_, x, first, count, of_x, packed);
        from = packed;
      }
      float* const sums = in_panels ? y + first * of_y.panel : scratch<float>(Scratch::kColumns, count * of_y.panel);
      run_groups(0, groups(), count, from, sums, of_y);
      if (!in_panels) unpack_panels(samples, {0, rows_, rows_}, sums, of_y, first, count, y);
    });
    return;
  }
  // Few samples: the groups of rows are shared out instead.
  const float* from = x;
  if (packs) {
    float* const packed = scratch<float>(Scratch::kPackB, panels * of_x.panel);
    parallel_for(panels, [&](int64_t p) { pack_panels(samples, columns_, x, p, 1, of_x, packed + p * of_x.panel); });
    from = packed;
  }
  const int64_t parts = std::min<int64_t>(groups(), kParts);
  const auto for_parts = [&](auto&& body) {
    parallel_for(parts, [&](int64_t part) { body(groups() * part / parts, groups() * (part + 1) / parts); });
  };
  if (!in_panels && rows_in_order()) {
    // A part's rows are unpacked while their sums are near.
    for_parts([&](int64_t first, int64_t last) {
      const int64_t begin = first_row(first), rows = first_row(last) - begin;
      const Layout of_part = stacked(rows);
      float* const sums = scratch<float>(Scratch::kColumns, panels * of_part.panel);
      run_groups(first, last, panels, from, sums, of_part);
      unpack_panels(samples, {begin, rows, rows_}, sums, of_part, 0, panels, y);
    });
    return;
  }
  float* const sums = in_panels ? y : scratch<float>(Scratch::kColumns, panels * of_y.panel);
  for_parts([&](int64_t first, int64_t last) {
    run_groups(first, last, panels, from, sums + first_row(first) * kPanel, of_y);
  });
  if (!in_panels)
    parallel_for(panels, [&](int64_t p) {
      unpack_panels(samples, {0, rows_, rows_}, sums + p * of_y.panel, of_y, p, 1, y);
    });
}

}  // namespace espalier::sparse
