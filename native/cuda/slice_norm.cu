// Norms over dimensions of an array: scores of slices. Each output takes in its entries in pieces of fixed
// size, whose parts are joined in their order; the bits depend on the shape alone.
#include <cmath>
#include <limits>
#include <vector>

#include "core/slices.h"
#include "cuda/core/launch.cuh"
#include "cuda/divider.h"
#include "espalier/cuda/operations.h"
#include "espalier/select.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

enum class NormKind { count, sum, squares, powers, most, least };

// How a kind of norm takes in an entry and joins two parts; parts are never negative. NaN, once met, stays.
template <class W, NormKind kKind>
struct NormRule {
  W p;
  __device__ __forceinline__ W take(W part, W v) const {
    const W a = fabs(v);
    if constexpr (kKind == NormKind::count) return part + (v == W{0} ? W{0} : v == v ? W{1} : v);
    else if constexpr (kKind == NormKind::squares) return fma(a, a, part);
    else if constexpr (kKind == NormKind::powers) return part + pow(a, p);
    else return join(part, a);
  }
  template <class V>
  __device__ __forceinline__ V join(V a, V b) const {
    if constexpr (kKind == NormKind::most) return b > a || b != b ? b : a;
    else if constexpr (kKind == NormKind::least) return b < a || b != b ? b : a;
    else return a + b;
  }
  __device__ __forceinline__ double finish(double part) const {
    if constexpr (kKind == NormKind::squares) return sqrt(part);
    else if constexpr (kKind == NormKind::powers) return pow(part, 1 / static_cast<double>(p));
    else return part;
  }
  template <class V>
  __device__ static V start() {
    return kKind == NormKind::least ? static_cast<V>(INFINITY) : V{0};
  }
};

constexpr int kMostDims = 32;

// Some of the dimensions of an array, outermost first, and how far a step along each goes.
struct Dims {
  int rank = 0;
  Divider size[kMostDims];
  int64_t stride[kMostDims], count = 1;

  void push_inside(int64_t extent, int64_t step) {
    size[rank] = Divider(extent);
    stride[rank++] = step;
    count *= extent;
  }
  // Where entry i of them is.
  __device__ int64_t offset(int64_t i) const {
    int64_t result = 0;
    for (int d = rank - 1; d > 0; --d) {
      int64_t along;
      i = size[d].split(i, along);
      result += along * stride[d];
    }
    return rank > 0 ? result + i * stride[0] : 0;
  }
};

struct Slices {
  Dims kept, reduced;
  bool reduced_inside;  // the innermost dimension is reduced
};

// Dimensions of 1 left out, neighbours of one kind merged.
Slices slices_of(espalier_dims shape, espalier_dims reduced) {
  struct Dimension {
    int64_t size;
    bool reduced;
  };
  std::vector<Dimension> merged;
  for (int64_t i = 0; i < shape.rank; ++i) {
    if (shape.data[i] == 1) continue;
    const bool kind = reduced.data[i] == 1;
    if (!merged.empty() && merged.back().reduced == kind) merged.back().size *= shape.data[i];
    else merged.push_back({shape.data[i], kind});
  }
  if (merged.size() > 2 * kMostDims)
    fail(ESPALIER_INVALID_ARGUMENT, "shape alternates between %lld kept and reduced dimensions, expected at most %d",
         static_cast<long long>(merged.size()), 2 * kMostDims);
  std::vector<int64_t> strides(merged.size());
  int64_t stride = 1;
  for (size_t i = merged.size(); i-- > 0; stride *= merged[i].size) strides[i] = stride;
  Slices result{{}, {}, !merged.empty() && merged.back().reduced};
  for (size_t i = 0; i < merged.size(); ++i)
    (merged[i].reduced ? result.reduced : result.kept).push_inside(merged[i].size, strides[i]);
  return result;
}

// How the entries of the outputs are shared out: `pieces` pieces an output; part of output o and piece s goes to
// parts[s · outputs + o].
struct Plan {
  int64_t pieces;
  __device__ int64_t begin(int64_t piece, int64_t count) const { return count * piece / pieces; }
};

// Neighbouring threads take neighbouring outputs, a thread all entries of a piece: where outputs lie side by
// side, or have few entries.
template <class T, class Rule>
__global__ void __launch_bounds__(kBlock)
    norm_by_thread_kernel(Slices slices, Plan plan, Rule rule, const T* x, double* parts) {
  using W = wide_t<T>;
  const int64_t n = slices.kept.count * plan.pieces;
  for (int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x; i < n; i += int64_t{gridDim.x} * kBlock) {
    const int64_t piece = i / slices.kept.count;
    const T* const from = x + slices.kept.offset(i - piece * slices.kept.count);
    W part = Rule::template start<W>();
    const int64_t end = plan.begin(piece + 1, slices.reduced.count);
    for (int64_t j = plan.begin(piece, slices.reduced.count); j < end; ++j)
      part = rule.take(part, widen(from[slices.reduced.offset(j)]));
    parts[i] = static_cast<double>(part);
  }
}

// A group of kThreads, a warp or the block, takes a piece: where the entries of an output lie side by side.
template <int kThreads, class T, class Rule>
__global__ void __launch_bounds__(kBlock)
    norm_by_group_kernel(Slices slices, Plan plan, Rule rule, const T* x, double* parts) {
  using W = wide_t<T>;
  constexpr int kGroups = kBlock / kThreads, kAtOnce = 4;
  const int64_t n = slices.kept.count * plan.pieces;
  const auto join = [&](double a, double b) { return rule.join(a, b); };
  for (int64_t i = blockIdx.x * int64_t{kGroups} + threadIdx.x / kThreads; i < n; i += int64_t{gridDim.x} * kGroups) {
    const int64_t piece = i / slices.kept.count;
    const T* const from = x + slices.kept.offset(i - piece * slices.kept.count);
    W part = Rule::template start<W>();
    const int64_t end = plan.begin(piece + 1, slices.reduced.count);
    int64_t j = plan.begin(piece, slices.reduced.count) + threadIdx.x % kThreads;
    for (; j + (kAtOnce - 1) * kThreads < end; j += kAtOnce * kThreads) {
      W values[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) values[k] = widen(from[slices.reduced.offset(j + k * kThreads)]);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) part = rule.take(part, values[k]);
    }
    for (; j < end; j += kThreads) part = rule.take(part, widen(from[slices.reduced.offset(j)]));
    double all = static_cast<double>(part);
    if constexpr (kThreads == 32) all = warp_reduce(all, join);
    else all = block_reduce(all, Rule::template start<double>(), join);
    if (threadIdx.x % kThreads == 0) parts[i] = all;
  }
}

template <class T, class Rule>
__global__ void __launch_bounds__(kBlock)
    join_parts_kernel(int64_t outputs, Plan plan, Rule rule, const double* parts, T* y) {
  for (int64_t o = blockIdx.x * int64_t{kBlock} + threadIdx.x; o < outputs; o += int64_t{gridDim.x} * kBlock) {
    double part = parts[o];
    for (int64_t s = 1; s < plan.pieces; ++s) part = rule.join(part, parts[s * outputs + o]);
    y[o] = static_cast<T>(static_cast<wide_t<T>>(rule.finish(part)));
  }
}

template <class T, NormKind kKind>
void slice_norm(const Slices& slices, double p, const T* x, T* y) {
  const NormRule<wide_t<T>, kKind> rule{static_cast<wide_t<T>>(p)};
  const int64_t outputs = slices.kept.count, entries = slices.reduced.count;
  // A warp has enough to do with few entries; a block is for many, or where there are few outputs.
  const bool by_group = slices.reduced_inside && entries >= 64;
  const bool by_block = by_group && (entries >= 8192 || (entries >= 1024 && outputs < 4096));
  // Pieces enough to fill a device, each with enough to do.
  const int64_t wanted = by_block ? 2048 / outputs : by_group ? 1 : (int64_t{1} << 18) / outputs;
  const int64_t work = by_block ? 16 * kBlock : 32;
  const Plan plan{std::clamp<int64_t>(std::min(wanted, entries / work), 1, 1024)};
  const int64_t pieces = outputs * plan.pieces;
  Temporary<double> parts(pieces);
  if (by_block)
    norm_by_group_kernel<kBlock>
        <<<grid_for(pieces * kBlock), kBlock, 0, stream()>>>(slices, plan, rule, x, parts.get());
  else if (by_group)
    norm_by_group_kernel<32><<<grid_for(pieces * 32), kBlock, 0, stream()>>>(slices, plan, rule, x, parts.get());
  else norm_by_thread_kernel<<<grid_for(pieces), kBlock, 0, stream()>>>(slices, plan, rule, x, parts.get());
  launched("slice_norm");
  join_parts_kernel<<<grid_for(outputs), kBlock, 0, stream()>>>(outputs, plan, rule, parts.get(), y);
  launched("slice_norm_join");
}

template <class T>
void slice_norm(const Slices& slices, double p, const T* x, T* y) {
  if (p == 0) return slice_norm<T, NormKind::count>(slices, p, x, y);
  if (p == 1) return slice_norm<T, NormKind::sum>(slices, p, x, y);
  if (p == 2) return slice_norm<T, NormKind::squares>(slices, p, x, y);
  if (std::isinf(p) && p > 0) return slice_norm<T, NormKind::most>(slices, p, x, y);
  if (std::isinf(p)) return slice_norm<T, NormKind::least>(slices, p, x, y);
  slice_norm<T, NormKind::powers>(slices, p, x, y);
}

template <class T>
void fill(int64_t n, wide_t<T> value, T* y) {
  for_each(n, "slice_norm", [=] __device__(int64_t i) { y[i] = narrow<T>(value); });
}

}  // namespace

espalier_status espalier_cuda_slice_norm(espalier_dims shape, espalier_dims reduced, double p, espalier_in x,
                                         espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t n = checked_product("shape", shape);
    const int64_t outputs = checked_slices(shape, reduced, p);
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, n);
      T* const to = elements<T>("y", y, outputs);
      if (n > 0) slice_norm(slices_of(shape, reduced), p, from, to);
      else fill(outputs, p < 0 ? std::numeric_limits<wide_t<T>>::infinity() : wide_t<T>{0}, to);
    });
  });
}
