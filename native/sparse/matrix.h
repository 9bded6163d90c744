// A sparse matrix in compressed rows, with what its products prepare of it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/stopwatch.h"
#include "espalier/sparse.h"
#include "sparse/format.h"
#include "sparse/product.h"
#include "sparse/sampled.h"

namespace espalier::sparse {

class Matrix {
 public:
  // The kept entries of weight [rows, columns]; `keeps(i)` says which. `format` is null for what is expected to be the
  // fastest. Fails where the format cannot hold them.
  template <class Keeps>
  Matrix(int64_t rows, int64_t columns, const float* weight, std::shared_ptr<const Format> format, Keeps keeps) {
    const Stopwatch making(making_time_);
    pattern_.rows = rows;
    pattern_.columns = columns;
    int64_t entries = 0;
    for (int64_t i = 0; i < rows * columns; ++i) entries += keeps(i) ? 1 : 0;
    // Each entry is written and then kept or not: a branch could not be foretold. (Hence the room for one more.)
    pattern_.row_start.reserve(static_cast<size_t>(rows) + 1);
    pattern_.column.resize(static_cast<size_t>(entries) + 1);
    values_.resize(static_cast<size_t>(entries) + 1);
    size_t at = 0;
    pattern_.row_start.push_back(0);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) {
        pattern_.column[at] = static_cast<int32_t>(c);
        values_[at] = weight[r * columns + c];
        at += keeps(r * columns + c) ? 1 : 0;
      }
      pattern_.row_start.push_back(static_cast<int64_t>(at));
    }
    pattern_.column.pop_back();
    values_.pop_back();
    settle(std::move(format));
  }

  // Entries that are already apart from the rest.
  Matrix(Pattern pattern, std::vector<float> values, std::shared_ptr<const Format> format)
      : pattern_(std::move(pattern)), values_(std::move(values)) {
    const Stopwatch making(making_time_);
    settle(std::move(format));
  }

  const Pattern& pattern() const { return pattern_; }
  const std::vector<float>& values() const { return values_; }
  // The streams of products follow when these are next used.
  void set_values(const float* values);
  // weight [rows, columns].
  void unpack(float* weight) const;

  int64_t bytes() const;
  int64_t code_size() const;
  // Nanoseconds that were spent so far on making it, and what products by it and by its transpose prepare: a
  // measurement, on which nothing depends.
  double making_time() const;
  // The format of a product with so many samples, and the nanoseconds it is expected to take.
  const Format& format(int64_t samples, bool transpose = false) const;
  double cost(int64_t samples, bool transpose = false) const;

  // W·X or Wᵀ·X, prepared at the first call, or before it.
  void prepare(int64_t samples, bool transpose = false) { product(samples, transpose); }
  void multiply(bool transpose, const Samples& samples, const float* x, const float* bias, bool relu, float* y);
  // The gradient of the values: entries of dY·Xᵀ.
  void sampled(const Samples& samples, const float* dy, const float* x, float* values) {
    sampled_.multiply(samples, dy, x, values);
  }

 private:
  struct Made {
    std::unique_ptr<Product> product;
    int64_t version = -1;  // of the values in its stream
  };
  // From here on the choice is the one for many samples.
  static constexpr int64_t kMany = 33, kAsMany = 256;

  void settle(std::shared_ptr<const Format> format);
  const Format& choose(int64_t samples, bool transpose) const;
  const Product& product(int64_t samples, bool transpose);

  Pattern pattern_, transposed_;
  std::vector<int32_t> transposed_origin_;
  Sampled sampled_{pattern_};
  std::vector<float> values_;
  int64_t version_ = 0;
  double making_time_ = 0;
  std::vector<std::shared_ptr<const Format>> formats_;  // all that can hold it, or the one asked for
  mutable std::mutex making_;
  mutable std::array<std::array<const Format*, kMany + 1>, 2> choices_{};  // by direction and samples, or null
  std::map<std::pair<const Format*, bool>, Made> made_;
};

}  // namespace espalier::sparse
