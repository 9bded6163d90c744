// A sparse matrix made ready to be multiplied by dense ones.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "espalier/sparse.h"

namespace espalier::sparse {

// Which entries are kept: compressed rows.
struct Pattern {
  int64_t rows = 0, columns = 0;
  std::vector<int64_t> row_start;  // rows + 1
  std::vector<int32_t> column;
};

// How X and Y hold their samples.
struct Samples {
  int64_t count;
  bool by_row;
};

class Product {
 public:
  virtual ~Product() = default;
  // The values of the matrix it was made for, in that matrix's order.
  virtual void set_values(const float* values) = 0;
  virtual int64_t code_size() const { return 0; }
  // Y = X by the pattern, + bias (may be null), max(·, 0) with relu.
  virtual void multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const = 0;
};

// Entry i of the pattern takes value origin[i].
std::unique_ptr<Product> make_product(Pattern pattern, std::vector<int64_t> origin, espalier_sparse_kernel kernel);

}  // namespace espalier::sparse
