// Hopper's dense kernel by the size of its clusters and by how many rows of tiles blocks walk along at a time.
#include <string>

#include "cuda/check/check.h"
#include "cuda/gemm.h"

using namespace espalier;
using namespace espalier::check;

ESPALIER_BENCH(gemm_variants) {
  if (cuda::traits().capability != 90) return;
  for (const int64_t size : {8192, 4096}) {
    Array wide = result(size * size), a = result(size * size, ESPALIER_BFLOAT16),
          b = result(size * size, ESPALIER_BFLOAT16), c = result(size * size, ESPALIER_BFLOAT16);
    int64_t used = 0;
    ok(espalier_cuda_random_uniform(1, 0, -1, 1, wide.out(), &used), "random");
    ok(espalier_cuda_cast(wide.in(), a.out()), "cast");
    ok(espalier_cuda_random_uniform(2, 0, -1, 1, wide.out(), &used), "random");
    ok(espalier_cuda_cast(wide.in(), b.out()), "cast");
    const cuda::Product<__nv_bfloat16, __nv_bfloat16> product{size, size,
                                                              size, false,
                                                              true, a.device<__nv_bfloat16>(),
                                                              size, b.device<__nv_bfloat16>(),
                                                              size, c.device<__nv_bfloat16>(),
                                                              size, {},
                                                              {},   {}};
    for (const int cluster : {2, 1})
      for (const int group : {4, 8, 16, 32}) {
        Row row{"gemm",
                std::to_string(size) + " cluster " + std::to_string(cluster) + " group " + std::to_string(group),
                "(none)"};
        row.ours = time_ms([&] { cuda::gemm_wgmma_variant(product, cluster, group); }, 10, 3);
        row.limit =
            2.0 * static_cast<double>(size) * static_cast<double>(size) * static_cast<double>(size) / 989e12 * 1e3;
        report(row);
      }
  }
}
