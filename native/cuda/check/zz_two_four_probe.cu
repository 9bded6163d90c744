// Hopper's 2:4 products. W times the identity is W: each element that arrives says where it was meant to stand.
#include <cstdio>
#include <string>

#include "cuda/check/isolated.h"
#include "cuda/check/two_four.h"
#include "cuda/two_four.h"

using namespace espalier;
using namespace espalier::check;

namespace {

constexpr int64_t kM = 768, kK = 256;

// W·1 for a random choice of two of four in each group, whose elements are `code`(i, k).
template <class T, class C, bool kTransposed, class F, class Code>
std::string probe(const char* name, Code code) {
  const espalier_cuda_two_four shape{kM, kK, kK, 0};
  std::vector<double> dense(kM * kK), identity(kK * kK);
  const Array pairs = integers(kM * kK / 4, 0, 6);
  constexpr int kPairs[6][2] = {{0, 1}, {0, 2}, {0, 3}, {1, 2}, {1, 3}, {2, 3}};
  for (int64_t group = 0; group < kM * kK / 4; ++group)
    for (const int place : kPairs[static_cast<int>(pairs.host()[static_cast<size_t>(group)])]) {
      const int64_t at = group * 4 + place;
      dense[static_cast<size_t>(at)] = code(at / kK, at % kK);
    }
  for (int64_t k = 0; k < kK; ++k) identity[static_cast<size_t>(k * kK + k)] = 1;
  const TwoFour w(shape, given(dense, dtype_of<T>()));
  const Array x = given(identity, dtype_of<T>());
  Array y = result(kM * kK, dtype_of<C>());
  y.poison();
  cuda::TwoFourProduct<T, C, kTransposed, F> product{
      w.values.device<T>(),
      {w.places.device<uint32_t>(), static_cast<int>(kM / cuda::kPlaceRows), static_cast<int>(kK / cuda::kPlaceK)},
      x.device<T>(),
      kK,
      {y.device<C>(), kM, kK, kTransposed ? kM : kK, true},
      {}};
  cuda::two_four_wgmma(product);
  ok(espalier_cuda_synchronize(), "synchronize");
  const std::vector<double> got = y.fetch();
  int64_t wrong = 0;
  std::string some;
  for (size_t at = 0; at < dense.size(); ++at) {
    const double came = got[kTransposed ? at % kK * kM + at / kK : at];
    if (came == dense[at]) continue;
    char text[96];
    std::snprintf(text, sizeof text, "\n    [%d][%d]: %g, not %g", static_cast<int>(at) / static_cast<int>(kK),
                  static_cast<int>(at) % static_cast<int>(kK), came, dense[at]);
    if (wrong++ < 12 || (wrong & (wrong - 1)) == 0) some += text;
  }
  if (wrong == 0) return "";
  return std::string("\n  ") + name + ": " + std::to_string(wrong) + " of " + std::to_string(got.size()) + " wrong" +
         some;
}

template <class T, class C, bool kTransposed, class F>
std::string probes(const std::string& name) {
  return probe<T, C, kTransposed, F>((name + ", k").c_str(),
                                     [](int64_t, int64_t k) { return static_cast<double>(k % 120 + 1); }) +
         probe<T, C, kTransposed, F>((name + ", row").c_str(),
                                     [](int64_t i, int64_t) { return static_cast<double>(i % 120 + 1); });
}
template <class T, class C, class F>
std::string both(const std::string& name) {
  return probes<T, C, true, F>(name + " by columns") + probes<T, C, false, F>(name + " by rows");
}

}  // namespace

ESPALIER_CHECK(zz_two_four_probe) {
  if (cuda::traits().capability != 90 || !isolated("zz_two_four_probe")) return;
  const std::string found = both<__nv_bfloat16, __nv_bfloat16, cuda::Finish<__nv_bfloat16>>("bfloat16") +
                            both<__half, __half, cuda::Finish<__half>>("float16") +
                            both<int8_t, int32_t, cuda::WholeFinish>("int8");
  if (!found.empty()) {
    std::printf("zz_two_four_probe:%s\n", found.c_str());
    mismatch("operands are not read as they lie; see above");
  }
}

ESPALIER_CHECK(zz_two_four_large) {
  if (cuda::traits().capability != 90 || !isolated("zz_two_four_large")) return;
  for (const espalier_dtype dtype : {ESPALIER_BFLOAT16, ESPALIER_FLOAT16, ESPALIER_INT8})
    for (const int64_t batch_major : {0, 1}) {
      two_four_product({2048, 256, 2048, batch_major}, dtype);
      two_four_product({2049, 288, 2104, batch_major}, dtype, true);
      two_four_product({2104, 1056, 2300, batch_major}, dtype, true);
    }
}
