// A sparse matrix in compressed rows, with what its products prepare of it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "espalier/sparse.h"
#include "sparse/product.h"

namespace espalier::sparse {

class Matrix {
 public:
  // The kept entries of weight [rows, columns]; `keeps(i)` says which.
  template <class Keeps>
  Matrix(int64_t rows, int64_t columns, const float* weight, espalier_sparse_kernel kernel, Keeps keeps)
      : kernel_(kernel) {
    pattern_.rows = rows;
    pattern_.columns = columns;
    pattern_.row_start.reserve(static_cast<size_t>(rows) + 1);
    pattern_.row_start.push_back(0);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c)
        if (keeps(r * columns + c)) {
          pattern_.column.push_back(static_cast<int32_t>(c));
          values_.push_back(weight[r * columns + c]);
        }
      pattern_.row_start.push_back(static_cast<int64_t>(values_.size()));
    }
  }

  const Pattern& pattern() const { return pattern_; }
  const std::vector<float>& values() const { return values_; }
  void set_values(const float* values);
  int64_t code_size() const;

  // W·X or Wᵀ·X, prepared at the first call.
  void multiply(bool transpose, const Samples& samples, const float* x, const float* bias, bool relu, float* y);

 private:
  Product& product(bool transpose);

  espalier_sparse_kernel kernel_;
  Pattern pattern_;
  std::vector<float> values_;
  std::mutex making_;
  std::unique_ptr<Product> products_[2];  // of W, of Wᵀ
};

// The matrix of a number; throws where there is none. It lives as long as the pointer does.
std::shared_ptr<Matrix> find(int64_t number);
int64_t keep(std::shared_ptr<Matrix> matrix);
void forget(int64_t number);

}  // namespace espalier::sparse
