// Masked products, as their kernels are asked for them.
#pragma once

#include <cstdint>

#include "espalier/cuda/sparse.h"

namespace espalier::cuda {

enum class MaskedProduct { kForward, kDataGrad, kWeightGrad };

// One product. a is W (W, dY for the weight gradient), b what stands on its right; bits the mask of W, m×k.
struct MaskedTask {
  MaskedProduct product;
  espalier_cuda_masked shape;
  const void *a, *b, *bias;
  void* out;
  const uint32_t* bits;
};

// Hopper's kernel for float16 and bfloat16, where shapes and addresses suit it: false where they do not, and
// nothing was queued.
bool run_masked_hopper(const MaskedTask& task, espalier_dtype dtype);

}  // namespace espalier::cuda
