// 2:4 products as far as they are arithmetic of sizes: where the places of kept values lie, and the tiles of a product.
#pragma once

#include "cuda/core/counts.h"
#include "cuda/core/device.h"
#include "espalier/cuda/sparse.h"

namespace espalier::cuda {

// A block of places; see two_four.h.
constexpr int kPlaceRows = 16, kPlaceK = 64;

inline int64_t words_of(const espalier_cuda_two_four& shape) {
  return tiles_of(shape.m, kPlaceRows) * tiles_of(shape.k, kPlaceK) * 32;
}

// The groups of four that one word of places describes: `kRows` rows (8 apart) of kGroups each.
template <class T>
struct Word {
  static constexpr int kRows = sizeof(T) == 2 ? 2 : 1, kGroups = sizeof(T) == 2 ? 4 : 8;

  // The first row and the first step of K of word `at`.
  static __device__ void place(int64_t at, int64_t blocks_k, int64_t* row, int64_t* k) {
    const int lane = static_cast<int>(at % 32), g = lane / 4, q = lane % 4;
    const int64_t block = at / 32;
    *row = block / blocks_k * kPlaceRows + g + (sizeof(T) == 2 ? 0 : q % 2 * 8);
    *k = block % blocks_k * kPlaceK + q / 2 * 32 + (sizeof(T) == 2 ? q % 2 * 16 : 0);
  }
};

// body(group, bits) for every group of four of W: `group` counts them along the rows, `bits` is where in its
// word its four bits begin, `at` the word.
template <class T, class Body>
__device__ void each_group(int64_t at, const espalier_cuda_two_four& shape, int64_t blocks_k, Body body) {
  int64_t row, k;
  Word<T>::place(at, blocks_k, &row, &k);
#pragma unroll
  for (int r = 0; r < Word<T>::kRows; ++r)
#pragma unroll
    for (int g = 0; g < Word<T>::kGroups; ++g)
      if (row + r * 8 < shape.m && k + g * 4 < shape.k)
        body(((row + r * 8) * shape.k + k) / 4 + g, (r * Word<T>::kGroups + g) * 4);
}

// Hopper's tiles: high ones in 16 bits, wide ones for int8 and where high ones would be too few or half empty. Two
// tiles of a cluster stand one above the other.
constexpr int kTwoFourCluster = 2;
constexpr int kHighRows = 256, kHighColumns = 192, kWideRows = 128, kWideColumns = 256;

inline bool takes_high_tiles(int64_t m, int64_t n) {
  constexpr int64_t kRows = kTwoFourCluster * kHighRows;
  const int64_t tiles = tiles_of(m, kRows) * tiles_of(n, kHighColumns);
  return tiles * kTwoFourCluster >= traits().multiprocessors && 2 * m * n >= tiles * kRows * kHighColumns;
}

// Whether there are tiles enough for Hopper's kernel at all.
inline bool fills_hopper(int64_t m, int64_t n) {
  return tiles_of(m, kWideRows) * tiles_of(n, kWideColumns) >= traits().multiprocessors / 2;
}

}  // namespace espalier::cuda
