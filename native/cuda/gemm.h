// Dense matrix products on the device, as the kernels of gemm_*.cu see them.
#pragma once

#include "cuda/core/launch.cuh"
#include "cuda/splits.h"

namespace espalier::cuda {

// One axis of a batch: its size, and how many matrices of A, B and C a step along it passes.
struct BatchAxis {
  int64_t size, a, b, c;
};

// The indices along some axes, and what index i of them means for each operand.
struct Walk {
  static constexpr int kMost = 8;
  int rank = 0;
  int64_t count = 1;
  BatchAxis axes[kMost];

  __host__ __device__ BatchAxis at(int64_t i) const {
    BatchAxis sum{0, 0, 0, 0};
    for (int axis = rank - 1; axis >= 0; --axis) {
      const int64_t index = i % axes[axis].size;
      i /= axes[axis].size;
      sum.a += index * axes[axis].a, sum.b += index * axes[axis].b, sum.c += index * axes[axis].c;
    }
    return sum;
  }
};

// A bias in float32, or in the element type of A and B.
struct Bias {
  const void* data = nullptr;
  bool wide = false;

  template <class T>
  __device__ wide_t<T> at(int64_t i) const {
    return wide ? static_cast<wide_t<T>>(static_cast<const float*>(data)[i]) : widen(static_cast<const T*>(data)[i]);
  }
};

// What becomes of a sum of products: α times it, plus β·C, plus biases, then max(·, 0).
template <class T>
struct Finish {
  wide_t<T> alpha = 1, beta = 0;
  Bias row, column;
  bool relu = false;

  // The parts apart, for kernels that hold many sums.
  __device__ bool looks() const { return beta != 0 || column.data != nullptr; }
  __device__ wide_t<T> scaled(wide_t<T> sum) const { return alpha * sum; }
  template <class C>
  __device__ wide_t<T> of_old(const C& old) const {
    return beta != 0 ? beta * static_cast<wide_t<T>>(old) : wide_t<T>(0);
  }
  __device__ wide_t<T> of_row(int64_t i) const { return row.data != nullptr ? row.at<T>(i) : 0; }
  __device__ wide_t<T> of_column(int64_t j) const { return column.data != nullptr ? column.at<T>(j) : 0; }
  // Not max: a NaN goes through, as on the CPU.
  __device__ wide_t<T> last(wide_t<T> value) const { return relu && value < 0 ? wide_t<T>(0) : value; }

  template <class C>
  __device__ C operator()(wide_t<T> sum, int64_t i, int64_t j, const C* old) const {
    wide_t<T> value = alpha * sum;
    if (beta != 0) value += beta * static_cast<wide_t<T>>(*old);
    return static_cast<C>(last(value + of_row(i) + of_column(j)));
  }
};

// Where a kernel's sums go. With kTransposed C is stored by columns, ldc apart. `wide`: rows (columns) of C start
// at multiples of 16 bytes.
template <class C, bool kTransposed>
struct Target {
  C* c;
  int64_t m, n, ldc;
  bool wide;

  __host__ __device__ static constexpr bool transposed() { return kTransposed; }
  __device__ int64_t step_i() const { return kTransposed ? 1 : ldc; }
  __device__ int64_t step_j() const { return kTransposed ? ldc : 1; }
};

// C = finish(Σ over `added` of op(A)·op(B)), for every index of `kept`. Matrices of A, B and C lie
// stride_a, stride_b and stride_c elements apart.
template <class T, class C>
struct Product {
  int64_t m, n, k;
  bool transpose_a, transpose_b;
  const T* a;
  int64_t lda;
  const T* b;
  int64_t ldb;
  C* c;
  int64_t ldc;
  Finish<T> finish;
  Walk kept, added;
  int64_t stride_a = 0, stride_b = 0, stride_c = 0;
};

// Where the next tiles of A and B begin: along K, then from one added product to the next. A division or two
// for each step would be felt.
template <class T, class C>
struct Along {
  const Product<T, C>& p;
  BatchAxis at;  // of the kept product
  int k_tiles, k_tile;
  int64_t which = 0;
  const T* a;
  const T* b;

  __device__ Along(const Product<T, C>& p, const BatchAxis& at, int64_t tiles, int64_t step)
      : p(p), at(at), k_tiles(static_cast<int>(tiles)), k_tile(0) {
    if (tiles > 0) which = step / tiles, k_tile = static_cast<int>(step % tiles);
    look();
  }
  __device__ void advance() {
    if (++k_tile < k_tiles) return;
    k_tile = 0;
    ++which;
    look();
  }
  __device__ void look() {
    const BatchAxis more = p.added.at(which);
    a = p.a + (at.a + more.a) * p.stride_a;
    b = p.b + (at.b + more.b) * p.stride_b;
  }
};

// On CUDA cores: float and double.
template <class T>
void gemm_simt(const Product<T, T>& product);

// On tensor cores of every chip from sm_80 on, by mma.sync: half and bfloat16 as they are; float rounded
// to tf32. C is T or float.
template <class T, class C>
void gemm_mma(const Product<T, C>& product);

// On Hopper's, by wgmma: half and bfloat16; float, whose lower 13 bits must be zeros already, with K along the
// rows of both operands. One product at a time.
template <class T, class C>
bool gemm_wgmma_takes(const Product<T, C>& product);
template <class T, class C>
void gemm_wgmma(const Product<T, C>& product);

// Whether gemm_wgmma is taken at all: a switch for checks, so that the other kernels can be had on Hopper too.
bool wgmma_enabled();
void enable_wgmma(bool on);

}  // namespace espalier::cuda
