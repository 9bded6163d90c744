// Random numbers from a counter: the same numbers as on the CPU (native/kernels/random.inl), a block of Philox a
// thread and step. float32 is computed by the same polynomials, so that the numbers agree to the bit wherever
// the CPU fuses multiplications with additions; 16-bit numbers are the float32 ones, rounded.
#include <vector>

#include "core/array.h"
#include "cuda/core/transfer.h"
#include "cuda/map.cuh"
#include "espalier_cuda.h"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// Numbers of type T a block yields.
template <class T>
constexpr int64_t kPerBlock = 16 / static_cast<int64_t>(sizeof(T));

__device__ __forceinline__ uint4 philox(uint64_t seed, uint64_t counter) {
  uint32_t a = static_cast<uint32_t>(counter), b = static_cast<uint32_t>(counter >> 32), c = 0, d = 0;
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{a} * 0xD2511F53u, second = uint64_t{c} * 0xCD9E8D57u;
    a = static_cast<uint32_t>(second >> 32) ^ b ^ key0;
    b = static_cast<uint32_t>(second);
    c = static_cast<uint32_t>(first >> 32) ^ d ^ key1;
    d = static_cast<uint32_t>(first);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return {a, b, c, d};
}

// A number in [0, 1): 24 bits of a word, or 53 of two.
__device__ __forceinline__ float unit(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }
__device__ __forceinline__ double unit(uint32_t high, uint32_t low) {
  return static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
}

// ln x for x in (0, 1], as the CPU's vectors compute it: the polynomial of the Cephes library for ln(1 + r).
__device__ __forceinline__ float log_of_unit(float x) {
  const int32_t shifted = __float_as_int(x) - 0x3f3504f3;
  const float e = static_cast<float>(shifted >> 23);
  const float r = __int_as_float((shifted & 0x007fffff) + 0x3f3504f3) - 1.0f;
  const float square = r * r;
  float p = 7.0376836292e-2f;
  p = fmaf(p, r, -1.1514610310e-1f);
  p = fmaf(p, r, 1.1676998740e-1f);
  p = fmaf(p, r, -1.2420140846e-1f);
  p = fmaf(p, r, 1.4249322787e-1f);
  p = fmaf(p, r, -1.6668057665e-1f);
  p = fmaf(p, r, 2.0000714765e-1f);
  p = fmaf(p, r, -2.4999993993e-1f);
  p = fmaf(p, r, 3.3333331174e-1f);
  p = p * r * square;
  p = fmaf(e, -2.12194440e-4f, p);
  p = fmaf(square, -0.5f, p);
  return fmaf(e, 0.693359375f, r + p);
}
__device__ __forceinline__ double log_of_unit(double x) { return log(x); }

// Sine and cosine of 2πt for t in [0, 1): the quarter turn nearest to t, exactly, and a Taylor series for the rest.
__device__ __forceinline__ void sin_cos_turn(float t, float& sine, float& cosine) {
  const float quarter = rintf(t * 4);
  const float angle = fmaf(quarter, -0.25f, t) * 6.28318530717958647693f;
  const float z = angle * angle;
  float s = 2.7557319224e-6f;
  s = fmaf(s, z, -1.9841269841e-4f);
  s = fmaf(s, z, 8.3333333333e-3f);
  s = fmaf(s, z, -1.6666666667e-1f);
  s = fmaf(s * z, angle, angle);
  float c = 2.4801587302e-5f;
  c = fmaf(c, z, -1.3888888889e-3f);
  c = fmaf(c, z, 4.1666666667e-2f);
  c = fmaf(c, z, -0.5f);
  c = fmaf(c, z, 1.0f);
  const bool swapped = quarter == 1 || quarter == 3, back = quarter == 2 || quarter == 3;
  const bool down = quarter == 1 || quarter == 2;
  sine = swapped ? c : s;
  cosine = swapped ? s : c;
  if (back) sine = -sine;
  if (down) cosine = -cosine;
}
__device__ __forceinline__ void sin_cos_turn(double t, double& sine, double& cosine) {
  sincos(t * 6.28318530717958647693, &sine, &cosine);
}

// The rules: the numbers of one block, four of float or two of double.
template <class W>
struct Uniform {
  W low, span;
  __device__ __forceinline__ void operator()(uint4 words, W* out) const {
    if constexpr (sizeof(W) == 4) {
      out[0] = fmaf(unit(words.x), span, low);
      out[1] = fmaf(unit(words.y), span, low);
      out[2] = fmaf(unit(words.z), span, low);
      out[3] = fmaf(unit(words.w), span, low);
    } else {
      out[0] = fma(unit(words.x, words.y), span, low);
      out[1] = fma(unit(words.z, words.w), span, low);
    }
  }
};

// Two uniform numbers u, v make two normal ones, √(-2 ln u) times the cosine and sine of 2πv (Box and Muller 1958).
template <class W>
struct Normal {
  W mean, deviation;
  __device__ __forceinline__ void pair(W u, W v, W* out) const {
    const W radius = sqrt(W(-2) * log_of_unit(u)) * deviation;
    W sine, cosine;
    sin_cos_turn(v, sine, cosine);
    out[0] = fma(radius, cosine, mean);
    out[1] = fma(radius, sine, mean);
  }
  __device__ __forceinline__ void operator()(uint4 words, W* out) const {
    if constexpr (sizeof(W) == 4) {
      // All 32 bits of a word, from (0, 1].
      pair((static_cast<float>(words.x) + 1) * 0x1p-32f, unit(words.y), out);
      pair((static_cast<float>(words.z) + 1) * 0x1p-32f, unit(words.w), out + 2);
    } else {
      pair(1 - unit(words.x, words.y), unit(words.z, words.w), out);
    }
  }
};

template <class W>
struct Bernoulli {
  uint32_t limit;
  bool always;
  W value;
  __device__ __forceinline__ void operator()(uint4 words, W* out) const {
    const auto draw = [&](uint32_t word) { return (always || word < limit ? W(1) : W(0)) * value; };
    if constexpr (sizeof(W) == 4) {
      out[0] = draw(words.x);
      out[1] = draw(words.y);
      out[2] = draw(words.z);
      out[3] = draw(words.w);
    } else {
      out[0] = draw(words.x);
      out[1] = draw(words.z);
    }
  }
};

// 16 bytes a step: one block of Philox for float32 and float64, two for 16-bit numbers.
template <class T, class Rule>
__global__ void __launch_bounds__(kBlock)
    random_kernel(int64_t n, uint64_t seed, uint64_t counter, Rule rule, bool packed, T* y) {
  using W = wide_t<T>;
  constexpr int N = kPack<T>, kEach = static_cast<int>(kPerBlock<W>);
  for (int64_t p = blockIdx.x * int64_t{kBlock} + threadIdx.x; p * N < n; p += int64_t{gridDim.x} * kBlock) {
    W numbers[N];
#pragma unroll
    for (int b = 0; b < N / kEach; ++b)
      rule(philox(seed, counter + static_cast<uint64_t>(p * (N / kEach) + b)), numbers + b * kEach);
    Pack<T, N> result;
#pragma unroll
    for (int k = 0; k < N; ++k) result.at[k] = narrow<T>(numbers[k]);
    if (packed && (p + 1) * N <= n) {
      store_pack<T, N>(y + p * N, result);
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k)
        if (p * N + k < n) y[p * N + k] = result.at[k];
    }
  }
}

// Counters stay whole numbers a JavaScript caller can hold.
constexpr int64_t kLastCounter = int64_t{1} << 53;

void require_source(int64_t seed, int64_t counter) {
  require_range("seed", seed, int64_t{0}, kLastCounter);
  require_range("counter", counter, int64_t{0}, kLastCounter);
}

// Fills y by the rule that rule_of(W{}) gives.
template <class RuleOf>
espalier_status random(const char* function, int64_t seed, int64_t counter, espalier_out y, int64_t* used,
                       RuleOf rule_of) {
  return guarded(function, [&] {
    require_source(seed, counter);
    for_device_float("y", y.dtype, [&]<class T>(T) {
      using W = wide_t<T>;
      T* const numbers = elements<T>("y", y, y.length);
      const auto rule = rule_of(W{});
      if (y.length > 0) {
        random_kernel<<<grid_for(ceil_div(y.length, kPack<T>)), kBlock, 0, stream()>>>(
            y.length, static_cast<uint64_t>(seed), static_cast<uint64_t>(counter), rule, aligned_for(numbers, kPack<T>),
            numbers);
        launched("random");
      }
      *used = ceil_div(y.length, kPerBlock<W>);
    });
  });
}

}  // namespace

espalier_status espalier_cuda_random_uniform(int64_t seed, int64_t counter, double low, double high, espalier_out y,
                                             int64_t* used) {
  return random(__func__, seed, counter, y, used, [&]<class W>(W) {
    return Uniform<W>{static_cast<W>(low), static_cast<W>(high) - static_cast<W>(low)};
  });
}

espalier_status espalier_cuda_random_normal(int64_t seed, int64_t counter, double mean, double deviation,
                                            espalier_out y, int64_t* used) {
  return random(__func__, seed, counter, y, used, [&]<class W>(W) {
    return Normal<W>{static_cast<W>(mean), static_cast<W>(deviation)};
  });
}

espalier_status espalier_cuda_random_bernoulli(int64_t seed, int64_t counter, double p, double value, espalier_out y,
                                               int64_t* used) {
  return random(__func__, seed, counter, y, used, [&]<class W>(W) {
    require_range("p", p, 0.0, 1.0);
    const uint32_t limit = p == 1 ? 0 : static_cast<uint32_t>(p * 4294967296.0);
    return Bernoulli<W>{limit, p == 1, static_cast<W>(value)};
  });
}

// Each step of the shuffle depends on the ones before: the CPU does it, and the order is uploaded.
espalier_status espalier_cuda_random_permutation(int64_t seed, int64_t counter, espalier_out y, int64_t* used) {
  return guarded(__func__, [&] {
    require_source(seed, counter);
    require_range("length of y", y.length, int64_t{0}, int64_t{INT32_MAX});
    int32_t* const order = elements<int32_t>("y", y, y.length);
    std::vector<int32_t> shuffled(static_cast<size_t>(y.length));
    if (espalier_random_permutation(seed, counter, {shuffled.data(), y.length, ESPALIER_INT32}, used) != ESPALIER_OK)
      fail(ESPALIER_INTERNAL, "%s", espalier_last_error());
    upload(shuffled.data(), order, y.length * int64_t{sizeof(int32_t)});
  });
}
