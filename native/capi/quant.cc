#include "espalier/quant.h"

#include <algorithm>
#include <cmath>

#include "core/array.h"
#include "core/scratch.h"
#include "quant/fake_quant.h"

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
  for (int64_t channel = 0; channel < view.channels; ++channel)
    if (const T s = grid.scale[channel]; !(s > 0 && std::isfinite(s)))
      fail(ESPALIER_INVALID_ARGUMENT, "scale[%lld] is %g, expected a positive number", static_cast<long long>(channel),
           static_cast<double>(s));
  if (!(qmin <= qmax)) fail(ESPALIER_INVALID_ARGUMENT, "qmin is %g, qmax %g, expected qmin ≤ qmax", qmin, qmax);
  grid.low = code<T>("qmin", qmin);
  grid.high = code<T>("qmax", qmax);
  return grid;
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
