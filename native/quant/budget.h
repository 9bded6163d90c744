// Codes within the budgets of an accumulator; what each function computes stands in espalier/quant.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "espalier/quant.h"

namespace espalier::quant {

// What an accumulator leaves the weights of a neuron. With p the sum of its positive codes and n that of
// the magnitudes of its negative ones, all is well where high·p + low·n ≤ above and low·p + high·n ≤ below.
struct Room {
  int64_t above, below, high, low;

  Room(const espalier_accumulator& accumulator, int64_t bias)
      : above((int64_t{1} << (accumulator.bits - 1)) - 1 - bias),
        below((int64_t{1} << (accumulator.bits - 1)) + bias),
        high(accumulator.input_max),
        low(-accumulator.input_min) {}

  bool fits(int64_t p, int64_t n) const { return high * p + low * n <= above && low * p + high * n <= below; }
  // The largest p beside an n that fits with some p.
  int64_t positive(int64_t n) const { return most(above, below, n); }
  int64_t negative(int64_t p) const { return most(below, above, p); }
  // Sums of whole numbers move in steps of this.
  int64_t step() const { return std::gcd(high, low); }
  // Whether a weight counts at one end only, so that the signs know nothing of each other.
  bool apart() const { return high == 0 || low == 0; }

 private:
  int64_t most(int64_t own, int64_t others, int64_t beside) const {
    const int64_t here = high == 0 ? INT64_MAX : (own - low * beside) / high;
    return low == 0 ? here : std::min(here, (others - high * beside) / low);
  }
};

// Weights, a row a neuron.
template <class T>
struct Budgeted {
  const T *v, *scale, *bias;  // scale, bias: null where absent
  int64_t rows, fan_in, largest;
  espalier_accumulator accumulator;

  Room room(int64_t row) const { return {accumulator, bias == nullptr ? 0 : static_cast<int64_t>(bias[row])}; }
};

// Throws Failure where v is not finite, before anything is written.
template <class T>
void budget_codes(const Budgeted<T>& weights, T* codes);

template <class T>
void budget_project(const Budgeted<T>& weights, const T* mask, T* y);

}  // namespace espalier::quant
