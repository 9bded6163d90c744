// Codes on their way into integer kernels, and sums on their way out.
#pragma once

#include <cstdint>
#include <vector>

#include "sparse/integer.h"
#include "sparse/panels.h"

namespace espalier::sparse {

// How the instruction set in use multiplies codes.
struct CodeShape {
  int64_t samples;  // of a block: a vector of codes, or two
  int64_t terms;    // products that a lane adds up at once
  int64_t bytes;    // of a code
  int64_t lanes;    // of a vector of sums
  // Of what a product can leave out where fewer samples are there: a vector of codes.
  int64_t half() const { return lanes * terms; }
};
CodeShape code_shape();
// What is added to codes of a range with negative ones, so that they are none; 0 where kernels take them with a sign.
int32_t code_bias(CodeRange range);

// What a bias of the codes adds to each row's sum. (Of numbers without sign: what wraps on the way wraps back.)
std::vector<uint32_t> of_bias(const IntegerEntries& entries, int32_t bias);

// What sums start from: `start`, less what the bias of the codes adds to each row.
class BiasedStart {
 public:
  BiasedStart(const IntegerEntries& entries, CodeRange range);
  std::vector<int32_t> of(const IntegerCall& call) const;
  int64_t bytes() const { return static_cast<int64_t>(of_bias_.size() * sizeof(int32_t)); }

 private:
  std::vector<uint32_t> of_bias_;
};

// How a kernel wants the codes of a block of samples.
enum class CodeOrder {
  panels,   // with AVX-512: [sample / 16][column / terms][sample % 16][terms], of samples as they come
  columns,  // [column][sample], the samples in the order that brings lanes together (simd/dot.inl)
  tuples,   // [column / terms][sample][terms]
  words     // what pack_words makes, with AVX2
};

// Samples [first, first + a block's) of X; what stands past the last sample or column is some code.
void pack_codes(const IntegerCall& call, int64_t columns, CodeRange range, CodeOrder order, int64_t first, void* to);

// The same as words, vectors of samples as they come, so many of them: [sample / 32][column][sample % 32] with AVX-512,
// by 16 with AVX2, which takes a block or half of one.
void pack_words(const IntegerCall& call, int64_t columns, CodeRange range, int64_t first, int64_t samples, int16_t* to);

// One sample's codes side by side, as bytes, with that bias.
void pack_sample(const IntegerCall& call, int64_t columns, CodeRange range, int64_t sample, int32_t bias, uint8_t* to);

// How many samples of the block from `first` on are computed: all, or its first half if no more are there.
int64_t samples_computed(const IntegerCall& call, int64_t first);

// Where sums go. Vectors of a row stand `vector` apart by twos, and these `two`: a panel may hold no more.
struct SumsPlace {
  int32_t* at;
  int64_t row, vector, two;
  int32_t* vector_of(int64_t r, int64_t j) const { return at + r * row + j / 2 * two + j % 2 * vector; }
};
// Where those of a block belong in Y, if they can be stored there a vector at a time; else `at` is null.
SumsPlace place_in_y(const IntegerCall& call, int64_t rows, int64_t first);
// The same for samples [first, first + samples), of which `first` is a multiple of two vectors of sums.
SumsPlace place_in_y(const IntegerCall& call, int64_t rows, int64_t first, int64_t samples);

// Some of a product's rows.
struct RowRange {
  int64_t first, count;
};

// Words of some rows, of samples as they come: the first row's first, and from row to row.
struct WordSums {
  const int16_t* at;
  int64_t pitch;
};
// Final values of those rows of the product and of samples [first, first + samples), a multiple of 32, stored in Y:
// `start` is added, ReLU done. `in_y` is place_in_y's answer for these samples.
void finish_words(const IntegerCall& call, int64_t components, RowRange rows, int64_t first, int64_t samples,
                  const WordSums& sums, const SumsPlace& in_y);

// Those rows of [component][sample] of a block into Y; the values are final, int32 or float32 as the call wants them.
void unpack_sums(const IntegerCall& call, int64_t components, RowRange rows, const int32_t* sums, int64_t first,
                 int64_t samples);
// The same of [panel][component][16], those rows alone, `apart` from panel to panel; Y holds no panels.
void unpack_panels_of_sums(const IntegerCall& call, int64_t components, RowRange rows, const int32_t* sums,
                           int64_t apart, int64_t first_panel, int64_t panels);

}  // namespace espalier::sparse
