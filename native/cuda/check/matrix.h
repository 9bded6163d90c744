// Matrices for benches, too large for `Array`, which keeps doubles on both sides: filled and compared where they lie.
#pragma once

#include "cuda/check/check.h"

namespace espalier::check {

struct Matrix {
  Matrix(int64_t count, espalier_dtype dtype);
  ~Matrix();
  Matrix(const Matrix&) = delete;
  int64_t bytes() const;
  espalier_in in() const { return {data, count, dtype}; }
  espalier_out out() const { return {data, count, dtype}; }
  int64_t count;
  espalier_dtype dtype;
  void* data = nullptr;
};

// Uniform numbers in [−1, 1), of int8 whole ones in [−127, 127], the same for a seed.
void fill(const Matrix& to, uint64_t seed);
// A mask that keeps `density` of its elements.
void fill_mask(const Matrix& to, double density, uint64_t seed);
// Puts NaN (0xFF bytes) into every element, so that one that is not written shows.
void poison(const Matrix& to);
// Zeros where the mask of tiles (1×1: of elements) has them; rows are of k elements.
void apply_tiles(const Matrix& w, const Matrix& mask, int64_t k, int64_t tile_rows, int64_t tile_columns);
// Whether ‖a − b‖ is at most `tolerance`·‖b‖, and no element further off than 32 times that share of the largest
// |b|; says how far off where not. Their types may differ.
bool agree(const Matrix& a, const Matrix& b, double tolerance);

}  // namespace espalier::check
