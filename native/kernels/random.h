// Random numbers from a counter.
#pragma once

#include <cstdint>

namespace espalier::kernels {

// Numbers of type T a block yields.
template <class T>
constexpr int64_t kPerBlock = 16 / static_cast<int64_t>(sizeof(T));

template <class T>
void random_uniform(uint64_t seed, uint64_t counter, T low, T high, T* y, int64_t n);

template <class T>
void random_normal(uint64_t seed, uint64_t counter, T mean, T deviation, T* y, int64_t n);

template <class T>
void random_bernoulli(uint64_t seed, uint64_t counter, double p, T value, T* y, int64_t n);

// A block yields two of its steps.
void random_permutation(uint64_t seed, uint64_t counter, int32_t* y, int64_t n);

}  // namespace espalier::kernels
