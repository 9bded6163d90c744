// 2:4 sparsity as the tensor cores take it, and the kernels that multiply by it.
//
// Of every four neighbours along K of a row of W two are kept: `values`, m×(k/2), row-major. Which two is four
// bits, the lower index first, 2 bits each. The bits lie as the threads of a warp hand them to the tensor cores
// (PTX ISA, sparse mma m16n8k32 of 16-bit types and m16n8k64 of int8; wgmma takes the same, a warp 16 of its 64
// rows): blocks of 16 rows × 64 of K, one 32-bit word for each lane. With g = lane / 4 and q = lane % 4 a lane's
// word holds
//   16-bit types: row g in its lower half, row g + 8 in the upper, K from 32·(q / 2) + 16·(q % 2) on, 16 each
//   int8:         row g + 8·(q % 2), K from 32·(q / 2) on, 32.
// A 16-bit instruction covers half of a block: its selector says whether lanes with q < 2 or the others speak.
#pragma once

#include "cuda/gemm.h"
#include "cuda/two_four_plan.h"

namespace espalier::cuda {

struct Places {
  const uint32_t* words = nullptr;  // [block of rows][block of K][lane]
  int blocks_m = 0, blocks_k = 0;
};

// What is done to sums of int8 products: plus a bias of the row.
struct WholeFinish {
  const int32_t* bias = nullptr;
  __device__ bool looks() const { return false; }
  __device__ int32_t scaled(int32_t sum) const { return sum; }
  __device__ int32_t of_row(int64_t i) const { return bias != nullptr ? bias[i] : 0; }
  __device__ int32_t of_column(int64_t) const { return 0; }
  __device__ int32_t of_old(int32_t) const { return 0; }
  __device__ int32_t last(int32_t value) const { return value; }
};

// C = finish(W·B), B stored by its columns of K: n×k.
template <class T, class C, bool kTransposed, class F>
struct TwoFourProduct {
  const T* values;
  Places places;
  const T* b;
  int64_t k;
  Target<C, kTransposed> to;
  F finish;
};

// By mma.sp, on every chip from sm_80 on.
template <class T, class C, bool kTransposed, class F>
void two_four_mma(const TwoFourProduct<T, C, kTransposed, F>& product);

// By wgmma, on Hopper.
template <class T, class C, bool kTransposed, class F>
bool two_four_wgmma_takes(const TwoFourProduct<T, C, kTransposed, F>& product);
template <class T, class C, bool kTransposed, class F>
void two_four_wgmma(const TwoFourProduct<T, C, kTransposed, F>& product);

}  // namespace espalier::cuda
