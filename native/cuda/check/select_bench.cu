// The k smallest of 1 G weights: the whole call, and its passes.
#include <algorithm>
#include <cmath>
#include <string>

#include "cuda/check/check.h"
#include "cuda/check/large.h"
#include "cuda/select_prune.cuh"

using namespace espalier;
using namespace espalier::check;
using namespace espalier::cuda;

ESPALIER_BENCH(prune_smallest) {
  // 1 G weights in four arrays, near enough to normal: sums of uniform numbers, each block of 4 M another multiple.
  const int64_t n = int64_t{1} << 28, piece = int64_t{1} << 22;
  std::vector<double> values(static_cast<size_t>(piece));
  const std::vector<double> draws = random(piece + 8).host();
  for (int64_t i = 0; i < piece; ++i)
    for (int j = 0; j < 4; ++j) values[static_cast<size_t>(i)] += draws[static_cast<size_t>(i + 2 * j)];
  const Array some = given(values);
  struct Memory {
    void* data = nullptr;
    explicit Memory(int64_t bytes) { ok(espalier_cuda_allocate(bytes, &data), "allocate"); }
    ~Memory() { espalier_cuda_free(data); }
    Memory(const Memory&) = delete;
  };
  const Memory weights(4 * 4 * n), results(4 * 4 * n);
  for (int64_t i = 0; i < 4 * n / piece; ++i)
    ok(espalier_cuda_scale_gradient(some.in(), 1 + 1e-3 * static_cast<double>(i),
                                    {static_cast<float*>(weights.data) + i * piece, piece, ESPALIER_FLOAT32}),
       "fill");
  const auto run = [&](const char* name, espalier_dtype dtype, int64_t bytes, double share) {
    std::vector<espalier_in> in;
    std::vector<espalier_out> out;
    for (int64_t i = 0; i < 4; ++i) {
      in.push_back({static_cast<float*>(weights.data) + i * n, n, ESPALIER_FLOAT32});
      out.push_back({static_cast<char*>(results.data) + i * n * bytes, n, dtype});
    }
    double threshold = 0;
    const int64_t k = static_cast<int64_t>(share * 4 * static_cast<double>(n));
    const double ms = time_ms(
        [&] {
          ok(espalier_cuda_prune_smallest({in.data(), 4}, {nullptr, 0}, 1, k, {out.data(), 4}, &threshold), "prune");
        },
        10, 2);
    // Verified by the masks: as many zeros as should fall.
    Array ones = result(piece), sum = result(1);
    const int64_t all = 1;
    double kept = 0;
    for (int64_t i = 0; i < 4 * n; i += piece) {
      ok(espalier_cuda_cast({static_cast<char*>(results.data) + i * bytes, piece, dtype}, ones.out()), "cast");
      ok(espalier_cuda_slice_norm({&piece, 1}, {&all, 1}, 1, ones.in(), sum.out()), "count");
      kept += sum.fetch()[0];
    }
    const bool verified = static_cast<int64_t>(kept) == 4 * n - k;
    // Two passes over the scores, one over the masks.
    const double limit = static_cast<double>(4 * n * (8 + bytes)) / copy_bandwidth() * 1e3;
    report({"global_top_k", name, "", ms, 0, limit, verified});
  };
  run("1 G of 4 arrays, half fall, float32 masks", ESPALIER_FLOAT32, 4, 0.5);
  run("1 G of 4 arrays, 80% fall, uint8 masks", ESPALIER_UINT8, 1, 0.8);
}

ESPALIER_BENCH(prune_smallest_passes) {
  const int64_t n = int64_t{1} << 30;
  const Temporary<float> weights(n);
  const Temporary<uint32_t> keys(n / 32), places(n / 32);
  const Temporary<Survey<uint32_t>> survey(1);
  const Temporary<Part<float, float>> table(1);
  // Weights that rise evenly from −1 to 1, scattered by an odd stride.
  for_each(n, "fill", [to = weights.get(), n] __device__(int64_t i) {
    to[i] = static_cast<float>((i * 48271) % n) * 2 / static_cast<float>(n) - 1;
  });
  const Temporary<float> masks(n);
  const Part<float, float> part{weights, nullptr, masks, n, 0, 0, n / kTile, true};
  ok(espalier_cuda_upload(&part, table.get(), sizeof part), "upload");
  const Parts<float, float> parts{table, 1, n, n / kTile, true};
  // A bracket of a hundredth around the median, as a sample would find it.
  const Temporary<Cut<uint32_t>> cuts(2);
  const Cut<uint32_t> ends[2] = {{key_of(0.495f, true), 0, 0, 2}, {key_of(0.505f, true), 0, 0, 2}};
  ok(espalier_cuda_upload(ends, cuts.get(), sizeof ends), "upload");
  const Bracket<uint32_t> bracket{cuts, 0, 1};
  // (From 4 to 64 blocks a multiprocessor take the same time within 2%.)
  const auto grid = static_cast<unsigned>(traits().multiprocessors * 16);
  const double first = time_ms(
      [&] {
        ESPALIER_CUDA(cudaMemsetAsync(survey, 0, sizeof(Survey<uint32_t>), stream()));
        survey_kernel<float, float, uint32_t, true><<<grid, kBlock, 0, stream()>>>(
            parts, bracket, Candidates<uint32_t, uint32_t>{keys, places, n / 32}, survey.get());
        launched("survey");
      },
      10);
  Survey<uint32_t> seen;
  ok(espalier_cuda_download(survey.get(), &seen, sizeof seen), "download");
  const auto near = [&](unsigned long long count, double share) {
    return std::fabs(static_cast<double>(count) - share * static_cast<double>(n)) < 1e-6 * static_cast<double>(n);
  };
  const bool verified = near(seen.below, 0.495) && near(seen.inside, 0.01);
  const double second = time_ms(
      [&] {
        fell_kernel<float, float, true><<<grid, kBlock, 0, stream()>>>(
            parts, Fallen<uint32_t>{key_of(0.5f, true), 1000}, static_cast<const Cut<uint32_t>*>(nullptr));
        launched("fell");
      },
      10);
  const double pass = 4e3 * static_cast<double>(n) / copy_bandwidth();
  report({"global_top_k", "first pass over 1 G", "", first, 0, pass, verified});
  // Half of the weights are below 0.5: their masks add up to the others.
  const int64_t all = 1;
  const Temporary<float> sum(1);
  float kept = 0;
  ok(espalier_cuda_slice_norm({&n, 1}, {&all, 1}, 1, {masks, n, ESPALIER_FLOAT32}, {sum, 1, ESPALIER_FLOAT32}), "sum");
  ok(espalier_cuda_download(sum.get(), &kept, sizeof kept), "download");
  report({"global_top_k", "second pass over 1 G, float32 masks", "", second, 0, 2 * pass,
          near(static_cast<unsigned long long>(kept), 0.5)});
}

// Scores of slices, and thresholds of single tensors.
ESPALIER_BENCH(scores) {
  const int64_t piece = 1 << 20, times = 256, n = piece * times;
  const Array small = random(piece);
  const Large x(small, times);
  const double pass = 4e3 * static_cast<double>(n) / copy_bandwidth();
  const auto norm = [&](const char* name, int64_t outer, int64_t middle, int64_t inner, bool middle_stays) {
    const int64_t of_piece = middle_stays ? middle : outer / times * inner,
                  whole = middle_stays ? middle : outer * inner;
    Array y = result(whole), of_small = result(of_piece);
    const auto run = [&](const espalier_in& from, int64_t rows, const espalier_out& to) {
      const int64_t shape[] = {rows, middle, inner}, reduced[] = {middle_stays, !middle_stays, middle_stays};
      ok(espalier_cuda_slice_norm({shape, 3}, {reduced, 3}, 1, from, to), "norm");
    };
    run(small.in(), outer / times, of_small.out());
    run(x.in(), outer, y.out());
    std::vector<double> expected = of_small.fetch(), got = y.fetch();
    if (middle_stays)
      for (double& v : expected) v *= static_cast<double>(times);
    else got.erase(got.begin(), got.end() - of_piece);
    close(got, expected, 1e-5, "norms");
    report({"slice_norm", name, "", time_ms([&] { run(x.in(), outer, y.out()); }), 0, pass, true});
  };
  norm("filters of 4096, 256 M", 1 << 16, 4096, 1, false);
  norm("filters of 256, 256 M", 1 << 20, 256, 1, false);
  norm("columns of 4096, 256 M", 256, 256, 4096, false);
  norm("input channels of 4x4 kernels, 256 M", 1 << 14, 1024, 16, true);
  Array value = result(1);
  const auto kth = [&] { ok(espalier_cuda_abs_kth(x.in(), 1, 1, n, n / 100 * 99, value.out(), {}), "kth"); };
  kth();
  std::vector<double> sorted = small.host();
  for (double& v : sorted) v = std::fabs(v);
  const auto at = static_cast<int64_t>((n / 100 * 99 - 1) / times);
  std::nth_element(sorted.begin(), sorted.begin() + at, sorted.end());
  require(value.fetch()[0] == sorted[static_cast<size_t>(at)], "the value of that rank");
  // A pass a digit of the key.
  report({"abs_kth", "256 M, the 99th percentile", "", time_ms(kth), 0, 3 * pass, true});
  const int64_t columns = 4096;
  Array small_mask = result(piece);
  const Large mask(small_mask, times);
  const auto keep = [&](const auto& from, const auto& to) {
    ok(espalier_cuda_keep_largest(from.in(), {}, 1, from.size() / columns, columns, 256, to.out()), "keep");
  };
  keep(small, small_mask);
  keep(x, mask);
  close(mask.tail(), small_mask.fetch(), 0, "masks");
  report({"keep_largest", "65536 rows of 4096, 256 of each", "", time_ms([&] { keep(x, mask); }), 0, 3 * pass, true});
}
