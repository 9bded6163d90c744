// Reductions over dimensions of an array.
#include "cuda/reduce.cuh"

#include <optional>

#include "core/array.h"
#include "espalier_cuda.h"
#include "core/layout.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- Sums -----------------------------------------------------------------------------------------

template <class W>
struct Sum {
  using State = W;
  __device__ __forceinline__ W identity() const { return 0; }
  template <class Item>
  __device__ __forceinline__ W state(Item x, int64_t) const {
    return widen(x);
  }
  __device__ __forceinline__ W combine(W a, W b) const { return a + b; }
};

template <class T>
struct Divided {
  T* to;
  wide_t<T> divisor;
  template <int N>
  __device__ __forceinline__ void write(int64_t k, const wide_t<T> (&sums)[N]) const {
    Pack<T, N> result;
#pragma unroll
    for (int i = 0; i < N; ++i) result.at[i] = narrow<T>(sums[i] / divisor);
    if (reinterpret_cast<uintptr_t>(to + k) % sizeof result == 0) {
      store_pack<T, N>(to + k, result);
    } else {
#pragma unroll
      for (int i = 0; i < N; ++i) to[k + i] = result.at[i];
    }
  }
};

template <class W>
struct Quotient {
  W divisor;
  __device__ W operator()(int64_t, W x) const { return x / divisor; }
};

template <class T>
void fill(T* y, int64_t n, T value) {
  for_each(n, "fill", [=] __device__(int64_t i) { y[i] = value; });
}

// A dimension, or neighbouring ones that share a fate.
struct Group {
  int64_t extent;
  bool reduced;
};

// The sums of x over the groups that are reduced, the largest first, so that little is left for the others.
template <class T>
void sum(Group* groups, int count, wide_t<T> divisor, const T* x, T* y) {
  using W = wide_t<T>;
  const auto size_of = [&](int from, int to) {
    int64_t size = 1;
    for (int g = from; g < to; ++g) size *= groups[g].extent;
    return size;
  };
  int left = 0;
  for (int g = 0; g < count; ++g) left += groups[g].reduced;
  if (left == 0) return map(size_of(0, count), "sum", Quotient<W>{divisor}, y, x);
  // Sums between two passes are kept wide; one pass reads what the last one wrote.
  std::optional<Temporary<W>> rooms[2];
  const W* between = nullptr;
  while (left > 0) {
    int next = -1;
    for (int g = 0; g < count; ++g)
      if (groups[g].reduced && (next < 0 || groups[g].extent > groups[next].extent)) next = g;
    const int64_t outer = size_of(0, next), n = groups[next].extent, inner = size_of(next + 1, count);
    const auto pass = [&](auto finish) {
      if (between == nullptr) reduce_middle("sum", Sum<W>{}, outer, n, inner, x, finish);
      else reduce_middle("sum", Sum<W>{}, outer, n, inner, between, finish);
    };
    if (left == 1) {
      pass(Divided<T>{y, divisor});
    } else {
      const Temporary<W>& room = rooms[left % 2].emplace(outer * inner);
      pass(KeepState<W>{room.get()});
      between = room.get();
    }
    groups[next] = {1, false};
    --left;
  }
}

// ---- Extremes -------------------------------------------------------------------------------------

template <class W>
struct Extreme {
  struct State {
    W value;
    int32_t index;
  };
  W sign;

  __device__ __forceinline__ State identity() const { return {-static_cast<W>(INFINITY), INT32_MAX}; }
  template <class Item>
  __device__ __forceinline__ State state(Item x, int64_t i) const {
    return {widen(x) * sign, static_cast<int32_t>(i)};
  }
  __device__ __forceinline__ State state(State x, int64_t) const { return x; }
  // NaN is the most extreme; of equals the first.
  __device__ __forceinline__ State combine(State a, State b) const {
    const bool nan_a = a.value != a.value, nan_b = b.value != b.value;
    const bool equal = a.value == b.value || (nan_a && nan_b);
    const bool second = equal ? b.index < a.index : (b.value > a.value || nan_b);
    return second ? b : a;
  }
};

template <class T>
struct Most {
  T* values;
  int32_t* indices;
  wide_t<T> sign;
  template <int N>
  __device__ __forceinline__ void write(int64_t k, const typename Extreme<wide_t<T>>::State (&states)[N]) const {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      if (values != nullptr) values[k + i] = narrow<T>(states[i].value * sign);
      if (indices != nullptr) indices[k + i] = states[i].index;
    }
  }
};

// ---- Placing --------------------------------------------------------------------------------------

template <class T>
void place(const char* function, int64_t outer, int64_t n, int64_t inner, const T* values, const int32_t* indices,
           T* y) {
  ESPALIER_CUDA(cudaMemsetAsync(y, 0, static_cast<size_t>(outer * n * inner) * sizeof(T), stream()));
  const Divider width(inner);
  Fault* const at = faults();
  const int32_t source = fault_source(function);
  for_each(outer * inner, "place", [=] __device__(int64_t k) {
    int64_t i;
    const int64_t o = width.split(k, i);
    const int32_t index = indices[k];
    if (index < 0 || index >= n) raise_fault(at, FaultKind::kIndexOutOfRange, source, index);
    else y[(o * n + index) * width.divisor() + i] = values[k];
  });
}

// x [outer, n, inner] summed to y [outer, inner], where x may be empty.
template <class T>
void sum_or_zero(Group* groups, int count, int64_t size, int64_t left, const T* x, T* y) {
  if (size > 0) sum<T>(groups, count, 1, x, y);
  else if (left > 0) ESPALIER_CUDA(cudaMemsetAsync(y, 0, static_cast<size_t>(left) * sizeof(T), stream()));
}

}  // namespace

espalier_status espalier_cuda_sum(espalier_dims shape, espalier_dims reduced, double divisor, espalier_in x,
                                  espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("shape", shape);
    require_range("number of dimensions", shape.rank, int64_t{0}, kMaxDimensions);
    if (reduced.rank != shape.rank)
      fail(ESPALIER_SHAPE_MISMATCH, "reduced has %lld entries, expected %lld", static_cast<long long>(reduced.rank),
           static_cast<long long>(shape.rank));
    int64_t kept[kMaxDimensions];
    Group groups[kMaxDimensions];
    int count = 0;
    for (int64_t d = 0; d < shape.rank; ++d) {
      require_range("reduced entry", reduced.data[d], int64_t{0}, int64_t{1});
      const bool goes = reduced.data[d] == 1;
      kept[d] = goes ? 1 : shape.data[d];
      if (shape.data[d] == 1) continue;
      if (count == 0 || groups[count - 1].reduced != goes) groups[count++] = {1, goes};
      groups[count - 1].extent *= shape.data[d];
    }
    const int64_t left = checked_product("shape without the reduced dimensions", {kept, shape.rank});
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, size);
      T* const to = elements<T>("y", y, left);
      if (size > 0) sum<T>(groups, count, static_cast<wide_t<T>>(divisor), from, to);
      else fill(to, left, static_cast<T>(static_cast<wide_t<T>>(0.0 / divisor)));
    });
  });
}

espalier_status espalier_cuda_column_sum(int64_t rows, int64_t columns, espalier_in x, espalier_out y) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("x", {rows, columns});
    Group groups[] = {{rows, true}, {columns, false}};
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, size);
      sum_or_zero(groups, 2, size, columns, from, elements<T>("y", y, columns));
    });
  });
}

espalier_status espalier_cuda_channel_sum(int64_t n, int64_t channels, int64_t plane, espalier_in x,
                                          espalier_out sums) {
  return guarded(__func__, [&] {
    const int64_t size = checked_product("x", {n, channels, plane});
    Group groups[] = {{n, true}, {channels, false}, {plane, true}};
    for_device_float("x", x.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("x", x, size);
      sum_or_zero(groups, 3, size, channels, from, elements<T>("sums", sums, channels));
    });
  });
}

espalier_status espalier_cuda_extreme(int64_t outer, int64_t n, int64_t inner, int64_t sign, espalier_in x,
                                      espalier_out values, espalier_out indices) {
  return guarded(__func__, [&] {
    require_range("n", n, int64_t{1}, int64_t{INT32_MAX});
    if (sign != 1 && sign != -1) fail(ESPALIER_INVALID_ARGUMENT, "sign is neither 1 nor -1");
    const int64_t size = checked_product("x", {outer, n, inner}), lines = size / n;
    for_device_float("x", x.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      const T* const from = elements<T>("x", x, size);
      T* const most = optional_elements<T>("values", values, lines);
      int32_t* const place = optional_elements<int32_t>("indices", indices, lines);
      const W direction = static_cast<W>(sign);
      reduce_middle("extreme", Extreme<W>{direction}, outer, n, inner, from, Most<T>{most, place, direction});
    });
  });
}

espalier_status espalier_cuda_place(int64_t outer, int64_t n, int64_t inner, espalier_in values, espalier_in indices,
                                    espalier_out y) {
  const char* const function = __func__;
  return guarded(function, [&] {
    const int64_t size = checked_product("y", {outer, n, inner}), lines = checked_product("values", {outer, inner});
    for_device_float("values", values.dtype, [&]<class T>(T) {
      const T* const from = elements<T>("values", values, lines);
      const int32_t* const at = elements<int32_t>("indices", indices, lines);
      T* const to = elements<T>("y", y, size);
      if (lines > 0 && n == 0) fail(ESPALIER_INVALID_ARGUMENT, "there is no place for an index");
      if (size > 0) place(function, outer, n, inner, from, at, to);
    });
  });
}
