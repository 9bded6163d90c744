#include "sparse/sampled.h"

#include <algorithm>
#include <utility>

#if defined(__unix__)
#include <unistd.h>
#endif

#include "simd/isa.h"
#include "sparse/panels.h"

namespace espalier {
using sparse::SampledPlan;
namespace sparse {

// Entries whose offsets are read at once, and four ahead.
constexpr int kOffsetsTogether = 4;
// Pieces whose rows of dY are asked for ahead: these lie in the second-level cache, in no order.
constexpr int kPiecesAhead = 2;
// Where a pass leaves what it adds up. The passes of one plan leave theirs in its order, in vectors of their own, and
// the last one takes these over and writes the values: which stand at no multiple of a vector's size.
struct SampledSums {
  float* sums;
  float* values;
  bool first, last;  // pass of the plan
  bool adds;         // to values of another plan
};

}  // namespace sparse
using sparse::kOffsetsTogether;
using sparse::kPiecesAhead;
using sparse::SampledRows;
using sparse::SampledSums;
}  // namespace espalier

#define ESPALIER_KERNEL "sparse/sampled.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Tasks there are at least where there are so many rows. A task has the rows, all or a part of them, and the columns of
// a block: it adds up its own entries over all samples, so that the bits do not depend on the threads.
constexpr int64_t kTasks = 4, kLeastRows = 64;
constexpr int64_t kLine = kPanel * static_cast<int64_t>(sizeof(float));
// Panels × columns of X in a block, about: they fill the first-level cache. What rows of dY and sums push out of it
// comes again at less than what more blocks would cost, for in each the rows of dY come once more.
int64_t lines_nearby() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  static const int64_t cache = sysconf(_SC_LEVEL1_DCACHE_SIZE);
#else
  constexpr int64_t cache = 0;
#endif
  // (Offsets have 16 bits, and `blocks_of` may ask for half as much again.)
  const int64_t least = 32 << 10, most = is_avx2() ? 64 << 10 : 40 << 10;
  return std::clamp(cache, least, most) / kLine;
}
// Of columns, about so many each. An even number: two threads then have as much to do. The nearest one, so that few
// blocks are not a third too small; with AVX2, where that was not measured, the next.
int64_t blocks_of(int64_t columns, int64_t most) {
  if (columns <= most) return 1;
  return (columns + (is_avx2() ? 2 * most - 1 : most)) / (2 * most) * 2;
}
// A piece's sums fill whole vectors, of at most so many.
constexpr int64_t kLargestVector = 16;

// Of passes over so many panels.
SampledPlan planned(const Pattern& pattern, int64_t panels) {
  SampledPlan plan;
  plan.tasks = {{}};
  std::vector<int64_t> next(pattern.row_start.begin(), pattern.row_start.end() - 1);
  const int64_t blocks = blocks_of(pattern.columns, lines_nearby() / panels);
  const int64_t columns = plan.columns = (pattern.columns + blocks - 1) / blocks;
  std::vector<std::vector<SampledPlan::Piece>> by_count(static_cast<size_t>(columns) + 1);
  int64_t sums = 0;
  const int64_t parts = std::clamp((kTasks + blocks - 1) / blocks, int64_t{1}, pattern.rows / kLeastRows + 1);
  for (int64_t block = 0; block < pattern.columns; block += columns) {
    for (int64_t part = 0; part < parts; ++part) {
      const int64_t begin = pattern.rows * part / parts, end = pattern.rows * (part + 1) / parts;
      for (auto& pieces : by_count) pieces.clear();
      for (int64_t r = begin; r < end; ++r) {
        int64_t& at = next[static_cast<size_t>(r)];
        const int64_t first = at;
        while (at < pattern.end(r) && pattern.at(at) < block + columns) ++at;
        by_count[static_cast<size_t>(at - first)].push_back({static_cast<int32_t>(r), static_cast<int32_t>(first)});
      }
      for (int64_t count = 1; count <= columns; ++count) {
        const auto& pieces = by_count[static_cast<size_t>(count)];
        if (pieces.empty()) continue;
        plan.runs.push_back({static_cast<int32_t>(pieces.size()), static_cast<int32_t>(count)});
        for (const SampledPlan::Piece& piece : pieces) {
          plan.pieces.push_back(piece);
          for (int64_t i = piece.entry; i < piece.entry + count; ++i)
            plan.offset.push_back(static_cast<uint16_t>((pattern.at(i) - block) * panels * kLine));
          while (plan.offset.size() % kOffsetsTogether != 0) plan.offset.push_back(0);
          sums += (count + kLargestVector - 1) / kLargestVector * kLargestVector;
        }
      }
      SampledPlan::Task& made = plan.tasks.back();
      made.column = block;
      made.first_row = begin;
      made.last_row = end;
      plan.tasks.push_back({0, 0, 0, static_cast<int64_t>(plan.runs.size()), static_cast<int64_t>(plan.pieces.size()),
                            static_cast<int64_t>(plan.offset.size()), sums});
    }
  }
  plan.offset.resize(plan.offset.size() + kOffsetsTogether);
  plan.pieces.resize(plan.pieces.size() + kPiecesAhead);
  return plan;
}

}  // namespace

const SampledPlan& Sampled::plan(int64_t panels) {
  const std::lock_guard<std::mutex> hold(making_);
  const auto found = plans_.find(panels);
  if (found != plans_.end()) return found->second;
  const Stopwatch making(making_time_);
  return plans_.emplace(panels, planned(pattern_, panels)).first->second;
}

double Sampled::making_time() const {
  const std::lock_guard<std::mutex> hold(making_);
  return making_time_;
}

int64_t Sampled::bytes() const {
  const std::lock_guard<std::mutex> hold(making_);
  int64_t bytes = 0;
  for (const auto& [panels, plan] : plans_)
    bytes += static_cast<int64_t>(plan.pieces.size() * sizeof(SampledPlan::Piece) +
                                  plan.offset.size() * sizeof(uint16_t) + plan.runs.size() * sizeof(SampledPlan::Run));
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
  for (int64_t first = 0, count = most; count > 0; count /= 2) {
    const int64_t passes = (panels - first) / count;
    if (passes == 0) continue;
    multiply(plan(count), {first, count, passes}, samples, dy, x, values);
    first += passes * count;
  }
}

void Sampled::multiply(const SampledPlan& order, const SampledPasses& all, const Samples& samples, const float* dy,
                       const float* x, float* values) {
  // (By name: Clang 14 lets no lambda have what a binding names.)
  const int64_t first_panel = all.first, count = all.count, passes = all.passes;
  const int64_t tasks = static_cast<int64_t>(order.tasks.size()) - 1, groups = std::min(tasks, threads());
  float* const sums = scratch<float>(Scratch::kPartial, order.tasks.back().sum);
  parallel_for(groups, [&](int64_t group) {
    const int64_t begin = tasks * group / groups, end = tasks * (group + 1) / groups;
    RowRange of_group{pattern_.rows, 0};
    for (int64_t task = begin; task < end; ++task) {
      of_group.first = std::min(of_group.first, order.tasks[static_cast<size_t>(task)].first_row);
      of_group.last = std::max(of_group.last, order.tasks[static_cast<size_t>(task)].last_row);
    }
    float* const packed_x = scratch<float>(Scratch::kPackB, order.columns * count * kPanel);
    for (int64_t pass = 0; pass < passes; ++pass) {
      const int64_t first = first_panel + pass * count;
      const SampledRows rows = rows_of(samples, dy, of_group, first, count, passes == 1);
      const SampledSums to{sums, values, pass == 0, pass == passes - 1, first_panel > 0};
      int64_t packed_column = -1;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t column = order.tasks[static_cast<size_t>(task)].column;
        if (column != packed_column) {
          pack_panels(samples, {column, std::min(order.columns, pattern_.columns - column), pattern_.columns}, x, first,
                      count, side_by_side(count), packed_x);
          packed_column = column;
        }
        ESPALIER_ON_ISA(sampled_task(order, task, count, rows, packed_x, to));
      }
    }
  });
}

SampledRows Sampled::rows_of(const Samples& samples, const float* dy, const RowRange& rows, int64_t first,
                             int64_t count, bool alone) const {
  if (alone && (first + count) * kPanel <= samples.count) {
    if (samples.layout == ESPALIER_SPARSE_LAYOUT_COLUMNS) return {dy + first * kPanel, {kPanel, samples.count}};
    if (samples.layout == ESPALIER_SPARSE_LAYOUT_PANELS)
      return {dy + first * kPanel * pattern_.rows, close_together(pattern_.rows)};
  }
  const int64_t number = rows.last - rows.first;
  float* const packed = scratch<float>(Scratch::kPackA, number * count * kPanel);
  pack_panels(samples, {rows.first, number, pattern_.rows}, dy, first, count, side_by_side(count), packed);
  return {row_zero(packed, rows.first, count * kPanel), side_by_side(count)};
}

}  // namespace espalier::sparse
