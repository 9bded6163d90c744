// Sparse products on every chip's kernels; those of Hopper's copy engine and wgmma are in zz_sparse.cc.
#include "cuda/check/sparse_cases.h"

using namespace espalier::check;

ESPALIER_CHECK(tiles_exact) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT64, ESPALIER_FLOAT32})
    for (const int64_t batch : {0, 1}) {
      check_tiles(dtype, {32, 32, 1, batch}, 32, 32, {1});
      check_tiles(dtype, {64, 96, 33, batch}, 32, 32, tile_mask(6, 0.5), false, true);
      check_tiles(dtype, {64, 96, 33, batch}, 32, 32, tile_mask(6, 0));
      check_tiles(dtype, {128, 64, 130, batch}, 64, 32, tile_mask(4, 1));
      check_tiles(dtype, {192, 128, 65, batch}, 64, 64, last_alone(6), false, true);
      check_tiles(dtype, {256, 384, 7, batch}, 128, 96, tile_mask(8, 0.4));
    }
  check_tiles(ESPALIER_FLOAT32, {0, 64, 5, 0}, 32, 32, {});
  check_tiles(ESPALIER_FLOAT32, {64, 0, 5, 0}, 32, 32, {});
  check_tiles(ESPALIER_FLOAT32, {64, 64, 0, 1}, 32, 32, tile_mask(4, 1));
}

ESPALIER_CHECK(tiles_tf32) {
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_TF32), "precision");
  for (const int64_t batch : {0, 1}) {
    check_tiles(ESPALIER_FLOAT32, {64, 64, 64, batch}, 64, 64, {1}, true);
    check_tiles(ESPALIER_FLOAT32, {256, 192, 200, batch}, 64, 64, tile_mask(12, 0.5), true, true);
    check_tiles(ESPALIER_FLOAT32, {96, 160, 37, batch}, 32, 32, tile_mask(15, 0.5), true);
    check_tiles(ESPALIER_FLOAT32, {256, 256, 129, batch}, 128, 64, last_alone(8), true);
  }
  ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32), "precision");
}

// Tiles of 32, and columns that the copy engine cannot step over: 16-bit types without it.
ESPALIER_CHECK(tiles_sixteen_bits) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const int64_t batch : {0, 1}) {
      check_tiles(dtype, {32, 32, 8, batch}, 32, 32, {1});
      check_tiles(dtype, {96, 160, 37, batch}, 32, 32, tile_mask(15, 0.5), false, true);
      check_tiles(dtype, {256, 384, 264, batch}, 32, 32, tile_mask(96, 0.2));
      check_tiles(dtype, {192, 192, 64, batch}, 96, 64, tile_mask(6, 0.5));
      check_tiles(dtype, {64, 64, 64, batch}, 32, 32, tile_mask(4, 0));
      check_tiles(dtype, {128, 128, 0, batch}, 64, 64, tile_mask(4, 1));
    }
  check_tiles(ESPALIER_BFLOAT16, {128, 192, 33, 0}, 64, 64, tile_mask(6, 0.5));
}

ESPALIER_CHECK(tiles_refuse) {
  int64_t length = 0;
  require(espalier_cuda_tiles_plan_size({64, 64, 1, 0, 48, 32}, &length) == ESPALIER_INVALID_ARGUMENT,
          "tiles of 48 rows are refused");
  require(espalier_cuda_tiles_plan_size({65, 64, 1, 0, 32, 32}, &length) == ESPALIER_SHAPE_MISMATCH,
          "rows that tiles do not divide are refused");
  Array mask = given({1, 1}, ESPALIER_UINT8), plan = result(4, ESPALIER_INT32);
  require(espalier_cuda_tiles_plan(mask.in(), plan.out(), {64, 32, 1, 0, 32, 32}) == ESPALIER_SHAPE_MISMATCH,
          "a plan of another length is refused");
}
