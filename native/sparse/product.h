// A sparse matrix made ready to be multiplied by dense ones.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "espalier/sparse.h"

namespace espalier::sparse {

// Which entries are kept: compressed rows.
struct Pattern {
  int64_t rows = 0, columns = 0;
  std::vector<int64_t> row_start;  // rows + 1
  std::vector<int32_t> column;

  int64_t entries() const { return static_cast<int64_t>(column.size()); }
  int64_t begin(int64_t row) const { return row_start[static_cast<size_t>(row)]; }
  int64_t end(int64_t row) const { return row_start[static_cast<size_t>(row) + 1]; }
  int64_t at(int64_t entry) const { return column[static_cast<size_t>(entry)]; }
};

// How X and Y hold their samples.
struct Samples {
  int64_t count;
  espalier_sparse_layout layout;
};

class Product {
 public:
  virtual ~Product() = default;
  // The values of the matrix it was made for, in that matrix's order.
  virtual void set_values(const float* values) = 0;
  // Values, indices and code that it holds; code alone.
  virtual int64_t bytes() const = 0;
  virtual int64_t code_size() const { return 0; }
  // Y = X by the pattern, + bias (may be null), max(·, 0) with relu.
  virtual void multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const = 0;
};

// A product's values in the order in which it reads them: place i holds value origin[i] of the matrix, or 0 where that
// is kPadding.
class Stream {
 public:
  static constexpr int32_t kPadding = -1;

  Stream() = default;
  explicit Stream(std::vector<int32_t> origin)
      : origin_(std::move(origin)),
        values_(origin_.size()),
        padded_(std::find(origin_.begin(), origin_.end(), kPadding) != origin_.end()) {}

  void set(const float* values) {
    parallel_ranges(size(), kSetTogether, [&](int64_t begin, int64_t end) {
      const int32_t* const from = origin_.data();
      float* const to = values_.data();
      if (padded_)
        for (int64_t i = begin; i < end; ++i) to[i] = from[i] < 0 ? 0.0f : values[from[i]];
      else move(from + begin, values, to + begin, end - begin);
    });
  }
  const float* data() const { return values_.data(); }
  int64_t size() const { return static_cast<int64_t>(values_.size()); }
  int64_t bytes() const { return static_cast<int64_t>(values_.size() * (sizeof(float) + sizeof(int32_t))); }

 private:
  // Values that a thread sets at a time.
  static constexpr int64_t kSetTogether = 16'000;

  // Two places to a load and four values to a store: that takes a quarter off what is two loads and a store a value
  // else. (Gather instructions are slower than that.)
  static void move(const int32_t* from, const float* values, float* to, int64_t count) {
    int64_t i = 0;
    for (; i + 4 <= count; i += 4) {
      uint64_t places[2];
      std::memcpy(places, from + i, sizeof places);
      float four[4] = {values[places[0] & 0xFFFF'FFFF], values[places[0] >> 32], values[places[1] & 0xFFFF'FFFF],
                       values[places[1] >> 32]};
      if constexpr (std::endian::native == std::endian::big) std::swap(four[0], four[1]), std::swap(four[2], four[3]);
      std::memcpy(to + i, four, sizeof four);
    }
    for (; i < count; ++i) to[i] = values[from[i]];
  }

  std::vector<int32_t> origin_;
  std::vector<float> values_;
  bool padded_ = false;
};

}  // namespace espalier::sparse
