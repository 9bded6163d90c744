// Batches of dense products, and sums of columns.
#pragma once

#include <cstdint>
#include <vector>

namespace espalier::kernels {

// A dimension of the batch: how far each operand moves along it, in matrices (0: it stays, and in C
// the products are added up).
struct BatchAxis {
  int64_t size, a, b, c;
};

// C = op(A)·op(B) for every index of the batch; all matrices dense. `batch` may be empty: one product.
template <class T>
void matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const std::vector<BatchAxis>& batch,
            const T* a, const T* b, T* c);

// y[j] = Σ x[i, j], in a fixed order; x is rows×columns.
template <class T>
void column_sum(int64_t rows, int64_t columns, const T* x, T* y);

}  // namespace espalier::kernels
