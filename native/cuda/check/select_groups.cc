// Selection in groups, counts of masks: against the definition, written out.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "cuda/check/large.h"
#include "cuda/check/types.h"
#include "cuda/pruning.h"

using namespace espalier::check;

namespace {

struct View {
  int64_t outer, size, inner;
  int64_t count() const { return outer * inner; }
  // Entry i of a group.
  size_t at(int64_t group, int64_t i) const {
    return static_cast<size_t>((group / inner * size + i) * inner + group % inner);
  }
};
const View kViews[] = {{1, 1, 1},    {5, 2, 1},   {1000, 4, 1},  {77, 4, 3},  {33, 8, 1},  {4, 8, 100}, {9, 16, 1},
                       {3, 5, 7},    {100, 3, 1}, {2, 31, 5},    {10, 32, 1}, {10, 33, 1}, {3, 40, 9},  {1, 2, 513},
                       {6, 1000, 1}, {2, 300, 4}, {1, 70000, 1}, {0, 4, 1},   {3, 0, 2},   {257, 4, 1}};

// What prune_groups says: the `falls` smallest of those left become 0.
std::vector<double> pruned(const View& view, const std::vector<double>& scores, const std::vector<double>& mask,
                           bool magnitude, const std::vector<double>& falling) {
  std::vector<double> result = mask;
  for (int64_t group = 0; group < view.count(); ++group) {
    std::vector<int64_t> order;
    for (int64_t i = 0; i < view.size; ++i)
      if (mask[view.at(group, i)] != 0) order.push_back(i);
    const auto rank = [&](int64_t i) {
      const double score = scores[view.at(group, i)];
      return magnitude ? std::fabs(score) : score;
    };
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return rank(a) < rank(b); });
    const auto falls = static_cast<size_t>(falling[falling.size() == 1 ? 0 : static_cast<size_t>(group)]);
    for (size_t i = 0; i < std::min(falls, order.size()); ++i) result[view.at(group, order[i])] = 0;
  }
  return result;
}

}  // namespace

ESPALIER_CHECK(prune_groups) {
  for (const View& view : kViews)
    for (const bool few : {false, true})
      for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
        for (const bool magnitude : {false, true}) {
          const int64_t n = view.count() * view.size, most = view.size + 2;
          Array x = few ? integers(n, -2, 3, dtype) : random(n, -1, 1, dtype), none;
          Array each = integers(view.count(), 0, most, ESPALIER_INT32),
                half = given({static_cast<double>(view.size / 2)}, ESPALIER_INT32);
          Array wide = mask(n, 0.7, dtype), bytes = mask(n, 0.7, ESPALIER_UINT8), y = result(n, dtype),
                z = result(n, ESPALIER_UINT8);
          const std::vector<double> ones(static_cast<size_t>(n), 1.0);
          ok(espalier_cuda_prune_groups(x.in(), none.in(), magnitude, view.outer, view.size, view.inner, half.in(),
                                        y.out()),
             "prune");
          close(y.fetch(), pruned(view, x.host(), ones, magnitude, half.host()), 0, "without a mask");
          ok(espalier_cuda_prune_groups(x.in(), bytes.in(), magnitude, view.outer, view.size, view.inner, each.in(),
                                        z.out()),
             "prune");
          close(z.fetch(), pruned(view, x.host(), bytes.host(), magnitude, each.host()), 0, "with a mask of bytes");
          ok(espalier_cuda_prune_groups(x.in(), wide.in(), magnitude, view.outer, view.size, view.inner, each.in(),
                                        wide.out()),
             "prune");
          close(wide.fetch(), pruned(view, x.host(), wide.host(), magnitude, each.host()), 0, "in place");
        }
  for (const int64_t size : {4, 5, 40}) {
    std::vector<double> values(static_cast<size_t>(2 * size), 1);
    values[3] = std::numeric_limits<double>::quiet_NaN();
    Array x = given(values), half = given({2}, ESPALIER_INT32), y = result(2 * size);
    ok(espalier_cuda_prune_groups(x.in(), {}, 1, 2, size, 1, half.in(), y.out()), "is queued");
    require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a NaN is an error");
  }
}

ESPALIER_CHECK(counts_of_masks) {
  for (const View& view : kViews)
    for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_UINT8}) {
      const int64_t n = view.count() * view.size;
      Array keep = mask(n, 0.6, dtype), counts = result(view.count(), ESPALIER_INT32);
      std::vector<double> expected(static_cast<size_t>(view.count()));
      for (int64_t group = 0; group < view.count(); ++group)
        for (int64_t i = 0; i < view.size; ++i) expected[static_cast<size_t>(group)] += keep.host()[view.at(group, i)];
      ok(espalier_cuda_count_groups(keep.in(), view.outer, view.size, view.inner, counts.out()), "count");
      close(counts.fetch(), expected, 0, "counts");
      int64_t ones = 0;
      ok(espalier_cuda_count_ones(keep.in(), &ones), "ones");
      require(ones == std::llround(std::accumulate(expected.begin(), expected.end(), 0.0)), "the number of ones");
    }
  int64_t ones = 0;
  Array two = given({0, 1, 2, 0});
  ok(espalier_cuda_count_ones(two.in(), &ones), "ones");
  require(ones == -1, "an entry of 2 is told");
}

ESPALIER_CHECK(count_at_most) {
  for (const int64_t n : {0, 1, 3, 4, 5, 100, 1023, 1024, 100003})
    for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
      for (const bool magnitude : {false, true})
        for (const bool strictly : {false, true})
          for (const double threshold : {0.25, -0.5, 1e-9, 1e300}) {
            const Array x = integers(n, -4, 5, dtype), y = random(n / 2, -1, 1, dtype), keep = mask(n, 0.5, dtype),
                        all = mask(n / 2, 1, dtype);
            int64_t expected = 0, count = 0;
            const auto tally = [&](const Array& a, const Array& m) {
              for (size_t i = 0; i < a.host().size(); ++i) {
                const double v = magnitude ? std::fabs(a.host()[i]) : a.host()[i];
                expected += m.host()[i] != 0 && (strictly ? v < threshold : v <= threshold);
              }
            };
            tally(x, keep);
            tally(y, all);
            const espalier_in scores[] = {x.in(), y.in()}, masks[] = {keep.in(), all.in()};
            ok(espalier_cuda_count_at_most({scores, 2}, {masks, 2}, magnitude, threshold, strictly, &count), "count");
            require(count == expected, "the number of entries at most the threshold");
          }
  Array bad = given({1, std::numeric_limits<double>::quiet_NaN()});
  const espalier_in score = bad.in();
  int64_t count = 0;
  require(espalier_cuda_count_at_most({&score, 1}, {nullptr, 0}, 1, 1, 0, &count) == ESPALIER_INVALID_ARGUMENT,
          "a NaN is an error");
}

ESPALIER_BENCH(two_of_four) {
  const int64_t piece = 1 << 20, times = 256;
  Array weights = random(piece), two = given({2}, ESPALIER_INT32);
  const Large many(weights, times);
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_UINT8}) {
    Array masks = result(piece, dtype);
    const Large all(masks, times);
    const auto run = [&](const auto& from, const auto& to) {
      ok(espalier_cuda_prune_groups(from.in(), {}, 1, from.size() / 4, 4, 1, two.in(), to.out()), "prune");
    };
    run(weights, masks);
    run(many, all);
    close(all.tail(), masks.fetch(), 0, "masks");
    const double bytes = static_cast<double>(piece * times) * (dtype == ESPALIER_FLOAT32 ? 8 : 5);
    report({"two_of_four", dtype == ESPALIER_FLOAT32 ? "256 M, float32 masks" : "256 M, uint8 masks", "",
            time_ms([&] { run(many, all); }), 0, bytes / copy_bandwidth() * 1e3, true});
  }
}
