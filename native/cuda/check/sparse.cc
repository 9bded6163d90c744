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

ESPALIER_CHECK(sparse_elements) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
    for (const int64_t batch : {0, 1}) {
      check_sparse(dtype, {1, 1, 1, batch}, {1});
      check_sparse(dtype, {5, 7, 3, batch}, tile_mask(35, 0.5), 0, true);
      check_sparse(dtype, {33, 130, 32, batch}, tile_mask(33 * 130, 0.1));
      check_sparse(dtype, {64, 64, 128, batch}, tile_mask(64 * 64, 1));
      check_sparse(dtype, {64, 100, 33, batch}, tile_mask(64 * 100, 0), 0, true);
      check_sparse(dtype, {257, 515, 129, batch}, tile_mask(257 * 515, 0.05), 0, true, ESPALIER_FLOAT32);
      check_sparse(dtype, {40, 1000, 8, batch}, last_alone(40000));
    }
  check_sparse(ESPALIER_FLOAT32, {0, 10, 4, 0}, {});
  check_sparse(ESPALIER_FLOAT32, {10, 0, 4, 0}, {}, 0, true);
  check_sparse(ESPALIER_FLOAT32, {10, 10, 0, 1}, tile_mask(100, 0.5));
}

// Several panels, blocks and slices; rows of very different lengths.
ESPALIER_CHECK(sparse_elements_large) {
  check_sparse(ESPALIER_FLOAT32, {700, 3000, 200, 0}, tile_mask(700 * 3000, 0.05));
  check_sparse(ESPALIER_BFLOAT16, {700, 3000, 136, 1}, tile_mask(700 * 3000, 0.05), 0, true);
  std::vector<double> uneven(static_cast<size_t>(2100 * 1700));
  for (int64_t row = 0; row < 2100; ++row)
    for (int64_t column = 0; column < 1700; ++column)
      uneven[static_cast<size_t>(row * 1700 + column)] = row % 97 == 0 || (row % 3 == 0 && any(0, 9) == 0);
  check_sparse(ESPALIER_FLOAT32, {2100, 1700, 36, 0}, uneven);
}

ESPALIER_CHECK(sparse_fan_in) {
  for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_BFLOAT16})
    for (const int64_t batch : {0, 1}) {
      check_sparse(dtype, {5, 7, 3, batch}, fan_in_mask(5, 7, 1), 1, true);
      check_sparse(dtype, {100, 900, 70, batch}, fan_in_mask(100, 900, 45), 45);
      check_sparse(dtype, {16, 16, 16, batch}, fan_in_mask(16, 16, 16), 16);
    }
}

ESPALIER_CHECK(sparse_refuses) {
  int64_t length = 0;
  require(espalier_cuda_sparse_pattern_size(5, {2, 2, 1, 0, 0}, &length) == ESPALIER_INVALID_ARGUMENT,
          "more elements than the matrix has are refused");
  require(espalier_cuda_sparse_pattern_size(3, {2, 2, 1, 0, 1}, &length) == ESPALIER_SHAPE_MISMATCH,
          "a count that is not m*fan_in is refused");
  const espalier_cuda_sparse shape{4, 8, 1, 0, 0}, fixed{4, 8, 1, 0, 2};
  Array mask = given(std::vector<double>(32, 1), ESPALIER_UINT8);
  ok(espalier_cuda_sparse_pattern_size(8, shape, &length), "size");
  Array pattern = result(length, ESPALIER_INT32);
  ok(espalier_cuda_sparse_pattern(mask.in(), 8, pattern.out(), shape), "pattern");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a mask of another count is found out");
  ok(espalier_cuda_sparse_pattern_size(8, fixed, &length), "size");
  Array other = result(length, ESPALIER_INT32);
  ok(espalier_cuda_sparse_pattern(mask.in(), 8, other.out(), fixed), "pattern");
  require(espalier_cuda_synchronize() == ESPALIER_INVALID_ARGUMENT, "a row of another fan-in is found out");
  ok(espalier_cuda_synchronize(), "a fault is reported once");
}

ESPALIER_CHECK(masked_products) {
  for (const int64_t batch : {0, 1}) {
    for (const espalier_dtype dtype : {ESPALIER_FLOAT32, ESPALIER_FLOAT64, ESPALIER_FLOAT16, ESPALIER_BFLOAT16})
      for (const espalier_dtype mask : {ESPALIER_UINT8, ESPALIER_INT32, dtype}) {
        check_masked(dtype, {1, 1, 1, batch}, {1}, mask);
        check_masked(dtype, {5, 7, 3, batch}, tile_mask(35, 0.5), mask, false, true);
        check_masked(dtype, {33, 130, 37, batch}, tile_mask(33 * 130, 0.5), mask);
        check_masked(dtype, {136, 72, 260, batch}, tile_mask(136 * 72, 0.3), mask, false, true);
      }
    ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_TF32), "precision");
    check_masked(ESPALIER_FLOAT32, {136, 72, 260, batch}, tile_mask(136 * 72, 0.3), ESPALIER_UINT8, true, true);
    check_masked(ESPALIER_FLOAT32, {65, 201, 33, batch}, tile_mask(65 * 201, 0.6), ESPALIER_UINT8, true);
    ok(espalier_cuda_set_precision(ESPALIER_CUDA_PRECISION_FLOAT32), "precision");
  }
  check_masked(ESPALIER_FLOAT32, {0, 4, 4, 0}, {}, ESPALIER_UINT8);
  check_masked(ESPALIER_FLOAT32, {4, 0, 4, 1}, {}, ESPALIER_UINT8, false, true);
  check_masked(ESPALIER_FLOAT32, {4, 4, 0, 0}, tile_mask(16, 0.5), ESPALIER_UINT8);
}

ESPALIER_CHECK(masked_packs) {
  for (const int64_t n : {1, 31, 32, 33, 1000, 4096}) {
    Array mask = espalier::check::mask(n, 0.5), bytes = given(mask.host(), ESPALIER_UINT8);
    Array words = result((n + 31) / 32, ESPALIER_INT32), of_bytes = result((n + 31) / 32, ESPALIER_INT32);
    std::vector<double> expected(static_cast<size_t>((n + 31) / 32));
    for (size_t word = 0; word < expected.size(); ++word) {
      uint32_t bits = 0;
      for (size_t i = 32 * word; i < mask.host().size() && i < 32 * word + 32; ++i)
        bits |= uint32_t{mask.host()[i] != 0} << (i % 32);
      expected[word] = static_cast<int32_t>(bits);
    }
    ok(espalier_cuda_masked_pack(mask.in(), words.out()), "pack");
    ok(espalier_cuda_masked_pack(bytes.in(), of_bytes.out()), "pack");
    close_to(words, expected, 0, "packed floats");
    close_to(of_bytes, expected, 0, "packed bytes");
  }
}

ESPALIER_CHECK(masked_refuses) {
  Array w = random(16), x = random(8), y = result(8), mask = integers(16, 0, 2, ESPALIER_INT8);
  require(espalier_cuda_masked_forward(w.in(), mask.in(), x.in(), absent().in(), y.out(), {4, 4, 2, 0}) ==
              ESPALIER_DTYPE_MISMATCH,
          "an int8 mask is refused");
  Array shorter = integers(15, 0, 2, ESPALIER_UINT8);
  require(espalier_cuda_masked_forward(w.in(), shorter.in(), x.in(), absent().in(), y.out(), {4, 4, 2, 0}) ==
              ESPALIER_SHAPE_MISMATCH,
          "a mask of another length is refused");
}
