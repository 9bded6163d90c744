// Selection in groups, counts of masks.
#include <limits>

#include "cuda/check/large.h"
#include "cuda/check/types.h"

using namespace espalier::check;

namespace {

struct View {
  int64_t outer, size, inner;
  int64_t count() const { return outer * inner; }
};
const View kViews[] = {{1, 1, 1},    {5, 2, 1},   {1000, 4, 1},  {77, 4, 3},  {33, 8, 1},  {4, 8, 100}, {9, 16, 1},
                       {3, 5, 7},    {100, 3, 1}, {2, 31, 5},    {10, 32, 1}, {10, 33, 1}, {3, 40, 9},  {1, 2, 513},
                       {6, 1000, 1}, {2, 300, 4}, {1, 70000, 1}, {0, 4, 1},   {3, 0, 2},   {257, 4, 1}};

}  // namespace

ESPALIER_CHECK(prune_groups) {
  for (const auto& view : kViews)
    for (const bool few : {false, true})
      for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64})
        for (const int64_t magnitude : {0, 1}) {
          const auto [outer, size, inner] = view;
          const int64_t n = view.count() * size;
          Array x = few ? integers(n, -2, 3, dtype) : random(n, -1, 1, dtype), none;
          Array each = integers(view.count(), 0, size + 2, ESPALIER_INT32);
          Array half = given({static_cast<double>(size / 2)}, ESPALIER_INT32);
          Array wide = mask(n, 0.7, dtype), bytes = mask(n, 0.7, ESPALIER_UINT8);
          Array y = result(n, dtype), z = result(n, ESPALIER_UINT8);
          same(0, espalier_prune_groups, espalier_cuda_prune_groups, x, none, magnitude, outer, size, inner, half, y);
          same(0, espalier_prune_groups, espalier_cuda_prune_groups, x, bytes, magnitude, outer, size, inner, each, z);
          same(0, espalier_prune_groups, espalier_cuda_prune_groups, x, wide, magnitude, outer, size, inner, each,
               wide);
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
  for (const auto& view : kViews)
    for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_UINT8}) {
      const auto [outer, size, inner] = view;
      Array keep = mask(view.count() * size, 0.6, dtype), counts = result(view.count(), ESPALIER_INT32);
      same(0, espalier_count_groups, espalier_cuda_count_groups, keep, outer, size, inner, counts);
      int64_t ones = 0, expected = 0;
      ok(espalier_cuda_count_ones(keep.in(), &ones), "device");
      ok(espalier_count_ones(keep.host_in(), &expected), "host");
      require(ones == expected, "the number of ones");
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
            Array x = integers(n, -4, 5, dtype), y = random(n / 2, -1, 1, dtype);
            Array keep = mask(n, 0.5, dtype), all = mask(n / 2, 1, dtype);
            int64_t expected = 0, count = 0;
            for (const bool host : {false, true}) {
              const espalier_in scores[] = {host ? x.host_in() : x.in(), host ? y.host_in() : y.in()};
              const espalier_in masks[] = {host ? keep.host_in() : keep.in(), host ? all.host_in() : all.in()};
              ok((host ? espalier_count_at_most : espalier_cuda_count_at_most)(
                     {scores, 2}, {masks, 2}, magnitude, threshold, strictly, host ? &expected : &count),
                 "count");
            }
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
