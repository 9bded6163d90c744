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

// Which block of the result an item of work is, of down×across: bands of eight rows of blocks, so that what runs at a
// time shares operands in the L2.
struct Corner {
  int64_t row, column;
};
__device__ inline Corner corner_of(int64_t item, int64_t down, int64_t across, int64_t block_rows,
                                   int64_t block_columns) {
  constexpr int64_t kBand = 8;
  const int64_t band = item / (kBand * across), within = item % (kBand * across);
  const int64_t height = min(kBand, down - band * kBand);
  return {(band * kBand + within % height) * block_rows, within / height * block_columns};
}

// Hopper's kernel for float16 and bfloat16, where shapes and addresses suit it: false where they do not, and
// nothing was queued.
bool run_masked_hopper(const MaskedTask& task, espalier_dtype dtype);

}  // namespace espalier::cuda
