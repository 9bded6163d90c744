#include "sparse/sampled.h"

#include <algorithm>
#include <array>
#include <utility>

#include "sparse/panels.h"

namespace espalier {
using sparse::SampledPlan;
// Entries that a row of a run has at most; longer ones are cut.
constexpr int kEntriesOfRow = 32;
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/sampled.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Rows a task owns: it adds up its own entries over all samples, so the bits do not depend on the threads.
constexpr int64_t kRowsATask = 256;
// Panels × columns whose samples of one pass stay in the first-level cache, 24 KiB.
constexpr int64_t kLinesNearby = 384;

struct Piece {
  int64_t row, first;  // its first entry
};

SampledPlan planned(const Pattern& pattern, int64_t columns) {
  SampledPlan plan;
  plan.column.reserve(pattern.column.size());
  plan.entry.reserve(pattern.column.size());
  plan.run_start = plan.row_start = plan.entry_start = {0};
  std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
  std::array<std::vector<Piece>, kEntriesOfRow + 1> by_count;
  for (int64_t begin = 0; begin < pattern.rows; begin += kRowsATask) {
    const int64_t end = std::min(pattern.rows, begin + kRowsATask);
    for (int64_t block = 0; block < pattern.columns; block += columns) {
      for (auto& pieces : by_count) pieces.clear();
      for (int64_t r = begin; r < end; ++r) {
        int64_t& at = next[static_cast<size_t>(r)];
        for (int64_t first = at; first < pattern.end(r) && pattern.at(first) < block + columns; first = at) {
          while (at < pattern.end(r) && pattern.at(at) < block + columns && at - first < kEntriesOfRow) ++at;
          by_count[static_cast<size_t>(at - first)].push_back({r, first});
        }
      }
      for (int32_t count = 1; count <= kEntriesOfRow; ++count) {
        const auto& pieces = by_count[static_cast<size_t>(count)];
        if (pieces.empty()) continue;
        plan.runs.push_back({static_cast<int32_t>(pieces.size()), count});
        for (const Piece& piece : pieces) {
          plan.row.push_back(static_cast<int32_t>(piece.row));
          for (int64_t i = piece.first; i < piece.first + count; ++i) {
            plan.column.push_back(static_cast<int32_t>(pattern.at(i)));
            plan.entry.push_back(static_cast<int32_t>(i));
          }
        }
      }
    }
    plan.run_start.push_back(static_cast<int64_t>(plan.runs.size()));
    plan.row_start.push_back(static_cast<int64_t>(plan.row.size()));
    plan.entry_start.push_back(static_cast<int64_t>(plan.entry.size()));
  }
  return plan;
}

}  // namespace

const SampledPlan& Sampled::plan(int64_t columns) {
  const std::lock_guard<std::mutex> hold(making_);
  const auto found = plans_.find(columns);
  return found != plans_.end() ? found->second : plans_.emplace(columns, planned(pattern_, columns)).first->second;
}

int64_t Sampled::bytes() const {
  const std::lock_guard<std::mutex> hold(making_);
  int64_t bytes = 0;
  for (const auto& [columns, plan] : plans_)
    bytes += static_cast<int64_t>((plan.row.size() + plan.column.size() + plan.entry.size()) * sizeof(int32_t) +
                                  plan.runs.size() * sizeof(SampledPlan::Run));
  return bytes;
}

void Sampled::multiply(const Samples& samples, const float* dy, const float* x, float* values) {
  const int64_t entries = pattern_.entries();
  if (entries == 0 || samples.count == 0) {
    std::fill_n(values, entries, 0.0f);
    return;
  }
  const int64_t panels = panels_of(samples.count);
  // A pass takes as many panels as the registers hold of a row of dY, the last passes fewer.
  int64_t most = 1;
  ESPALIER_ON_ISA(sampled_panels(most));
  const int64_t room = std::min(panels, most) * kPanel;
  float* const packed_x = scratch<float>(Scratch::kPackB, pattern_.columns * room);
  float* const packed_dy = scratch<float>(Scratch::kPackA, pattern_.rows * room);
  // In the order of a plan; from plan to plan the order is another.
  float* const sums = scratch<float>(Scratch::kPartial, entries);
  const SampledPlan* last = nullptr;
  const auto take_over = [&](bool adds) {
    for (int64_t i = 0; i < entries; ++i) {
      float& value = values[last->entry[static_cast<size_t>(i)]];
      value = adds ? value + sums[i] : sums[i];
    }
  };
  bool adds = false;
  for (int64_t first = 0; first < panels;) {
    int64_t count = most;
    while (count > panels - first) count /= 2;
    const SampledPlan& order = plan(kLinesNearby / count);
    if (&order != last) {
      if (last != nullptr) take_over(std::exchange(adds, true));
      std::fill_n(sums, entries, 0.0f);
      last = &order;
    }
    pack_panels(samples, pattern_.columns, x, first, count, side_by_side(count), packed_x);
    pack_panels(samples, pattern_.rows, dy, first, count, side_by_side(count), packed_dy);
    parallel_for(static_cast<int64_t>(order.run_start.size()) - 1,
                 [&](int64_t task) { ESPALIER_ON_ISA(sampled_task(order, task, count, packed_dy, packed_x, sums)); });
    first += count;
  }
  take_over(adds);
}

}  // namespace espalier::sparse
