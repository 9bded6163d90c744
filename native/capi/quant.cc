#include "espalier/quant.h"

#include <algorithm>
#include <cmath>

#include "core/array.h"
#include "core/scratch.h"
#include "quant/budget.h"
#include "quant/fake_quant.h"
#include "quant/requantise.h"

using namespace espalier;

namespace {

struct View {
  int64_t outer, channels, inner;
};

// The view's elements, which x must have.
int64_t checked_size(View view) { return checked_product("view", {view.outer, view.channels, view.inner}); }

template <class T>
quant::Grid<T> checked_grid(espalier_in x, espalier_in mask, View view) {
  const int64_t n = checked_size(view);
  return {elements<T>("x", x, n),
          nullptr,
          nullptr,
          optional_elements<T>("mask", mask, n),
          view.outer,
          view.channels,
          view.inner,
          T{0},
          T{0}};
}

template <class T>
void require_scale(const T* scale, int64_t i) {
  if (!(scale[i] > 0 && std::isfinite(scale[i])))
    fail(ESPALIER_INVALID_ARGUMENT, "scale[%lld] is %g, expected a positive number", static_cast<long long>(i),
         static_cast<double>(scale[i]));
}

// A code as T has it: where T cannot hold it, the next one towards zero.
template <class T>
T code(const char* name, double value) {
  require_range(name, value, -0x1p31, 0x1p31 - 1);
  if (value != std::floor(value)) fail(ESPALIER_INVALID_ARGUMENT, "%s is %g, expected a whole number", name, value);
  const T rounded = static_cast<T>(value);
  return std::abs(static_cast<double>(rounded)) > std::abs(value) ? std::nextafter(rounded, T{0}) : rounded;
}

template <class T>
quant::Grid<T> checked_grid(espalier_in x, espalier_in scale, espalier_in zero, espalier_in mask, View view,
                            double qmin, double qmax) {
  quant::Grid<T> grid = checked_grid<T>(x, mask, view);
  grid.scale = elements<T>("scale", scale, view.channels);
  grid.zero = optional_elements<T>("zero", zero, view.channels);
  for (int64_t channel = 0; channel < view.channels; ++channel) require_scale(grid.scale, channel);
  if (!(qmin <= qmax)) fail(ESPALIER_INVALID_ARGUMENT, "qmin is %g, qmax %g, expected qmin ≤ qmax", qmin, qmax);
  grid.low = code<T>("qmin", qmin);
  grid.high = code<T>("qmax", qmax);
  return grid;
}

template <class T>
quant::Budgeted<T> checked_budget(espalier_in v, espalier_in scale, espalier_in bias, int64_t rows, int64_t fan_in,
                                  int64_t largest, espalier_accumulator accumulator) {
  const int64_t n = checked_product("weights", {rows, fan_in});
  require_range("largest", largest, 1, (1 << 15) - 1);
  require_range("bits", accumulator.bits, 2, 32);
  require_range("input_min", accumulator.input_min, -(1 << 15), 0);
  require_range("input_max", accumulator.input_max, 0, 1 << 15);
  if (accumulator.input_min == accumulator.input_max) fail(ESPALIER_INVALID_ARGUMENT, "inputs are 0, expected a range");
  const quant::Budgeted<T> weights{elements<T>("v", v, n),
                                   optional_elements<T>("scale", scale, rows),
                                   optional_elements<T>("bias", bias, rows),
                                   rows,
                                   fan_in,
                                   largest,
                                   accumulator};
  for (int64_t row = 0; weights.scale != nullptr && row < rows; ++row) require_scale(weights.scale, row);
  const double limit = std::ldexp(1.0, static_cast<int>(accumulator.bits) - 1);
  for (int64_t row = 0; weights.bias != nullptr && row < rows; ++row)
    if (const double b = static_cast<double>(weights.bias[row]); !(b >= -limit && b < limit && b == std::floor(b)))
      fail(ESPALIER_INVALID_ARGUMENT, "bias[%lld] is %g, expected a whole number of %lld bits",
           static_cast<long long>(row), b, static_cast<long long>(accumulator.bits));
  return weights;
}

template <class T>
quant::Sums<T> checked_sums(espalier_in x, espalier_in log_multiplier, View view, int64_t top) {
  require_range("top", top, 1, (1 << 15) - 1);
  const T* const own = elements<T>("x", x, checked_size(view));
  const T* const logarithm = elements<T>("log_multiplier", log_multiplier, view.channels);
  T* const multiplier = scratch<T>(Scratch::kOther, view.channels);
  for (int64_t channel = 0; channel < view.channels; ++channel) multiplier[channel] = std::exp(logarithm[channel]);
  return {own, multiplier, view.outer, view.channels, view.inner, static_cast<T>(top)};
}

}  // namespace

espalier_status espalier_fake_quant_forward(espalier_in x, espalier_in scale, espalier_in zero, espalier_in mask,
                                            int64_t outer, int64_t channels, int64_t inner, double qmin, double qmax,
                                            espalier_out y, espalier_out codes) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      const quant::Grid<T> grid = checked_grid<T>(x, scale, zero, mask, {outer, channels, inner}, qmin, qmax);
      T* const output = elements<T>("y", y, x.length);
      int32_t* const integers = optional_elements<int32_t>("codes", codes, x.length);
      if (x.length > 0) quant::fake_quant_forward(grid, output, integers);
    });
  });
}

espalier_status espalier_fake_quant_backward(espalier_in gradient, espalier_in x, espalier_in scale, espalier_in zero,
                                             espalier_in mask, int64_t outer, int64_t channels, int64_t inner,
                                             double qmin, double qmax, espalier_rounding_gradient rule,
                                             espalier_out gradient_x, espalier_out gradient_scale) {
  return guarded(__func__, [&] {
    require_range("rule", static_cast<int64_t>(rule), ESPALIER_ROUNDING_GRADIENT_CLAMP,
                  ESPALIER_ROUNDING_GRADIENT_CLAMP_POSITIVE);
    for_float("x", x.dtype, [&]<class T>(T) {
      const quant::Grid<T> grid = checked_grid<T>(x, scale, zero, mask, {outer, channels, inner}, qmin, qmax);
      const T* const upstream = elements<T>("gradient", gradient, x.length);
      T* const of_x = optional_elements<T>("gradient_x", gradient_x, x.length);
      T* const of_scale = optional_elements<T>("gradient_scale", gradient_scale, channels);
      if (x.length > 0) quant::fake_quant_backward(grid, upstream, rule, of_x, of_scale);
      else if (of_scale != nullptr) std::fill_n(of_scale, channels, T{0});
    });
  });
}

espalier_status espalier_fake_quant_largest_forward(espalier_in x, int64_t channels, int64_t inner, double top,
                                                    double smallest, double qmin, double qmax, espalier_out y,
                                                    espalier_out scale, espalier_out index) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 31) - 1);  // an index is an int32
    if (!(top > 0 && std::isfinite(top))) fail(ESPALIER_INVALID_ARGUMENT, "top is %g, expected a positive number", top);
    for_float("x", x.dtype, [&]<class T>(T) {
      const View view{1, channels, inner};
      T* const scales = elements<T>("scale", scale, channels);
      int32_t* const places = elements<int32_t>("index", index, channels);
      T* const output = elements<T>("y", y, x.length);
      const quant::Grid<T> values = checked_grid<T>(x, {}, view);
      // Nothing of the caller's is written before the scales are known to be good.
      T* const largest = scratch<T>(Scratch::kOther, channels);
      int32_t* const where = scratch<int32_t>(Scratch::kIndex, channels);
      if (x.length > 0) quant::abs_max(values, largest, where);
      else {
        std::fill_n(largest, channels, T{0});
        std::fill_n(where, channels, -1);
      }
      const T least = static_cast<T>(smallest), code = static_cast<T>(top);
      for (int64_t channel = 0; channel < channels; ++channel)
        // In this order NaN stays, for the check of the scales to find.
        largest[channel] = (largest[channel] < least ? least : largest[channel]) / code;
      const quant::Grid<T> grid = checked_grid<T>(x, {largest, channels, x.dtype}, {}, {}, view, qmin, qmax);
      if (x.length > 0) quant::fake_quant_forward(grid, output, static_cast<int32_t*>(nullptr));
      std::copy_n(largest, channels, scales);
      std::copy_n(where, channels, places);
    });
  });
}

espalier_status espalier_fake_quant_largest_backward(espalier_in gradient, espalier_in x, espalier_in scale,
                                                     espalier_in index, int64_t channels, int64_t inner,
                                                     double smallest, double qmin, double qmax,
                                                     espalier_out gradient_x) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      const quant::Grid<T> grid = checked_grid<T>(x, scale, {}, {}, {1, channels, inner}, qmin, qmax);
      const T* const upstream = elements<T>("gradient", gradient, x.length);
      const int32_t* const where = elements<int32_t>("index", index, channels);
      T* const of_x = elements<T>("gradient_x", gradient_x, x.length);
      for (int64_t channel = 0; channel < channels; ++channel)
        require_range("index", static_cast<int64_t>(where[channel]), -1, x.length - 1);
      if (x.length == 0) return;
      T* const of_scale = scratch<T>(Scratch::kOther, channels);
      quant::fake_quant_backward(grid, upstream, ESPALIER_ROUNDING_GRADIENT_CLAMP_STE,
                                 of_x == upstream ? nullptr : of_x, of_scale);
      for (int64_t channel = 0; channel < channels; ++channel) {
        if (where[channel] < 0) continue;
        const T largest = grid.x[where[channel]];
        if (std::abs(largest) > static_cast<T>(smallest))
          of_x[where[channel]] += of_scale[channel] * (grid.scale[channel] / largest);
      }
    });
  });
}

espalier_status espalier_abs_max(espalier_in x, espalier_in mask, int64_t outer, int64_t channels, int64_t inner,
                                 espalier_out value, espalier_out index) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 31) - 1);  // an index is an int32
    for_float("x", x.dtype, [&]<class T>(T) {
      const quant::Grid<T> grid = checked_grid<T>(x, mask, {outer, channels, inner});
      T* const most = elements<T>("value", value, channels);
      int32_t* const where = optional_elements<int32_t>("index", index, channels);
      if (x.length > 0) {
        quant::abs_max(grid, most, where);
        return;
      }
      std::fill_n(most, channels, T{0});
      if (where != nullptr) std::fill_n(where, channels, -1);
    });
  });
}

espalier_status espalier_budget_codes(espalier_in v, espalier_in scale, espalier_in bias, int64_t rows, int64_t fan_in,
                                      int64_t largest, espalier_out codes, espalier_accumulator accumulator) {
  return guarded(__func__, [&] {
    for_float("v", v.dtype, [&]<class T>(T) {
      const quant::Budgeted<T> weights = checked_budget<T>(v, scale, bias, rows, fan_in, largest, accumulator);
      T* const result = elements<T>("codes", codes, v.length);
      if (v.length > 0) quant::budget_codes(weights, result);
    });
  });
}

espalier_status espalier_budget_project(espalier_in v, espalier_in scale, espalier_in mask, espalier_in bias,
                                        int64_t rows, int64_t fan_in, int64_t largest, espalier_out y,
                                        espalier_accumulator accumulator) {
  return guarded(__func__, [&] {
    for_float("v", v.dtype, [&]<class T>(T) {
      const quant::Budgeted<T> weights = checked_budget<T>(v, scale, bias, rows, fan_in, largest, accumulator);
      const T* const open = optional_elements<T>("mask", mask, v.length);
      T* const result = elements<T>("y", y, v.length);
      if (v.length > 0) quant::budget_project(weights, open, result);
    });
  });
}

espalier_status espalier_requantise_forward(espalier_in x, espalier_in log_multiplier, int64_t outer, int64_t channels,
                                            int64_t inner, int64_t top, espalier_out y) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      const quant::Sums<T> sums = checked_sums<T>(x, log_multiplier, {outer, channels, inner}, top);
      T* const result = elements<T>("y", y, x.length);
      if (x.length > 0) quant::requantise_forward(sums, result);
    });
  });
}

espalier_status espalier_requantise_backward(espalier_in gradient, espalier_in x, espalier_in log_multiplier,
                                             int64_t outer, int64_t channels, int64_t inner, int64_t top,
                                             espalier_out gradient_x, espalier_out gradient_log) {
  return guarded(__func__, [&] {
    for_float("x", x.dtype, [&]<class T>(T) {
      const quant::Sums<T> sums = checked_sums<T>(x, log_multiplier, {outer, channels, inner}, top);
      const T* const upstream = elements<T>("gradient", gradient, x.length);
      T* const of_x = optional_elements<T>("gradient_x", gradient_x, x.length);
      T* const of_log = optional_elements<T>("gradient_log", gradient_log, channels);
      if (x.length > 0) quant::requantise_backward(sums, upstream, of_x, of_log);
      else if (of_log != nullptr) std::fill_n(of_log, channels, T{0});
    });
  });
}
