// What batch and layer normalisation gather of their values.
#pragma once

#include "cuda/channels.cuh"

namespace espalier::cuda::norm {

// Mean and squared deviations of some values; two such are joined after Chan, Golub & LeVeque 1979, which
// keeps the variance of values whose mean is large, in one pass over memory.
template <class W>
struct Moments {
  double count, mean, squares;

  __device__ void merge(const Moments& other) {
    if (other.count == 0) return;
    const double total = count + other.count, apart = other.mean - mean;
    // (Divided in W: a share that is off by an ulp of float moves the mean by that share of `apart`.)
    const double share = static_cast<double>(static_cast<W>(other.count) / static_cast<W>(total));
    squares += other.squares + apart * apart * count * share;
    mean += apart * share;
    count = total;
  }
  // Values at hand: twice over them, which is exact enough in their own type.
  template <int M>
  __device__ void take(const W (&values)[M]) {
    W sum = 0, off = 0;
#pragma unroll
    for (const W v : values) sum += v;
    const W mean_here = sum * (W{1} / M);
#pragma unroll
    for (const W v : values) off = fma(v - mean_here, v - mean_here, off);
    merge({M, static_cast<double>(mean_here), static_cast<double>(off)});
  }
};

// Σ dy and Σ dy (x − mean)
struct GradientSums {
  double plain, scaled;
  __device__ void merge(const GradientSums& other) {
    plain += other.plain;
    scaled += other.scaled;
  }
};

// K packs of N values side by side.
template <int N, int K, class T>
__device__ __forceinline__ void load_all(const T* x, const int64_t* at, wide_t<T> (&values)[N * K]) {
#pragma unroll
  for (int k = 0; k < K; ++k) {
    const Pack<T, N> pack = load<N>(x + at[k]);
#pragma unroll
    for (int lane = 0; lane < N; ++lane) values[k * N + lane] = widen(pack.at[lane]);
  }
}

inline void require_eps(double eps) { require_range("eps", eps, 0, 1e30); }

}  // namespace espalier::cuda::norm
