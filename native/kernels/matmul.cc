#include "kernels/matmul.h"

#include <algorithm>

#include "core/parallel.h"
#include "kernels/gemm.h"

namespace espalier {
// Rows added in registers before they join the total: two short sums err less than a long one.
constexpr int64_t kSumRows = 256;
// Products of a batch from which on each is one thread's; fewer are shared by all threads one by one.
constexpr int64_t kBatchTasks = 8;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/matmul.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

// The number of indices along some axes, and what index i of them means for each operand.
struct Walk {
  std::vector<BatchAxis> axes;
  int64_t count = 1;

  void add(const BatchAxis& axis) {
    axes.push_back(axis);
    count *= axis.size;
  }
  BatchAxis at(int64_t i) const {
    BatchAxis sum{0, 0, 0, 0};
    for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
      const int64_t index = i % axis->size;
      i /= axis->size;
      sum.a += index * axis->a, sum.b += index * axis->b, sum.c += index * axis->c;
    }
    return sum;
  }
};

}  // namespace

template <class T>
void matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const std::vector<BatchAxis>& batch,
            const T* a, const T* b, T* c) {
  // Along `kept` axes every product has a C of its own; along `added` ones they share it.
  Walk kept, added;
  for (const BatchAxis& axis : batch) (axis.c == 0 && axis.size != 1 ? added : kept).add(axis);
  auto one = [&](int64_t i) {
    const BatchAxis at = kept.at(i);
    T* const to = c + at.c * m * n;
    if (added.count == 0 || k == 0) std::fill(to, to + m * n, T(0));
    for (int64_t s = 0; s < added.count && k > 0; ++s) {
      const BatchAxis more = added.at(s);
      gemm<T>(transpose_a, transpose_b, m, n, k, T(1), a + (at.a + more.a) * m * k, transpose_a ? m : k,
              b + (at.b + more.b) * k * n, transpose_b ? k : n, T(s > 0), to, n);
    }
  };
  if (m == 0 || n == 0) return;
  if (kept.count >= kBatchTasks) {
    parallel_for(kept.count, one);
  } else {
    for (int64_t i = 0; i < kept.count; ++i) one(i);
  }
}
template void matmul(bool, bool, int64_t, int64_t, int64_t, const std::vector<BatchAxis>&, const float*, const float*,
                     float*);
template void matmul(bool, bool, int64_t, int64_t, int64_t, const std::vector<BatchAxis>&, const double*, const double*,
                     double*);

template <class T>
void column_sum(int64_t rows, int64_t columns, const T* x, T* y) {
  ESPALIER_ON_ISA(column_sum<T>(rows, columns, x, y));
}
template void column_sum(int64_t, int64_t, const float*, float*);
template void column_sum(int64_t, int64_t, const double*, double*);

}  // namespace espalier::kernels
