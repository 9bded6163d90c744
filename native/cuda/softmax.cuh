// The largest of a run of values and the sum of exponentials relative to it, in one reading (Milakov and
// Gimelshein 2018).
#pragma once

#include "cuda/approximate.cuh"
#include "cuda/reduce.cuh"

namespace espalier::cuda {

template <class W>
struct Largest {
  using State = W;
  __device__ __forceinline__ W combine(W a, W b) const { return fmax(a, b); }
};
template <class W>
struct Total {
  using State = W;
  __device__ __forceinline__ W identity() const { return 0; }
  template <class Item>
  __device__ __forceinline__ void append(W& sum, Item x, int64_t) const {
    sum += widen(x);
  }
  __device__ __forceinline__ W combine(W a, W b) const { return a + b; }
};

template <class W>
struct Online {
  W top, sum;
};

template <class W>
struct OnlineSum {
  using State = Online<W>;
  static __device__ __forceinline__ W lowest() { return -static_cast<W>(INFINITY); }
  // What exponents are taken relative to: while there is nothing but −∞, 0, which leaves e^−∞ = 0.
  static __device__ __forceinline__ W shift(W top) { return top == lowest() ? W(0) : top; }

  __device__ __forceinline__ State identity() const { return {lowest(), 0}; }
  __device__ __forceinline__ State combine(State a, State b) const {
    const W top = fmax(a.top, b.top), by = shift(top);
    return {top, a.sum * exp_of_negative(a.top - by) + b.sum * exp_of_negative(b.top - by)};
  }
  // NaN is no largest value, and makes the sum NaN.
  template <int N>
  __device__ __forceinline__ void add(State& state, const W (&x)[N]) const {
    W top = state.top;
#pragma unroll
    for (int k = 0; k < N; ++k) top = fmax(top, x[k]);
    const W by = shift(top);
    if (top > state.top) state.sum *= exp_of_negative(state.top - by);
    W sum = 0;
#pragma unroll
    for (int k = 0; k < N; ++k) sum += exp_of_negative(x[k] - by);
    state.sum += sum;
    state.top = top;
  }
  // Nothing but −∞ has no softmax.
  __device__ __forceinline__ State finish(State state) const {
    if (state.top == lowest()) state.sum = static_cast<W>(NAN);
    return state;
  }
};

// body(i, values) over a run of n by a group of threads: element by element up to a 16-byte boundary and behind
// the last one, N at a time between. `values` is an array of 1 or N.
template <int Lanes, class T, class Body>
__device__ __forceinline__ void read_run(const T* x, int n, int lane, Body body) {
  constexpr int N = kPack<T>;
  const int past = static_cast<int>(reinterpret_cast<uintptr_t>(x) / sizeof(T) % N);
  const int head = min(past == 0 ? 0 : N - past, n);
  const int packs = (n - head) / N, tail = head + packs * N;
  const auto one = [&](int i) {
    const wide_t<T> value[1] = {widen(x[i])};
    body(i, value);
  };
  if (lane < head) one(lane);
#pragma unroll 4
  for (int p = lane; p < packs; p += Lanes) {
    const Pack<T, N> read = load_pack<T, N>(x + head + p * N);
    wide_t<T> values[N];
#pragma unroll
    for (int k = 0; k < N; ++k) values[k] = widen(read.at[k]);
    body(head + p * N, values);
  }
  if (tail + lane < n) one(tail + lane);
}

template <int Lanes, class T>
__device__ __forceinline__ Online<wide_t<T>> online_run(const T* x, int n, int lane) {
  using W = wide_t<T>;
  const OnlineSum<W> of;
  Online<W> state = of.identity();
  read_run<Lanes>(x, n, lane, [&](int, const auto& values) { of.add(state, values); });
  // The largest first: each sum is then brought to it once.
  const W top = combine_lanes<Lanes>(Largest<W>{}, state.top);
  state.sum = combine_lanes<Lanes>(Total<W>{}, state.sum * exp_of_negative(state.top - of.shift(top)));
  state.top = top;
  return n > 0 ? of.finish(state) : state;
}

}  // namespace espalier::cuda
