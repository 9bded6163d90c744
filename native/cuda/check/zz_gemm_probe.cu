// Which element of the operands Hopper's products take for which: one-hot rows of A pick a row of B whose
// elements say where they are from. On a mismatch the message shows what came instead.
#include <cstdio>
#include <string>

#include "cuda/check/check.h"
#include "cuda/check/isolated.h"
#include "cuda/gemm.h"

using namespace espalier;
using namespace espalier::check;

namespace {

constexpr int64_t kM = 256, kN = 256, kK = 128;

// C for A[i][k] = (k == i % kK) and B[k][j] = `code`(k, j), both stored as the transposes say.
template <class Code>
std::vector<double> probe(bool transpose_a, bool transpose_b, Code code) {
  std::vector<double> left(kM * kK), right(kK * kN);
  for (int64_t i = 0; i < kM; ++i)
    for (int64_t k = 0; k < kK; ++k) left[transpose_a ? k * kM + i : i * kK + k] = k == i % kK;
  for (int64_t k = 0; k < kK; ++k)
    for (int64_t j = 0; j < kN; ++j) right[transpose_b ? j * kK + k : k * kN + j] = code(k, j);
  Array a = given(left, ESPALIER_BFLOAT16), b = given(right, ESPALIER_BFLOAT16), c = result(kM * kN);
  c.poison();
  cuda::Product<__nv_bfloat16, float> product{kM,
                                              kN,
                                              kK,
                                              transpose_a,
                                              transpose_b,
                                              a.device<__nv_bfloat16>(),
                                              transpose_a ? kM : kK,
                                              b.device<__nv_bfloat16>(),
                                              transpose_b ? kK : kN,
                                              c.device<float>(),
                                              kN,
                                              {},
                                              {},
                                              {}};
  cuda::gemm_wgmma(product);
  ok(espalier_cuda_synchronize(), "synchronize");
  return c.fetch();
}

}  // namespace

ESPALIER_CHECK(zz_gemm_probe) {
  if (cuda::traits().capability != 90) return;
  cuda::enable_wgmma(false);  // until it has shown that it works
  if (!isolated("zz_gemm_probe")) return cuda::enable_wgmma(true);
  std::string found;
  for (const bool ta : {false, true})
    for (const bool tb : {true, false}) {
      const std::vector<double> k = probe(ta, tb, [](int64_t k, int64_t) { return static_cast<double>(k + 1); });
      const std::vector<double> j = probe(ta, tb, [](int64_t, int64_t j) { return static_cast<double>(j + 1); });
      int64_t wrong = 0;
      std::string some;
      for (int64_t at = 0; at < kM * kN; ++at) {
        const double should_k = static_cast<double>(at / kN % kK + 1), should_j = static_cast<double>(at % kN + 1);
        if (k[at] == should_k && j[at] == should_j) continue;
        char text[96];
        std::snprintf(text, sizeof text, "\n    C[%d][%d]: k %g not %g, j %g not %g", static_cast<int>(at / kN),
                      static_cast<int>(at % kN), k[at] - 1, should_k - 1, j[at] - 1, should_j - 1);
        // Spread over the tile: powers of two show which bits of an address are at fault.
        if (wrong++ < 6 || (wrong & (wrong - 1)) == 0) some += text;
      }
      if (wrong > 0)
        found += "\n  transposes " + std::to_string(ta) + std::to_string(tb) + ": " + std::to_string(wrong) + " of " +
                 std::to_string(kM * kN) + " wrong" + some;
    }
  if (!found.empty()) {
    std::printf("zz_gemm_probe:%s\n", found.c_str());
    mismatch("operands are not read as they lie; see above");
  }
}
