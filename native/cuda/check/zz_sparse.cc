// Sparse products on Hopper's copy engine and wgmma (elsewhere the same cases run on the other kernels). Last in
// the program: a wait that never ends takes its time here.
#include "cuda/check/sparse_cases.h"

using namespace espalier::check;

ESPALIER_CHECK(zz_tiles_smallest) {
  for (const espalier_dtype dtype : {ESPALIER_BFLOAT16, ESPALIER_FLOAT16})
    for (const int64_t batch : {0, 1}) check_tiles(dtype, {64, 64, 64, batch}, 64, 64, {1});
}

// Every arrangement of blocks: 64 rows by 128 and 512 columns, 128 by 256.
ESPALIER_CHECK(zz_tiles_shapes) {
  for (const int64_t batch : {0, 1})
    for (const int64_t n : {8, 64, 120, 128, 136, 256, 264, 512, 520, 1000}) {
      check_tiles(ESPALIER_BFLOAT16, {128, 192, n, batch}, 64, 64, tile_mask(6, 0.5), false, n % 64 == 0);
      check_tiles(ESPALIER_BFLOAT16, {256, 128, n, batch}, 128, 64, tile_mask(4, 0.6), false, n % 64 == 0);
      check_tiles(ESPALIER_FLOAT16, {128, 256, n, batch}, 64, 128, tile_mask(4, 0.5));
    }
}

ESPALIER_CHECK(zz_tiles_masks) {
  for (const int64_t batch : {0, 1}) {
    check_tiles(ESPALIER_BFLOAT16, {512, 640, 72, batch}, 64, 64, tile_mask(80, 0), false, true);
    check_tiles(ESPALIER_BFLOAT16, {512, 640, 72, batch}, 64, 64, tile_mask(80, 1));
    check_tiles(ESPALIER_BFLOAT16, {512, 640, 72, batch}, 64, 64, last_alone(80));
    check_tiles(ESPALIER_BFLOAT16, {512, 640, 72, batch}, 128, 128, tile_mask(20, 0.3));
    check_tiles(ESPALIER_BFLOAT16, {512, 1024, 72, batch}, 256, 256, tile_mask(8, 0.5));
    for (const double density : {0.05, 0.1, 0.3, 0.7})
      check_tiles(ESPALIER_FLOAT16, {512, 640, 200, batch}, 64, 64, tile_mask(80, density));
  }
}

// Several blocks of columns, of which the last has few.
ESPALIER_CHECK(zz_tiles_columns) {
  for (const int64_t batch : {0, 1}) {
    check_tiles(ESPALIER_BFLOAT16, {64, 64, 1024, batch}, 64, 64, {1});
    for (const int64_t n : {520, 1024, 1032, 1544})
      for (const double density : {0.0, 0.1, 0.5, 1.0})
        check_tiles(ESPALIER_BFLOAT16, {320, 448, n, batch}, 64, 64, tile_mask(35, density), false, true);
    check_tiles(ESPALIER_BFLOAT16, {384, 512, 776, batch}, 128, 128, tile_mask(12, 0.4), false, true);
    check_tiles(ESPALIER_FLOAT16, {384, 512, 264, batch}, 128, 64, tile_mask(24, 0.2));
  }
}

// More work than multiprocessors, and pipelines that go round many times.
ESPALIER_CHECK(zz_tiles_large) {
  check_tiles(ESPALIER_BFLOAT16, {1024, 512, 776, 0}, 64, 64, tile_mask(128, 0.2));
  check_tiles(ESPALIER_BFLOAT16, {512, 1024, 776, 1}, 64, 64, tile_mask(128, 0.3), false, true);
  check_tiles(ESPALIER_BFLOAT16, {2048, 1024, 1536, 0}, 64, 64, tile_mask(512, 0.2));
  check_tiles(ESPALIER_BFLOAT16, {1024, 2048, 1536, 1}, 64, 64, tile_mask(512, 0.3), false, true);
  check_tiles(ESPALIER_BFLOAT16, {4096, 512, 1600, 0}, 64, 64, tile_mask(512, 0.3));
  check_tiles(ESPALIER_BFLOAT16, {8192, 1024, 72, 1}, 64, 64, tile_mask(2048, 0.6));
}

// More pieces of work than blocks take at once: dealt as they go. Rows that keep nothing or a tile
// are done before the copies of the next are under way.
ESPALIER_CHECK(zz_tiles_dealt) {
  for (const int64_t batch : {0, 1}) {
    check_tiles(ESPALIER_BFLOAT16, {1024, 320, 520, batch}, 64, 64, tile_mask(80, 0.1), false, true);
    check_tiles(ESPALIER_FLOAT16, {1024, 128, 392, batch}, 128, 64, tile_mask(16, 0.3), false, true);
    check_tiles(ESPALIER_BFLOAT16, {1152, 128, 264, batch}, 64, 64, tile_mask(36, 0.0), false, true);
    check_tiles(ESPALIER_BFLOAT16, {8192, 512, 1032, batch}, 64, 64, tile_mask(1024, 0.1), false, true);
    check_tiles(ESPALIER_BFLOAT16, {512, 4096, 1544, batch}, 64, 64, tile_mask(512, 0.2));
    check_tiles(ESPALIER_FLOAT16, {8192, 256, 1288, batch}, 128, 64, tile_mask(256, 0.3), false, true);
    check_tiles(ESPALIER_BFLOAT16, {9216, 256, 520, batch}, 64, 64, tile_mask(576, 0.0), false, true);
  }
}

// Each stream counts its own items, from zero at every launch.
ESPALIER_CHECK(zz_tiles_on_streams) {
  for (int turn = 0; turn < 2; ++turn) {
    int64_t stream = 0;
    ok(espalier_cuda_stream_create(&stream), "stream_create");
    ok(espalier_cuda_set_stream(stream), "set_stream");
    for (int again = 0; again < 2; ++again) {
      check_tiles(ESPALIER_BFLOAT16, {1024, 128, 520, again}, 64, 64, tile_mask(32, 0.1));
      check_tiles(ESPALIER_BFLOAT16, {8192, 256, 1032, again}, 64, 64, tile_mask(512, 0.1));
    }
    ok(espalier_cuda_set_stream(0), "set_stream");
    ok(espalier_cuda_stream_destroy(stream), "stream_destroy");
  }
}

ESPALIER_CHECK(zz_masked_smallest) {
  for (const espalier_dtype dtype : {ESPALIER_BFLOAT16, ESPALIER_FLOAT16})
    for (const int64_t batch : {0, 1}) check_masked(dtype, {64, 64, 64, batch}, tile_mask(4096, 0.5), ESPALIER_UINT8);
}

ESPALIER_CHECK(zz_masked_shapes) {
  for (const int64_t batch : {0, 1})
    for (const int64_t n : {8, 72, 256, 264, 520}) {
      check_masked(ESPALIER_BFLOAT16, {192, 320, n, batch}, tile_mask(192 * 320, 0.3), ESPALIER_INT32, false, true);
      check_masked(ESPALIER_FLOAT16, {320, 64, n, batch}, tile_mask(320 * 64, 0.8), ESPALIER_FLOAT16);
    }
  check_masked(ESPALIER_BFLOAT16, {576, 448, 520, 0}, tile_mask(576 * 448, 0.5), ESPALIER_UINT8);
  check_masked(ESPALIER_BFLOAT16, {448, 576, 520, 1}, tile_mask(576 * 448, 0.5), ESPALIER_UINT8);
  check_masked(ESPALIER_BFLOAT16, {1536, 1280, 1160, 0}, tile_mask(1536 * 1280, 0.5), ESPALIER_UINT8);
  check_masked(ESPALIER_BFLOAT16, {1280, 1536, 1160, 1}, tile_mask(1536 * 1280, 0.5), ESPALIER_UINT8);
  check_masked(ESPALIER_BFLOAT16, {1536, 1536, 3000, 0}, tile_mask(1536 * 1536, 0.5), ESPALIER_UINT8);
  check_masked(ESPALIER_BFLOAT16, {2048, 2304, 136, 1}, tile_mask(2048 * 2304, 0.5), ESPALIER_UINT8);
}
