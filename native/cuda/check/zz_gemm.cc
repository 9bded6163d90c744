// Hopper's kernel for dense products, through the C interface; last, as what may go wrong here may take the
// device with it.
#include "cuda/check/gemm.h"
#include "cuda/check/isolated.h"

using namespace espalier::check;

ESPALIER_CHECK(zz_gemm_wgmma) {
  if (!isolated("zz_gemm_wgmma")) return;
  for (const espalier_dtype ab : {ESPALIER_BFLOAT16, ESPALIER_FLOAT16})
    for (const espalier_dtype c : {ESPALIER_FLOAT32, ab})
      for (const int64_t transposes : {2, 3, 0, 1}) {
        const int64_t ta = transposes & 1, tb = transposes >> 1;
        product({512, 512, 256}, ta, tb, ab, c);
        product({504, 520, 264, 8}, ta, tb, ab, c, 0.5, 0.25, true, ESPALIER_FINISH_RELU);
        product({2048, 2048, 256}, ta, tb, ab, c);
        product({2000, 2104, 264}, ta, tb, ab, c);
        product({2056, 2312, 328, 8}, ta, tb, ab, c, 0.5, 0.25, true, ESPALIER_FINISH_RELU);
        if (tb == 1 && ta == 0) product({2051, 2313, 1000}, ta, tb, ab, c, 1, 0, true);
      }
}
ESPALIER_CHECK(zz_gemm_long) {
  if (!isolated("zz_gemm_long")) return;
  product({128, 512, 4096}, 0, 1, ESPALIER_BFLOAT16, ESPALIER_BFLOAT16);
  product({1024, 4096, 4096}, 0, 1, ESPALIER_BFLOAT16, ESPALIER_BFLOAT16);
  product({4096, 1024, 4160}, 1, 0, ESPALIER_BFLOAT16, ESPALIER_FLOAT32);
}
ESPALIER_CHECK(zz_gemm_parts) {  // few tiles, K in parts
  if (!isolated("zz_gemm_parts")) return;
  for (const int64_t transposes : {0, 1, 2, 3}) {
    const int64_t ta = transposes & 1, tb = transposes >> 1;
    product({128, 256, 4096 + 72}, ta, tb, ESPALIER_BFLOAT16, ESPALIER_BFLOAT16, 0.5, 1, true, ESPALIER_FINISH_RELU);
    product({100, 184, 8200}, ta, tb, ESPALIER_FLOAT16, ESPALIER_FLOAT32);
    product({512, 512, 16384}, ta, tb, ESPALIER_BFLOAT16, ESPALIER_BFLOAT16, 0.5, 1, true, ESPALIER_FINISH_RELU);
    product({128, 2048, 4096 + 72}, ta, tb, ESPALIER_FLOAT16, ESPALIER_FLOAT32);
    product({1000, 184, 8200}, ta, tb, ESPALIER_BFLOAT16, ESPALIER_FLOAT32);
  }
}
ESPALIER_CHECK(zz_gemm_copied) {  // rows that the copy engine cannot fetch, and float32 as bfloat16
  if (!isolated("zz_gemm_copied")) return;
  for (const int64_t transposes : {0, 1, 2, 3}) {
    product({515, 777, 331, transposes}, transposes & 1, transposes >> 1, ESPALIER_BFLOAT16, ESPALIER_FLOAT32);
    product({2051, 2313, 1003, transposes}, transposes & 1, transposes >> 1, ESPALIER_BFLOAT16, ESPALIER_FLOAT32);
  }
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_BFLOAT16), "precision");
  product({515, 777, 331}, 0, 1, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, true, ESPALIER_FINISH_NONE, 1e-2);
  product({2051, 2313, 1003}, 0, 1, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, true, ESPALIER_FINISH_NONE, 1e-2);
}
ESPALIER_CHECK(zz_gemm_tf32) {
  if (!isolated("zz_gemm_tf32")) return;
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_TF32), "precision");
  for (const int64_t transposes : {2, 3, 0, 1}) {
    const int64_t ta = transposes & 1, tb = transposes >> 1;
    product({515, 777, 331, 1}, ta, tb, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 0.5, 1, true, ESPALIER_FINISH_RELU, 1e-3);
    product({128, 256, 2056}, ta, tb, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, false, ESPALIER_FINISH_NONE, 1e-3);
    product({2048, 2304, 288}, ta, tb, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, false, ESPALIER_FINISH_NONE, 1e-3);
    product({2051, 2313, 1003, 1}, ta, tb, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 0.5, 1, true, ESPALIER_FINISH_RELU,
            1e-3);
    product({512, 512, 8200}, ta, tb, ESPALIER_FLOAT32, ESPALIER_FLOAT32, 1, 0, false, ESPALIER_FINISH_NONE, 1e-3);
  }
}
