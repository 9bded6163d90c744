// What the losses share. Beside x, targets and their gradients of a 16-bit type, losses, what is kept for the
// backward function, and weights are float32: a mean over many elements has no room in 16 bits.
#pragma once

#include "core/array.h"
#include "cuda/reduce.cuh"
#include "espalier/loss.h"

namespace espalier::cuda {

inline void require_reduction(espalier_reduction reduction) {
  require_range("reduction", static_cast<int64_t>(reduction), int64_t{0}, int64_t{2});
}

// Elements of `loss` and its gradient: one each, or one in all.
inline int64_t losses(espalier_reduction reduction, int64_t count) {
  return reduction == ESPALIER_REDUCTION_NONE ? count : 1;
}

// The gradient of a loss: one an element, or one that all share, divided by what the mean divided by.
template <class W>
struct LossGradient {
  const W* dloss;
  espalier_reduction reduction;
  W count;           // what a mean divides by,
  const W* counted;  // or where that stands, if not nullptr
  __device__ __forceinline__ W operator()(int64_t i) const {
    switch (reduction) {
      case ESPALIER_REDUCTION_NONE: return dloss[i];
      case ESPALIER_REDUCTION_MEAN: return dloss[0] / (counted != nullptr ? *counted : count);
      default: return dloss[0];
    }
  }
};

// A total and what a mean divides it by, both in double from a block of terms on.
struct Totals {
  double loss, weight;
};
struct AddTotals {
  using State = Totals;
  __device__ __forceinline__ Totals identity() const { return {0, 0}; }
  __device__ __forceinline__ Totals combine(Totals a, Totals b) const { return {a.loss + b.loss, a.weight + b.weight}; }
};

constexpr int kTermsEach = 16;  // a thread

// partial[block] = the totals of a block's terms; term(i, loss, weight) adds to its two arguments.
template <class W, class Term>
__global__ void __launch_bounds__(kBlock) partial_totals_kernel(int64_t n, Term term, Totals* partial) {
  W loss = 0, weight = 0;
  const int64_t first = blockIdx.x * int64_t{kBlock * kTermsEach} + threadIdx.x;
#pragma unroll 4
  for (int k = 0; k < kTermsEach; ++k) {
    const int64_t i = first + k * kBlock;
    if (i < n) term(i, loss, weight);
  }
  const Totals total =
      combine_lanes<kBlock>(AddTotals{}, Totals{static_cast<double>(loss), static_cast<double>(weight)});
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// *loss = the total (over the weight, for a mean), *counted = the weight; either may be nullptr.
template <class W>
__global__ void __launch_bounds__(kBlock)
    total_kernel(int64_t n, const Totals* partial, espalier_reduction reduction, W* loss, W* counted) {
  Totals total{0, 0};
  for (int64_t i = threadIdx.x; i < n; i += kBlock) total = AddTotals{}.combine(total, partial[i]);
  total = combine_lanes<kBlock>(AddTotals{}, total);
  if (threadIdx.x != 0) return;
  if (counted != nullptr) *counted = static_cast<W>(total.weight);
  if (loss != nullptr)
    *loss = static_cast<W>(reduction == ESPALIER_REDUCTION_MEAN ? total.loss / total.weight : total.loss);
}

template <class W, class Term>
void add_up(int64_t n, Term term, espalier_reduction reduction, W* loss, W* counted) {
  const int64_t blocks = ceil_div(n, kBlock * kTermsEach);
  if (blocks > INT32_MAX) fail(ESPALIER_INVALID_ARGUMENT, "too many losses to add up");
  const Temporary<Totals> partial(blocks);
  if (blocks > 0) {
    partial_totals_kernel<W><<<static_cast<unsigned>(blocks), kBlock, 0, stream()>>>(n, term, partial.get());
    launched("adding up losses");
  }
  total_kernel<<<1, kBlock, 0, stream()>>>(blocks, partial.get(), reduction, loss, counted);
  launched("adding up losses");
}

}  // namespace espalier::cuda
