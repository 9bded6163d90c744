#include "program/accumulator.h"

#include <algorithm>

namespace espalier::program {
namespace {

// A tensor's element as a whole number within [low, high], which are some of int64. (What is no number fails the
// comparisons.)
int64_t whole(const char* what, float value, float low, float high) {
  if (!(value >= low && value <= high) || value != static_cast<float>(static_cast<int64_t>(value)))
    fail(ESPALIER_INVALID_ARGUMENT, "%s of a layer on codes is %g, expected a whole number in [%g, %g]", what,
         static_cast<double>(value), static_cast<double>(low), static_cast<double>(high));
  return static_cast<int64_t>(value);
}

constexpr float kMostBias = 0x1p31f;

}  // namespace

int Accumulator::bits() const {
  int bits = 1;
  while (least < -(int64_t{1} << (bits - 1)) || greatest > (int64_t{1} << (bits - 1)) - 1) ++bits;
  return bits;
}

bool Accumulator::fits_integers() const { return least_part >= INT32_MIN && greatest_part <= INT32_MAX; }

bool Accumulator::fits_float() const { return std::max(-least_part, greatest_part) <= int64_t{1} << 24; }

// No sum overflows: at most 2^31 weights, of 7 bits, times codes of 8.
Accumulator accumulator_of(const Tensor& weight, const Tensor* bias, int64_t rows, CodeRange codes) {
  Accumulator all;
  const int64_t columns = rows == 0 ? 0 : weight.size() / rows;
  const float* at = weight.data.data();
  for (int64_t r = 0; r < rows; ++r) {
    // (Not by sign, which no processor foretells.)
    int64_t sum = 0, size = 0;
    for (const float* const end = at + columns; at < end; ++at) {
      const int64_t w = whole("a weight", *at, -128, 127);
      sum += w;
      size += w < 0 ? -w : w;
    }
    const int64_t positive = (size + sum) / 2, negative = (sum - size) / 2;
    const int64_t start =
        bias == nullptr ? 0 : whole("a bias", bias->data[static_cast<size_t>(r)], -kMostBias, kMostBias);
    const int64_t least = codes.low * positive + codes.high * negative,
                  greatest = codes.high * positive + codes.low * negative;
    all.least = std::min(all.least, start + least);
    all.greatest = std::max(all.greatest, start + greatest);
    all.least_part = std::min(all.least_part, std::min<int64_t>(start, 0) + least);
    all.greatest_part = std::max(all.greatest_part, std::max<int64_t>(start, 0) + greatest);
  }
  return all;
}

}  // namespace espalier::program
