// What a format is, and which there are. A format is a file that implements one of the functions below, and its line
// in formats.cc.
#pragma once

#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "sparse/product.h"

namespace espalier::sparse {

class Format {
 public:
  virtual ~Format() = default;
  virtual std::string name() const = 0;
  // Why it cannot hold the pattern; empty where it can.
  virtual std::string fault(const Pattern&) const { return {}; }
  // Nanoseconds that a product with so many samples is expected to take on one core; kNever where it cannot be had.
  // With `transposed` of the pattern's transpose.
  virtual double cost(const Pattern& pattern, int64_t samples, bool transposed) const = 0;
  // The product by the pattern, whose entry i takes value origin[i]. With `transposed` the pattern is the transpose of
  // one that the format can hold. Null where the product cannot be had.
  virtual std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool transposed) const = 0;

  static constexpr double kNever = std::numeric_limits<double>::infinity();
};

// The format of that kind, or failure where the parameters are none of its. Automatic is none.
std::shared_ptr<const Format> make_format(espalier_sparse_format kind, const std::vector<int64_t>& parameters);
// All of which a matrix of unknown structure could be.
const std::vector<std::shared_ptr<const Format>>& candidates();

std::unique_ptr<Format> generated_format();
std::unique_ptr<Format> rows_format();
std::unique_ptr<Format> vector_format();
std::unique_ptr<Format> fan_in_format();
std::unique_ptr<Format> n_of_m_format(int64_t n, int64_t m);
std::unique_ptr<Format> blocks_format(int64_t height, int64_t width);
std::unique_ptr<Format> channels_format();
std::unique_ptr<Format> dense_format();

}  // namespace espalier::sparse
