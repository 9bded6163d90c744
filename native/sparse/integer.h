// Products of matrices of int8 with codes of 8 bits, exact: a pruned and quantised weight, prepared once. What sums of
// 16 bits can hold is proved from the weights and the range of the codes; everything else has 32.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "espalier/sparse_integer.h"
#include "sparse/product.h"

namespace espalier::sparse {

// The codes that X may hold, inclusive: within 0…255 or within −128…127.
struct CodeRange {
  int32_t low, high;
};

struct IntegerOptions {
  CodeRange range{0, 255};
  espalier_integer_kernel kernel = ESPALIER_INTEGER_KERNEL_AUTOMATIC;
  // Of sums: 16 or 32; 0 for whatever is proved and expected to be the fastest.
  int bits = 0;
};

// The least and the greatest that any partial sum of a row can be, in whatever order it is taken, over all rows.
struct Extremes {
  int64_t least = 0, greatest = 0;
  // Bits of two's complement that hold both.
  int bits() const;
};

// The kept entries, by row and then column; no value is 0.
struct IntegerEntries {
  Pattern pattern;
  std::vector<int8_t> value;
};

// How X and Y stand in memory.
enum class Codes { uint8, int8, float32 };
struct IntegerCall {
  Samples samples;
  Codes codes;
  const void* x;
  const int32_t* start;  // of each row's sum, or null
  bool relu;
  void* y;  // float32 where X is, else int32
};

// A kernel, made ready for a matrix.
class IntegerProduct {
 public:
  virtual ~IntegerProduct() = default;
  virtual std::string name() const = 0;
  virtual int sum_bits() const { return 32; }
  virtual int64_t bytes() const = 0;
  virtual int64_t code_size() const { return 0; }
  virtual void multiply(const IntegerCall& call) const = 0;
};

// Steps of products with few samples (integer_vector.cc): values and places; places with a sign, of weights −1 and 1;
// values of all columns. Which are expected to be the fastest for a matrix, and the cycles they take, once and for each
// sample.
enum class VectorSteps { entries, signs, dense };
struct VectorCost {
  VectorSteps kind = VectorSteps::entries;
  double once = 0, of_sample = 0;
  double of(int64_t samples) const { return once + of_sample * static_cast<double>(samples); }
};

// And those of a block of 64 samples in other products, which take no part of one for less than so many samples.
struct BlockCost {
  double cycles = 0;
  int64_t samples = 64;
};

// What a matrix's product is expected to take, and whether it goes sample by sample.
struct IntegerCost {
  double nanoseconds;
  bool vector;
};

class IntegerMatrix {
 public:
  // The entries of weight [rows, columns] that are not 0 and, where there is a mask, are not 0 in it either. Fails
  // where the range is none, where 32 bits do not hold every sum or `bits` are not proved to, and where the kernel
  // that is asked for cannot be had for this matrix on this processor.
  IntegerMatrix(int64_t rows, int64_t columns, const int8_t* weight, const uint8_t* mask,
                const IntegerOptions& options = {});

  // Nanoseconds that a product by such a matrix, of automatic kernel or another, is expected to take on one core: the
  // cost of one that is made, before it is. Fails where the matrix would not be for its range or sums.
  static IntegerCost cost_of(int64_t rows, int64_t columns, const int8_t* weight, const IntegerOptions& options,
                             int64_t samples);

  int64_t rows() const { return entries_.pattern.rows; }
  int64_t columns() const { return entries_.pattern.columns; }
  int64_t entries() const { return entries_.pattern.entries(); }
  CodeRange range() const { return range_; }
  // What sums of products can come to, start values apart.
  const Extremes& extremes() const { return extremes_; }

  // "rows", "signs", …; the bits of its sums. Of many samples, or of so many.
  std::string name() const { return product_->name(); }
  std::string name(int64_t samples) const { return cost_of(samples).vector ? "vector" : name(); }
  int sum_bits() const { return product_->sum_bits(); }
  int sum_bits(int64_t samples) const { return cost_of(samples).vector ? 32 : sum_bits(); }
  int64_t bytes() const;
  int64_t code_size() const { return product_->code_size(); }
  // Makes what products with so many samples need and none before has made.
  void prepare(int64_t samples) const {
    if (samples > 0 && rows() > 0) product(samples);
  }
  // Nanoseconds that a product with so many samples is expected to take on one core.
  double cost(int64_t samples) const { return cost_of(samples).nanoseconds; }

  // y = W·x + start, exactly (in 32 bits, wrapping where start takes it beyond), then max(·, 0) with relu. Codes
  // outside of the range count as its nearest end.
  void multiply(const Samples& samples, const uint8_t* x, const int32_t* start, bool relu, int32_t* y) const;
  void multiply(const Samples& samples, const int8_t* x, const int32_t* start, bool relu, int32_t* y) const;
  // The same for codes held as float32: fractions are cut off, what is no number counts as the range's lower end. y is
  // the float32 nearest to the exact sum.
  void multiply(const Samples& samples, const float* x, const int32_t* start, bool relu, float* y) const;

  // weight [rows, columns], 0 where nothing is kept.
  void unpack(int8_t* weight) const;

 private:
  void take(int64_t rows, int64_t columns, const int8_t* weight, const uint8_t* mask, int64_t count);
  void multiply(const IntegerCall& call) const;
  IntegerCost cost_of(int64_t samples) const;
  const IntegerProduct& product(int64_t samples) const;

  IntegerEntries entries_;
  CodeRange range_;
  Extremes extremes_;
  std::unique_ptr<IntegerProduct> product_;
  BlockCost block_;
  // For few samples, made when they come for the first time.
  VectorCost few_;
  mutable std::mutex making_;
  mutable std::unique_ptr<IntegerProduct> vector_;
};

}  // namespace espalier::sparse
