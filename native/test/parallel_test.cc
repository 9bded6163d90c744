// The pool of threads: every task runs once, whatever the thread count; failures come out whole.
#include "core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace espalier {
namespace {

class Parallel : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    before_ = threads();
    set_threads(GetParam());
  }
  void TearDown() override { set_threads(before_); }
  int64_t before_ = 1;
};

TEST_P(Parallel, RunsEveryTaskOnce) {
  for (const int64_t count : {0, 1, 2, 3, 7, 64, 1000}) {
    for (int repeat = 0; repeat < 50; ++repeat) {
      // Not atomic on purpose: the thread sanitizer sees whether the pool orders the writes before this read.
      std::vector<int> runs(static_cast<size_t>(count), 0);
      parallel_for(count, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
      for (const int n : runs) ASSERT_EQ(n, 1);
    }
  }
}

TEST_P(Parallel, RangesCoverWithoutOverlap) {
  for (const int64_t n : {0, 1, 9, 10, 11, 1001}) {
    std::vector<int> seen(static_cast<size_t>(n), 0);
    parallel_ranges(n, 10, [&](int64_t begin, int64_t end) {
      EXPECT_LE(end - begin, 10);
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), int64_t{0}), n);
  }
}

TEST_P(Parallel, NestedCallsRunInPlace) {
  std::vector<int64_t> sums(16, 0);
  parallel_for(16, [&](int64_t i) {
    int64_t sum = 0;
    parallel_for(100, [&](int64_t j) { sum += j; });
    sums[static_cast<size_t>(i)] = sum;
  });
  for (const int64_t sum : sums) EXPECT_EQ(sum, 4950);
}

TEST_P(Parallel, AFailureReachesTheCallerAndTheNextJobRuns) {
  for (int repeat = 0; repeat < 50; ++repeat) {
    EXPECT_THROW(parallel_for(32,
                              [](int64_t i) {
                                if (i % 8 == 5) throw std::runtime_error("task");
                              }),
                 std::runtime_error);
    std::atomic<int64_t> done{0};
    parallel_for(32, [&](int64_t) { ++done; });
    EXPECT_EQ(done.load(), 32);
  }
}

TEST_P(Parallel, ManyCallersAtOnce) {
  std::atomic<int64_t> total{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 100; ++repeat) {
        int64_t own[24] = {};
        parallel_for(24, [&](int64_t i) { own[i] = i; });
        for (const int64_t value : own) total += value;
      }
    });
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(total.load(), 4 * 100 * 276);
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 3, 8));

TEST(ParallelLimit, MayChangeBetweenJobs) {
  const int64_t before = threads();
  for (int64_t limit : {8, 1, 5, 2, 8, 3}) {
    set_threads(limit);
    EXPECT_EQ(threads(), limit);
    std::vector<int> runs(100, 0);
    parallel_for(100, [&](int64_t i) { ++runs[static_cast<size_t>(i)]; });
    for (const int n : runs) EXPECT_EQ(n, 1);
  }
  set_threads(before);
}

}  // namespace
}  // namespace espalier
