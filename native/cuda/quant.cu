// Fake quantisation, its gradients, and the largest magnitudes. Where x is float16 or bfloat16 its mask and
// gradient are too; scale, zero and what is computed are float32, as are the results of a channel.
#include "espalier/quant.h"

#include <cmath>

#include "cuda/channels.cuh"
#include "espalier/cuda/operations.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// x, and the grid each channel is rounded to.
template <class T>
struct Grid {
  using W = wide_t<T>;
  Channels shape;
  const T *x, *mask;      // mask: null where absent
  const W *scale, *zero;  // zero: null where absent
  W low, high;            // the codes at the ends
  Fault* fault;
  int32_t source;
};

// One element brought to the grid.
template <class W>
struct Rounded {
  W x, ratio, nearest, code;  // ratio = x / scale; nearest: rounded, before the clamp

  template <class T>
  __device__ __forceinline__ Rounded(const Grid<T>& grid, W value, W scale, W zero) : x(value) {
    ratio = x / scale;
    nearest = rint(ratio + zero);
    // In this order NaN ends at the low end.
    code = nearest > grid.low ? nearest : grid.low;
    code = code < grid.high ? code : grid.high;
  }
};

// The scale and zero of the channel that N elements begin in, and of those they run into.
template <int N, class T, class Body>
__device__ __forceinline__ void on_grid(const Grid<T>& grid, Spot spot, const Pack<T, N>& values,
                                        const Pack<T, N>& masks, Body body) {
  using W = wide_t<T>;
  W scale = grid.scale[spot.channel], zero = grid.zero == nullptr ? W{0} : grid.zero[spot.channel];
  const bool across = spot.i + N > grid.shape.inner;
#pragma unroll
  for (int lane = 0; lane < N; ++lane) {
    W x = widen(values.at[lane]);
    if (grid.mask != nullptr) x *= widen(masks.at[lane]);
    body(lane, Rounded<W>(grid, x, scale, zero), scale, zero);
    if (across && lane + 1 < N && spot.next(grid.shape)) {
      scale = grid.scale[spot.channel];
      zero = grid.zero == nullptr ? W{0} : grid.zero[spot.channel];
    }
  }
}

template <class T>
struct Forward {
  using W = wide_t<T>;
  Grid<T> grid;
  T* y;
  int32_t* codes;

  template <int N>
  __device__ __forceinline__ void at(int64_t i, Spot spot) const {
    const Pack<T, N> values = load<N>(grid.x + i);
    Pack<T, N> masks, results;
    if (grid.mask != nullptr) masks = load<N>(grid.mask + i);
    Pack<int32_t, N> integers;
    on_grid<N>(grid, spot, values, masks, [&](int lane, const Rounded<W>& r, W scale, W zero) {
      results.at[lane] = narrow<T>(r.x != r.x ? r.x : (r.code - zero) * scale);
      integers.at[lane] = static_cast<int32_t>(r.code);
    });
    store<N>(y + i, results);
    if (codes != nullptr) store<N>(codes + i, integers);
  }
};

// The gradient of x, and what the element adds to that of its scale.
template <class T>
struct Gradient {
  using W = wide_t<T>;
  Grid<T> grid;
  const T* upstream;
  bool clamped;
  W above;  // no gradient for an x that is not
  T* of_x;  // null: not wanted

  template <int N>
  __device__ __forceinline__ W of(int64_t i, Spot spot) const {
    const Pack<T, N> values = load<N>(grid.x + i), gradient = load<N>(upstream + i);
    Pack<T, N> masks, results;
    if (grid.mask != nullptr) masks = load<N>(grid.mask + i);
    W sum = 0;
    on_grid<N>(grid, spot, values, masks, [&](int lane, const Rounded<W>& r, W, W zero) {
      const W g = widen(gradient.at[lane]);
      const bool passes = !clamped || (r.nearest >= grid.low && r.nearest <= grid.high && r.x > above);
      sum += g * (r.code - zero - (passes ? r.ratio : W{0}));
      W result = passes ? g : W{0};
      if (grid.mask != nullptr) result *= widen(masks.at[lane]);
      results.at[lane] = narrow<T>(result);
    });
    if (of_x != nullptr) store<N>(of_x + i, results);
    return sum;
  }
};

template <class T>
struct OfX : Gradient<T> {
  template <int N>
  __device__ __forceinline__ void at(int64_t i, Spot spot) const {
    this->template of<N>(i, spot);
  }
};

struct Sum {
  double value;
  __device__ void merge(const Sum& other) { value += other.value; }
};
template <class T>
struct OfBoth : Gradient<T> {
  template <int N, int K>
  __device__ __forceinline__ void take(Sum& sum, const int64_t* at, const int64_t*, int64_t channel) const {
    wide_t<T> own = 0;
#pragma unroll
    for (int k = 0; k < K; ++k) own += this->template of<N>(at[k], {channel, 0});  // all of one channel
    sum.value += static_cast<double>(own);
  }
};

// The largest magnitude met, and the first place that has it; NaN counts as the largest. (Nothing yet: place −1.)
template <class W>
struct Largest {
  W value;
  int32_t after;  // the place + 1, so that all zeros is a start

  __device__ void merge(const Largest& other) {
    if (other.after == 0) return;
    const bool nan = value != value, other_nan = other.value != other.value;
    const bool equal = value == other.value || (nan && other_nan);
    const bool better = after == 0 || (equal ? other.after < after : !nan && (other_nan || other.value > value));
    if (better) *this = other;
  }
};
template <class T>
struct TakeLargest {
  using W = wide_t<T>;
  const T *x, *mask;
  template <int N, int K>
  __device__ __forceinline__ void take(Largest<W>& most, const int64_t* at, const int64_t*, int64_t) const {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      const Pack<T, N> values = load<N>(x + at[k]);
      Pack<T, N> masks;
      if (mask != nullptr) masks = load<N>(mask + at[k]);
#pragma unroll
      for (int lane = 0; lane < N; ++lane) {
        W value = widen(values.at[lane]);
        if (mask != nullptr) value *= widen(masks.at[lane]);
        most.merge({fabs(value), static_cast<int32_t>(at[k] + lane) + 1});
      }
    }
  }
};

// What becomes of a channel's sums.
template <class W>
struct StoreSum {
  W* to;
  __device__ void operator()(int64_t channel, const Sum& sum) const { to[channel] = static_cast<W>(sum.value); }
};
template <class W>
struct StoreLargest {
  W* value;
  int32_t* index;  // null: not wanted
  __device__ void operator()(int64_t channel, const Largest<W>& most) const {
    value[channel] = most.value;
    if (index != nullptr) index[channel] = most.after - 1;
  }
};
template <class W>
void store_none(int64_t channels, const StoreLargest<W>& finish) {
  for_each(channels, "abs_max", [finish] __device__(int64_t channel) { finish(channel, Largest<W>{}); });
}

// ---- Checks ----------------------------------------------------------------------------------------

struct View {
  int64_t outer, channels, inner;
  int64_t size() const { return checked_product("view", {outer, channels, inner}); }
  operator Channels() const { return {outer, channels, inner}; }
};

// A code as W has it: where W cannot hold it, the next one towards zero.
template <class W>
W code(const char* name, double value) {
  require_range(name, value, -0x1p31, 0x1p31 - 1);
  if (value != std::floor(value)) fail(ESPALIER_INVALID_ARGUMENT, "%s is %g, expected a whole number", name, value);
  const W rounded = static_cast<W>(value);
  return std::abs(static_cast<double>(rounded)) > std::abs(value) ? std::nextafter(rounded, W{0}) : rounded;
}

// Scales are looked at by the kernels: a bad one is a fault of the next call that waits.
template <class T>
Grid<T> checked_grid(const char* function, espalier_in x, espalier_in scale, espalier_in zero, espalier_in mask,
                     View view, double qmin, double qmax) {
  using W = wide_t<T>;
  const int64_t n = view.size();
  Grid<T> grid{view,
               elements<T>("x", x, n),
               optional_elements<T>("mask", mask, n),
               elements<W>("scale", scale, view.channels),
               optional_elements<W>("zero", zero, view.channels),
               W{0},
               W{0},
               faults(),
               fault_source(function)};
  if (!(qmin <= qmax)) fail(ESPALIER_INVALID_ARGUMENT, "qmin is %g, qmax %g, expected qmin ≤ qmax", qmin, qmax);
  grid.low = code<W>("qmin", qmin);
  grid.high = code<W>("qmax", qmax);
  return grid;
}

template <class T>
void check_scales(const Grid<T>& grid) {
  for_each(grid.shape.channels, "check_scales", [grid] __device__(int64_t c) {
    const wide_t<T> scale = grid.scale[c];
    if (!(scale > 0 && isfinite(scale))) raise_fault(grid.fault, FaultKind::kBadScale, grid.source, c);
  });
}

}  // namespace

espalier_status espalier_cuda_fake_quant_forward(espalier_in x, espalier_in scale, espalier_in zero, espalier_in mask,
                                                 int64_t outer, int64_t channels, int64_t inner, double qmin,
                                                 double qmax, espalier_out y, espalier_out codes) {
  return guarded(__func__, [&] {
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const Grid<T> grid = checked_grid<T>("espalier_cuda_fake_quant_forward", x, scale, zero, mask,
                                           {outer, channels, inner}, qmin, qmax);
      const Forward<T> body{grid, elements<T>("y", y, x.length), optional_elements<int32_t>("codes", codes, x.length)};
      check_scales(grid);
      each_in_channels<kPackOf<T>>(grid.shape, packable<kPackOf<T>>(grid.x, grid.mask, body.y, body.codes),
                                   "fake_quant_forward", body);
    });
  });
}

espalier_status espalier_cuda_fake_quant_backward(espalier_in gradient, espalier_in x, espalier_in scale,
                                                  espalier_in zero, espalier_in mask, int64_t outer, int64_t channels,
                                                  int64_t inner, double qmin, double qmax,
                                                  espalier_rounding_gradient rule, espalier_out gradient_x,
                                                  espalier_out gradient_scale) {
  return guarded(__func__, [&] {
    require_range("rule", static_cast<int64_t>(rule), ESPALIER_ROUNDING_GRADIENT_CLAMP,
                  ESPALIER_ROUNDING_GRADIENT_CLAMP_POSITIVE);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const Grid<T> grid = checked_grid<T>("espalier_cuda_fake_quant_backward", x, scale, zero, mask,
                                           {outer, channels, inner}, qmin, qmax);
      const Gradient<T> body{grid, elements<T>("gradient", gradient, x.length),
                             rule != ESPALIER_ROUNDING_GRADIENT_CLAMP_STE,
                             rule == ESPALIER_ROUNDING_GRADIENT_CLAMP_POSITIVE ? W{0} : -static_cast<W>(INFINITY),
                             optional_elements<T>("gradient_x", gradient_x, x.length)};
      W* const of_scale = optional_elements<W>("gradient_scale", gradient_scale, channels);
      check_scales(grid);
      const bool packed = packable<kPackOf<T>>(grid.x, grid.mask, body.upstream, body.of_x);
      if (x.length == 0) {
        if (of_scale != nullptr && channels > 0)
          ESPALIER_CUDA(cudaMemsetAsync(of_scale, 0, static_cast<size_t>(channels) * sizeof(W), stream()));
      } else if (of_scale == nullptr) {
        each_in_channels<kPackOf<T>>(grid.shape, packed, "fake_quant_backward", OfX<T>{body});
      } else {
        sum_channels<Sum, kPackOf<T>>(grid.shape, packed, "fake_quant_backward", OfBoth<T>{body},
                                      StoreSum<W>{of_scale});
      }
    });
  });
}

espalier_status espalier_cuda_abs_max(espalier_in x, espalier_in mask, int64_t outer, int64_t channels, int64_t inner,
                                      espalier_out value, espalier_out index) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 31) - 1);  // an index is an int32
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const View view{outer, channels, inner};
      const int64_t n = view.size();
      const TakeLargest<T> body{elements<T>("x", x, n), optional_elements<T>("mask", mask, n)};
      const StoreLargest<W> finish{elements<W>("value", value, channels),
                                   optional_elements<int32_t>("index", index, channels)};
      if (n > 0)
        sum_channels<Largest<W>, kPackOf<T>>(view, packable<kPackOf<T>>(body.x, body.mask), "abs_max", body, finish);
      else store_none(channels, finish);
    });
  });
}
