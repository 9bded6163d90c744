// What the kernels of tiles share: the plan as it lies in device memory, and the product they are asked for.
#pragma once

#include <cstdint>

#include "espalier/cuda/sparse.h"

namespace espalier::cuda {

// Hopper's kernels gather up to so many blocks of 64 columns of dW in one pass over dY and X.
constexpr int kSampledBlocks = 8;

// The parts of a plan. Of R×C tiles: for each row of tiles the columns that it keeps, for each column the rows;
// rows and columns in the order of their lengths, the longest first, for balance; and the work of a weight
// gradient: the row of each kept tile, and groups (row, which part of it) of at most kSampledBlocks blocks of 64
// columns.
template <class Int>
struct TilePlan {
  Int *kept, *groups;  // how many tiles, how many groups
  Int *row_start, *row_columns, *row_order;
  Int *column_start, *column_rows, *column_order;
  Int *tile_row, *group;

  static int64_t length(const espalier_cuda_tiles& shape) {
    TilePlan plan;
    return plan.lay(nullptr, shape);
  }
  TilePlan(Int* at, const espalier_cuda_tiles& shape) { lay(at, shape); }

 private:
  TilePlan() = default;
  int64_t lay(Int* at, const espalier_cuda_tiles& shape) {
    const int64_t rows = shape.m / shape.tile_rows, columns = shape.k / shape.tile_columns, tiles = rows * columns;
    int64_t used = 0;
    const auto take = [&](Int*& part, int64_t count) {
      part = at == nullptr ? nullptr : at + used;
      used += count;
    };
    take(kept, 1);
    take(groups, 1);
    take(row_start, rows + 1);
    take(row_columns, tiles);
    take(row_order, rows);
    take(column_start, columns + 1);
    take(column_rows, tiles);
    take(column_order, columns);
    take(tile_row, tiles);
    take(group, 2 * (tiles * ((shape.tile_columns + 63) / 64) / kSampledBlocks + rows));
    return used;
  }
};

enum class TileProduct { kForward, kDataGrad, kWeightGrad };

// One product. a is W (W, dY for the weight gradient), b what stands on its right; out what is written.
struct TileTask {
  TileProduct product;
  espalier_cuda_tiles shape;
  const void *a, *b, *bias;
  void* out;
  const int32_t* plan;
};

// Hopper's kernel for float16 and bfloat16, where shapes and addresses suit it: false where they do not, and
// nothing was queued.
bool run_tiles_hopper(const TileTask& task, espalier_dtype dtype);

}  // namespace espalier::cuda
