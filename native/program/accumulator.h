// What a layer on whole numbers sums, proved from its weights, its bias and the range of its inputs.
#pragma once

#include <cstdint>

#include "program/step.h"
#include "sparse/integer.h"

namespace espalier::program {

// Whole numbers that x may hold, inclusive. In programs it contains 0, which a convolution's border counts as.
using sparse::CodeRange;

// What an accumulator holds, over all rows: while it adds bias + Σ w·x in any order, the bias first; the same that
// quant.certify states. And what any part of the sum comes to, the bias anywhere.
struct Accumulator {
  int64_t least = 0, greatest = 0;
  int64_t least_part = 0, greatest_part = 0;

  // Bits of two's complement that hold all of it.
  int bits() const;
  // Kernels of integers add the bias at last, to sums of 32 bits.
  bool fits_integers() const;
  // float32 adds whole numbers of up to 2^24 without rounding, in any order.
  bool fits_float() const;
};

// weight [rows, columns] of whole numbers within a signed byte, bias [rows] of whole numbers, null for none; anything
// else fails.
Accumulator accumulator_of(const Tensor& weight, const Tensor* bias, int64_t rows, CodeRange codes);

}  // namespace espalier::program
