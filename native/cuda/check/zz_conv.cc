// The same by Hopper's warpgroups, for the types that they multiply. (Elsewhere they are not taken, and this
// repeats conv.cc.)
#include "cuda/check/conv_cases.h"

using namespace espalier::check;
using namespace espalier::check::conv;

ESPALIER_CHECK(conv_warpgroups_forward) {
  const With warpgroups(true);
  forward(ESPALIER_BFLOAT16, 1e-2);
  forward(ESPALIER_FLOAT16, 2e-3);
}
ESPALIER_CHECK(conv_warpgroups_forward_tf32) {
  const With warpgroups(true);
  const Within tf32(ESPALIER_CUDA_PRECISION_TF32);
  forward(ESPALIER_FLOAT32, 1e-3);
}
ESPALIER_CHECK(conv_warpgroups_data_grad) {
  const With warpgroups(true);
  data_grad(ESPALIER_BFLOAT16, 1e-2);
  data_grad(ESPALIER_FLOAT16, 2e-3);
}
ESPALIER_CHECK(conv_warpgroups_weight_grad) {
  const With warpgroups(true);
  weight_grad(ESPALIER_BFLOAT16, ESPALIER_FLOAT32, 1e-5);
  weight_grad(ESPALIER_FLOAT16, ESPALIER_FLOAT16, 2e-3);
}
