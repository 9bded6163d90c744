// Scores' ranks and masks on the GPU: espalier/select.h, but for slice_norm (slice_norm.cu).
#include "espalier/select.h"

#include "cuda/select_prune.cuh"
#include "cuda/select_scored.cuh"
#include "espalier/cuda/operations.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- Masks -----------------------------------------------------------------------------------------

template <class T, class M>
struct Masking {
  const T* x;
  const M* mask;
  T* y;
  template <int N>
  __device__ __forceinline__ void at(int64_t i) const {
    Pack<T, N> values = load<N>(x + i);
    const Pack<M, N> factors = load<N>(mask + i);
#pragma unroll
    for (int j = 0; j < N; ++j) values.at[j] = narrow<T>(widen(values.at[j]) * static_cast<wide_t<T>>(factors.at[j]));
    store<N>(y + i, values);
  }
};

// ---- Largest of each row ---------------------------------------------------------------------------

template <class T, class M>
struct RowSource {
  using Key = KeyFor<T>;
  Scored<T, M> array;
  int64_t columns, keep;
  __device__ int64_t rank(int64_t) const { return keep - 1; }
  __device__ bool get(int64_t row, int64_t i, Key* key) const {
    const int64_t at = row * columns + i;
    *key = ~array.key(at);  // largest first
    return array.alive(at);
  }
  __device__ uint64_t place(int64_t, int64_t i) const { return i; }
};

// Rows of at most kWidth entries, a lane each, kWidth a power of two: an entry stays if fewer than `keep`
// come before it.
template <int kWidth, class T, class M>
__global__ void __launch_bounds__(kBlock) keep_of_short_rows_kernel(Scored<T, M> array, int64_t rows, int columns,
                                                                    int64_t keep, Fault* fault, int32_t source) {
  const int lane = threadIdx.x % kWidth;
  const int64_t step = int64_t{gridDim.x} * (kBlock / kWidth);
  // All rows of a warp are taken in step: __shfl_sync needs every lane.
  for (int64_t first = blockIdx.x * int64_t{kBlock / kWidth}; first < rows; first += step) {
    const int64_t row = first + threadIdx.x / kWidth, at = row * columns + lane;
    const bool there = row < rows && lane < columns, alive = there && array.alive(at);
    const KeyFor<T> key = there ? ~array.key(at) : 0;
    if (there && array.is_nan(at)) raise_fault(fault, FaultKind::kNotANumber, source, at);
    int before = 0;
#pragma unroll
    for (int other = 0; other < kWidth; ++other) {
      const KeyFor<T> theirs = __shfl_sync(0xffffffffu, key, other, kWidth);
      const bool counts = __shfl_sync(0xffffffffu, static_cast<int>(alive), other, kWidth) != 0;
      before += counts && (theirs < key || (theirs == key && other < lane));
    }
    if (there) array.write(at, before < keep);
  }
}

template <class T, class M>
__global__ void __launch_bounds__(kBlock)
    keep_by_cuts_kernel(Scored<T, M> array, int64_t n, int64_t columns, const Cut<KeyFor<T>>* cuts, Fault* fault,
                        int32_t source) {
  for (int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x; i < n; i += int64_t{gridDim.x} * kBlock) {
    const int64_t row = i / columns;
    const KeyFor<T> key = ~array.key(i), last = cuts[row].key;
    if (array.is_nan(i)) raise_fault(fault, FaultKind::kNotANumber, source, i);
    array.write(i, key < last || (key == last && static_cast<uint64_t>(i - row * columns) <= cuts[row].place));
  }
}

template <class T, class M>
__global__ void __launch_bounds__(kBlock)
    keep_all_or_none_kernel(Scored<T, M> array, int64_t n, bool keep, Fault* fault, int32_t source) {
  for (int64_t i = blockIdx.x * int64_t{kBlock} + threadIdx.x; i < n; i += int64_t{gridDim.x} * kBlock) {
    if (array.is_nan(i)) raise_fault(fault, FaultKind::kNotANumber, source, i);
    array.write(i, keep);
  }
}

template <int kWidth, class T, class M>
void keep_of_short_rows(const Scored<T, M>& array, int64_t rows, int64_t columns, int64_t keep, Fault* fault,
                        int32_t source) {
  if constexpr (kWidth < 32)
    if (columns > kWidth) return keep_of_short_rows<kWidth * 2>(array, rows, columns, keep, fault, source);
  keep_of_short_rows_kernel<kWidth>
      <<<grid_for(rows * kWidth), kBlock, 0, stream()>>>(array, rows, static_cast<int>(columns), keep, fault, source);
  launched("keep_of_short_rows");
}

template <class T, class M>
void keep_largest(const Scored<T, M>& array, int64_t rows, int64_t columns, int64_t keep, int32_t source) {
  const int64_t n = rows * columns;
  Fault* const fault = faults();
  if (keep == 0 || keep >= columns) {
    keep_all_or_none_kernel<<<grid_for(n), kBlock, 0, stream()>>>(array, n, keep > 0, fault, source);
    return launched("keep_all_or_none");
  }
  if (columns <= 32) return keep_of_short_rows<2>(array, rows, columns, keep, fault, source);
  Temporary<Cut<KeyFor<T>>> cuts(rows);
  find_cuts(RowSource<T, M>{array, columns, keep}, rows, columns, kKeyBits<KeyFor<T>>,
            bits_of(static_cast<uint64_t>(columns - 1)), false, cuts.get());
  keep_by_cuts_kernel<<<grid_for(n), kBlock, 0, stream()>>>(array, n, columns, cuts.get(), fault, source);
  launched("keep_by_cuts");
}

// ---- The k-th smallest of each channel -------------------------------------------------------------

template <class T>
struct ChannelSource {
  using Key = KeyFor<T>;
  const T* x;
  int64_t channels, inner, k;
  Fault* fault;
  int32_t source;

  __device__ int64_t rank(int64_t) const { return k - 1; }
  __device__ int64_t address(int64_t channel, int64_t i) const {
    return channels == 1 ? i : (i / inner * channels + channel) * inner + i % inner;
  }
  __device__ bool get(int64_t channel, int64_t i, Key* key) const {
    const T value = x[address(channel, i)];
    if (value != value) raise_fault(fault, FaultKind::kNotANumber, source, i);
    *key = key_of(value, true);
    return true;
  }
  __device__ uint64_t place(int64_t, int64_t i) const { return i; }
};

template <class T>
void abs_kth(const ChannelSource<T>& from, int64_t count, T* value, int32_t* index) {
  Temporary<Cut<KeyFor<T>>> cuts(from.channels);
  const int place_bits = index == nullptr ? 0 : bits_of(static_cast<uint64_t>(count - 1));
  // Of the entries with that magnitude the first one's place.
  find_cuts(from, from.channels, count, kKeyBits<KeyFor<T>>, place_bits, true, cuts.get());
  for_each(from.channels, "abs_kth", [from, value, index, cuts = cuts.get()] __device__(int64_t channel) {
    value[channel] = number_of<T>(cuts[channel].key, true);
    if (index != nullptr)
      index[channel] = static_cast<int32_t>(from.address(channel, static_cast<int64_t>(cuts[channel].place)));
  });
}

}  // namespace

espalier_status espalier_cuda_prune_smallest(espalier_in_list scores, espalier_in_list masks, int64_t magnitude,
                                             int64_t k, espalier_out_list results, double* threshold) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    if (scores.count != results.count || (masks.count != 0 && masks.count != scores.count))
      fail(ESPALIER_SHAPE_MISMATCH, "there are %lld scores, %lld masks and %lld results",
           static_cast<long long>(scores.count), static_cast<long long>(masks.count),
           static_cast<long long>(results.count));
    require_range("scores", scores.count, int64_t{0}, (int64_t{1} << 31) - 1);
    *threshold = -std::numeric_limits<double>::infinity();
    if (scores.count == 0) return require_range("k", k, 0, 0);
    for_float("scores", scores.items[0].dtype, [&]<class T>(T) {
      for_mask<T>("results", results.items[0].dtype, [&]<class M>(M) {
        std::vector<Part<T, M>> parts;
        for (int64_t i = 0; i < scores.count; ++i) {
          const int64_t n = scores.items[i].length;
          parts.push_back({elements<T>("a score", scores.items[i], n),
                           masks.count == 0 ? nullptr : elements<M>("a mask", masks.items[i], n),
                           elements<M>("a result", results.items[i], n), n, 0, 0, 0, false});
        }
        *threshold = Pruning<T, M>(parts, magnitude == 1).run(k);
      });
    });
  });
}

espalier_status espalier_cuda_keep_largest(espalier_in scores, espalier_in mask, int64_t magnitude, int64_t rows,
                                           int64_t columns, int64_t keep, espalier_out result) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    require_range("keep", keep, 0, int64_t{1} << 53);
    const int64_t n = checked_product("rows and columns", {rows, columns});
    const int32_t source = fault_source("espalier_cuda_keep_largest");
    for_float("scores", scores.dtype, [&]<class T>(T) {
      for_mask<T>("result", result.dtype, [&]<class M>(M) {
        const Scored<T, M> array{elements<T>("scores", scores, n), optional_elements<M>("mask", mask, n),
                                 elements<M>("result", result, n), magnitude == 1};
        if (n > 0) keep_largest(array, rows, columns, keep, source);
      });
    });
  });
}

espalier_status espalier_cuda_apply_mask(espalier_in x, espalier_in mask, espalier_out y) {
  return guarded(__func__, [&] {
    for_device_float("x", x.dtype, [&]<class T>(T) {
      for_mask<T>("mask", mask.dtype, [&]<class M>(M) {
        const Masking<T, M> body{elements<T>("x", x, x.length), elements<M>("mask", mask, x.length),
                                 elements<T>("y", y, x.length)};
        for_packs<kPackOf<T>>(x.length, packable<kPackOf<T>>(body.x, body.mask, body.y), "apply_mask", body);
      });
    });
  });
}

espalier_status espalier_cuda_abs_kth(espalier_in x, int64_t outer, int64_t channels, int64_t inner, int64_t k,
                                      espalier_out value, espalier_out index) {
  return guarded(__func__, [&] {
    require_range("x", x.length, 0, (int64_t{1} << 31) - 1);  // an index is an int32
    const int64_t n = checked_product("outer, channels and inner", {outer, channels, inner});
    const int32_t source = fault_source("espalier_cuda_abs_kth");
    for_float("x", x.dtype, [&]<class T>(T) {
      const ChannelSource<T> from{elements<T>("x", x, n), channels, inner, k, faults(), source};
      T* const kth = elements<T>("value", value, channels);
      int32_t* const where = optional_elements<int32_t>("index", index, channels);
      if (channels == 0) return;
      require_range("k", k, 1, n / channels);
      abs_kth(from, n / channels, kth, where);
    });
  });
}
