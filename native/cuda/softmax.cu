// Softmax and its logarithm along one dimension. Short strips stay in registers, longer ones in shared memory,
// so that x is read once; only what fits in neither is read again.
#include "cuda/softmax.cuh"

#include "core/array.h"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

enum class Kind { kPlain, kLog };

// y of one strip from its largest value and sum of exponentials.
template <class W>
struct Outcome {
  Kind kind;
  W top, sum;  // the sum as its inverse or its logarithm
  __device__ Outcome(Kind kind, W top, W sum) : kind(kind), top(top), sum(kind == Kind::kPlain ? 1 / sum : log(sum)) {}
  __device__ __forceinline__ W operator()(W x) const {
    return kind == Kind::kPlain ? exp_of_negative(x - top) * sum : x - top - sum;
  }
};
// The same backwards: what is summed over the strip, and dx from the sum.
template <class W>
__device__ __forceinline__ W term(Kind kind, W dy, W y) {
  return kind == Kind::kPlain ? dy * y : dy;
}
template <class W>
__device__ __forceinline__ W slope(Kind kind, W dy, W y, W total) {
  return kind == Kind::kPlain ? y * (dy - total) : dy - exp_of_negative(y) * total;
}

// ---- Strips in registers ----------------------------------------------------------------------------

// Items of N values a thread, Lanes threads a strip. What lies past the end is `other`.
template <int Lanes, int Items, int N, class T>
__device__ __forceinline__ void read_strip(const T* x, int64_t length, int lane, wide_t<T> other,
                                           wide_t<T> (&values)[Items * N]) {
#pragma unroll
  for (int i = 0; i < Items; ++i) {
    const int at = (i * Lanes + lane) * N;
    if (at < length) {
      const Pack<T, N> read = load_pack<T, N>(x + at);
#pragma unroll
      for (int k = 0; k < N; ++k) values[i * N + k] = widen(read.at[k]);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) values[i * N + k] = other;
    }
  }
}
template <int Lanes, int Items, int N, class T>
__device__ __forceinline__ void write_strip(T* y, int64_t length, int lane, const wide_t<T> (&values)[Items * N]) {
#pragma unroll
  for (int i = 0; i < Items; ++i) {
    const int at = (i * Lanes + lane) * N;
    if (at >= length) continue;
    Pack<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) result.at[k] = narrow<T>(values[i * N + k]);
    store_pack<T, N>(y + at, result);
  }
}

template <int Lanes, int Items, int N, class T>
__global__ void __launch_bounds__(kBlock)
    forward_registers_kernel(Kind kind, int64_t strips, int64_t length, const T* x, T* y) {
  using W = wide_t<T>;
  constexpr int kGroups = kBlock / Lanes;
  const int lane = threadIdx.x % Lanes;
  for (int64_t begin = int64_t{blockIdx.x} * kGroups; begin < strips; begin += int64_t{gridDim.x} * kGroups) {
    const int64_t strip = begin + threadIdx.x / Lanes, mine = strip < strips ? length : 0;
    W values[Items * N];
    // −∞ past the end: no largest value, and nothing in the sum.
    read_strip<Lanes, Items, N>(x + strip * length, mine, lane, -static_cast<W>(INFINITY), values);
    W top = -static_cast<W>(INFINITY);
#pragma unroll
    for (int k = 0; k < Items * N; ++k) top = fmax(top, values[k]);
    top = combine_lanes<Lanes>(Largest<W>{}, top);
    W sum = 0;
#pragma unroll
    for (int k = 0; k < Items * N; ++k) {
      values[k] -= top;
      const W e = exp_of_negative(values[k]);
      sum += e;
      if (kind == Kind::kPlain) values[k] = e;
    }
    sum = combine_lanes<Lanes>(Total<W>{}, sum);
    const W scale = 1 / sum, log_sum = log(sum);
#pragma unroll
    for (int k = 0; k < Items * N; ++k) values[k] = kind == Kind::kPlain ? values[k] * scale : values[k] - log_sum;
    write_strip<Lanes, Items, N>(y + strip * length, mine, lane, values);
  }
}

template <int Lanes, int Items, int N, class T>
__global__ void __launch_bounds__(kBlock)
    backward_registers_kernel(Kind kind, int64_t strips, int64_t length, const T* dy, const T* y, T* dx) {
  using W = wide_t<T>;
  constexpr int kGroups = kBlock / Lanes;
  const int lane = threadIdx.x % Lanes;
  for (int64_t begin = int64_t{blockIdx.x} * kGroups; begin < strips; begin += int64_t{gridDim.x} * kGroups) {
    const int64_t strip = begin + threadIdx.x / Lanes, mine = strip < strips ? length : 0;
    W gradient[Items * N], value[Items * N];
    read_strip<Lanes, Items, N>(dy + strip * length, mine, lane, 0, gradient);
    read_strip<Lanes, Items, N>(y + strip * length, mine, lane, 0, value);
    W sum = 0;
#pragma unroll
    for (int k = 0; k < Items * N; ++k) sum += term(kind, gradient[k], value[k]);
    sum = combine_lanes<Lanes>(Total<W>{}, sum);
#pragma unroll
    for (int k = 0; k < Items * N; ++k) gradient[k] = slope(kind, gradient[k], value[k], sum);
    write_strip<Lanes, Items, N>(dx + strip * length, mine, lane, gradient);
  }
}

// ---- Strips in shared memory ------------------------------------------------------------------------

// A block a strip. Each thread comes back to the values it brought itself, so that only the reductions wait.
template <int N, class T>
__global__ void __launch_bounds__(1024)
    forward_shared_kernel(Kind kind, int64_t strips, int64_t length, const T* x, T* y) {
  using W = wide_t<T>;
  extern __shared__ int4 room[];
  Pack<T, N>* const held = reinterpret_cast<Pack<T, N>*>(room);
  const int packs = static_cast<int>(length / N), threads = static_cast<int>(blockDim.x);
  for (int64_t strip = blockIdx.x; strip < strips; strip += gridDim.x) {
    const T* const from = x + strip * length;
    T* const to = y + strip * length;
    W top = -static_cast<W>(INFINITY);
#pragma unroll 8
    for (int p = threadIdx.x; p < packs; p += threads) {
      const Pack<T, N> read = load_pack<T, N>(from + int64_t{p} * N);
      held[p] = read;
#pragma unroll
      for (int k = 0; k < N; ++k) top = fmax(top, widen(read.at[k]));
    }
    top = block_reduce(top, -static_cast<W>(INFINITY), [](W a, W b) { return fmax(a, b); });
    W sum = 0;
#pragma unroll 4
    for (int p = threadIdx.x; p < packs; p += threads) {
      const Pack<T, N> read = held[p];
#pragma unroll
      for (int k = 0; k < N; ++k) sum += exp_of_negative(widen(read.at[k]) - top);
    }
    sum = block_reduce(sum, W(0), [](W a, W b) { return a + b; });
    const Outcome<W> outcome(kind, top, sum);
#pragma unroll 4
    for (int p = threadIdx.x; p < packs; p += threads) {
      Pack<T, N> read = held[p];
#pragma unroll
      for (int k = 0; k < N; ++k) read.at[k] = narrow<T>(outcome(widen(read.at[k])));
      store_pack<T, N>(to + int64_t{p} * N, read);
    }
  }
}

template <int N, class T>
__global__ void __launch_bounds__(1024)
    backward_shared_kernel(Kind kind, int64_t strips, int64_t length, const T* dy, const T* y, T* dx) {
  using W = wide_t<T>;
  extern __shared__ int4 room[];
  const int packs = static_cast<int>(length / N), threads = static_cast<int>(blockDim.x);
  Pack<T, N>* const gradients = reinterpret_cast<Pack<T, N>*>(room);
  Pack<T, N>* const values = gradients + packs;
  for (int64_t strip = blockIdx.x; strip < strips; strip += gridDim.x) {
    const int64_t offset = strip * length;
    W sum = 0;
#pragma unroll 4
    for (int p = threadIdx.x; p < packs; p += threads) {
      const Pack<T, N> g = load_pack<T, N>(dy + offset + int64_t{p} * N);
      const Pack<T, N> v = load_pack<T, N>(y + offset + int64_t{p} * N);
      gradients[p] = g;
      values[p] = v;
#pragma unroll
      for (int k = 0; k < N; ++k) sum += term(kind, widen(g.at[k]), widen(v.at[k]));
    }
    sum = block_reduce(sum, W(0), [](W a, W b) { return a + b; });
#pragma unroll 4
    for (int p = threadIdx.x; p < packs; p += threads) {
      Pack<T, N> g = gradients[p];
      const Pack<T, N> v = values[p];
#pragma unroll
      for (int k = 0; k < N; ++k) g.at[k] = narrow<T>(slope(kind, widen(g.at[k]), widen(v.at[k]), sum));
      store_pack<T, N>(dx + offset + int64_t{p} * N, g);
    }
  }
}

// ---- Strips too long for that, and strips side by side -------------------------------------------------

// A block takes `width` strips, which lie next to each other along `inner`, and the rows in turns of `step`;
// long strips are columns of a width of one.
template <class R>
__device__ __forceinline__ typename R::State combine_rows(const R& r, typename R::State state, int width) {
  using State = typename R::State;
  __shared__ State shared[kBlock];
  const int step = kBlock / width, lane = threadIdx.x / width;
  shared[threadIdx.x] = state;
  __syncthreads();
  for (int height = step; height > 1;) {
    const int half = (height + 1) / 2;
    if (lane + half < height) shared[threadIdx.x] = r.combine(shared[threadIdx.x], shared[threadIdx.x + half * width]);
    __syncthreads();
    height = half;
  }
  state = shared[threadIdx.x % width];
  __syncthreads();
  return state;
}

template <class T>
__global__ void __launch_bounds__(kBlock)
    forward_columns_kernel(Kind kind, int64_t strips, int width, int64_t length, Divider inner, const T* x, T* y) {
  using W = wide_t<T>;
  const int step = kBlock / width, lane = threadIdx.x / width;
  const int64_t stride = inner.divisor();
  const OnlineSum<W> of;
  for (int64_t begin = int64_t{blockIdx.x} * width; begin < strips; begin += int64_t{gridDim.x} * width) {
    const int64_t strip = begin + threadIdx.x % width;
    int64_t j;
    const int64_t offset = inner.split(min(strip, strips - 1), j) * length * stride + j;
    const T* const from = x + offset;
    Online<W> state = of.identity();
    // Eight at a time: fewer corrections, and a shorter sum.
    constexpr int kRows = 8;
    for (int64_t i = lane; i < length; i += kRows * step) {
      W values[kRows];
#pragma unroll
      for (int k = 0; k < kRows; ++k)
        values[k] = i + k * step < length ? widen(from[(i + k * step) * stride]) : of.lowest();
      of.add(state, values);
    }
    if (step > 1) state = combine_rows(of, state, width);
    state = of.finish(state);
    if (strip >= strips) continue;
    const Outcome<W> outcome(kind, state.top, state.sum);
#pragma unroll 4
    for (int64_t i = lane; i < length; i += step) y[offset + i * stride] = narrow<T>(outcome(widen(from[i * stride])));
  }
}

template <class T>
__global__ void __launch_bounds__(kBlock) backward_columns_kernel(Kind kind, int64_t strips, int width, int64_t length,
                                                                  Divider inner, const T* dy, const T* y, T* dx) {
  using W = wide_t<T>;
  const int step = kBlock / width, lane = threadIdx.x / width;
  const int64_t stride = inner.divisor();
  for (int64_t begin = int64_t{blockIdx.x} * width; begin < strips; begin += int64_t{gridDim.x} * width) {
    const int64_t strip = begin + threadIdx.x % width;
    int64_t j;
    const int64_t offset = inner.split(min(strip, strips - 1), j) * length * stride + j;
    W sum = 0;
#pragma unroll 4
    for (int64_t i = lane; i < length; i += step)
      sum += term(kind, widen(dy[offset + i * stride]), widen(y[offset + i * stride]));
    if (step > 1) sum = combine_rows(Total<W>{}, sum, width);
    if (strip >= strips) continue;
#pragma unroll 4
    for (int64_t i = lane; i < length; i += step) {
      const int64_t at = offset + i * stride;
      dx[at] = narrow<T>(slope(kind, widen(dy[at]), widen(y[at]), sum));
    }
  }
}

// ---- Choice -----------------------------------------------------------------------------------------

unsigned blocks_for(int64_t n) { return static_cast<unsigned>(std::min<int64_t>(n, INT32_MAX)); }

// Which way strips go. body receives, as types: Registers<Lanes, Items, N> or Shared<N>, or nothing for columns.
template <int L, int I, int V>
struct Registers {
  static constexpr int kLanes = L, kItems = I, kValues = V;
};
template <int V>
struct Shared {
  static constexpr int kValues = V;
};
struct Columns {};

template <class T, class Body>
void each_way(espalier_strip shape, bool packed, int arrays, Body body) {
  constexpr int N = kPack<T>;
  const int64_t length = shape.length;
  if (shape.inner > 1) return body(Columns{});
  if (length <= 32) return body(Registers<8, 4, 1>{});
  if (packed) {
    if (length <= 256) return body(Registers<32, 8 / N, N>{});
    if (length <= 512) return body(Registers<32, 16 / N, N>{});
    if (length <= 1024) return body(Registers<32, 32 / N, N>{});
  } else {
    if (length <= 256) return body(Registers<32, 8, 1>{});
    if (length <= 1024) return body(Registers<32, 32, 1>{});
  }
  // The reductions need some shared memory of their own.
  if (arrays * length * int64_t{sizeof(T)} > traits().shared_optin - 1024) return body(Columns{});
  if (packed) return body(Shared<N>{});
  body(Shared<1>{});
}

// Threads for a strip in shared memory: a few packs each.
unsigned threads_for(int64_t packs) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(packs, 4 * 32) * 32, 128, 1024));
}
template <class Kernel>
void allow_shared(Kernel* kernel, int64_t bytes) {
  if (bytes > 47 * 1024)
    ESPALIER_CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)));
}

int columns_width(espalier_strip shape, int64_t strips) {
  if (shape.inner == 1) return 1;
  return strips >= (1 << 16) || shape.length < 8 ? kBlock : 32;
}

template <class T>
void softmax(Kind kind, const T* x, T* y, espalier_strip shape) {
  const int64_t length = shape.length, strips = shape.outer * shape.inner;
  if (strips == 0 || length == 0) return;
  const bool packed = length % kPack<T> == 0 && aligned_for(x, kPack<T>) && aligned_for(y, kPack<T>);
  each_way<T>(shape, packed, 1, [&]<class Way>(Way) {
    if constexpr (std::is_same_v<Way, Columns>) {
      const int width = columns_width(shape, strips);
      forward_columns_kernel<<<blocks_for(ceil_div(strips, width)), kBlock, 0, stream()>>>(kind, strips, width, length,
                                                                                           Divider(shape.inner), x, y);
    } else if constexpr (requires { Way::kLanes; }) {
      forward_registers_kernel<Way::kLanes, Way::kItems, Way::kValues>
          <<<blocks_for(ceil_div(strips, kBlock / Way::kLanes)), kBlock, 0, stream()>>>(kind, strips, length, x, y);
    } else {
      const int64_t bytes = length * int64_t{sizeof(T)};
      const auto kernel = forward_shared_kernel<Way::kValues, T>;
      allow_shared(kernel, bytes);
      kernel<<<blocks_for(strips), threads_for(length / Way::kValues), static_cast<size_t>(bytes), stream()>>>(
          kind, strips, length, x, y);
    }
    launched("softmax");
  });
}

template <class T>
void softmax_gradient(Kind kind, const T* dy, const T* y, T* dx, espalier_strip shape) {
  const int64_t length = shape.length, strips = shape.outer * shape.inner;
  if (strips == 0 || length == 0) return;
  constexpr int N = kPack<T>;
  const bool packed = length % N == 0 && aligned_for(dy, N) && aligned_for(y, N) && aligned_for(dx, N);
  each_way<T>(shape, packed, 2, [&]<class Way>(Way) {
    if constexpr (std::is_same_v<Way, Columns>) {
      const int width = columns_width(shape, strips);
      backward_columns_kernel<<<blocks_for(ceil_div(strips, width)), kBlock, 0, stream()>>>(
          kind, strips, width, length, Divider(shape.inner), dy, y, dx);
    } else if constexpr (requires { Way::kLanes; }) {
      backward_registers_kernel<Way::kLanes, Way::kItems, Way::kValues>
          <<<blocks_for(ceil_div(strips, kBlock / Way::kLanes)), kBlock, 0, stream()>>>(kind, strips, length, dy, y,
                                                                                        dx);
    } else {
      const int64_t bytes = 2 * length * int64_t{sizeof(T)};
      const auto kernel = backward_shared_kernel<Way::kValues, T>;
      allow_shared(kernel, bytes);
      kernel<<<blocks_for(strips), threads_for(length / Way::kValues), static_cast<size_t>(bytes), stream()>>>(
          kind, strips, length, dy, y, dx);
    }
    launched("softmax gradient");
  });
}

espalier_status forward(const char* function, Kind kind, espalier_in x, espalier_out y, espalier_strip shape) {
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.outer, shape.length, shape.inner});
    for_device_float("x", x.dtype,
                     [&]<class T>(T) { softmax(kind, elements<T>("x", x, size), elements<T>("y", y, size), shape); });
  });
}

espalier_status backward(const char* function, Kind kind, espalier_in dy, espalier_in y, espalier_out dx,
                         espalier_strip shape) {
  return guarded(function, [&] {
    const int64_t size = checked_product("shape", {shape.outer, shape.length, shape.inner});
    for_device_float("dy", dy.dtype, [&]<class T>(T) {
      softmax_gradient(kind, elements<T>("dy", dy, size), elements<T>("y", y, size), elements<T>("dx", dx, size),
                       shape);
    });
  });
}

}  // namespace

espalier_status espalier_cuda_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape) {
  return forward(__func__, Kind::kPlain, x, y, shape);
}
espalier_status espalier_cuda_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx, espalier_strip shape) {
  return backward(__func__, Kind::kPlain, dy, y, dx, shape);
}
espalier_status espalier_cuda_log_softmax_forward(espalier_in x, espalier_out y, espalier_strip shape) {
  return forward(__func__, Kind::kLog, x, y, shape);
}
espalier_status espalier_cuda_log_softmax_backward(espalier_in dy, espalier_in y, espalier_out dx,
                                                   espalier_strip shape) {
  return backward(__func__, Kind::kLog, dy, y, dx, shape);
}
