#include "kernels/random.h"

#include <utility>

namespace espalier {
constexpr int64_t kRandomGrain = 1 << 14;  // numbers a thread draws at a time, whole groups of blocks
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/random.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void random_uniform(uint64_t seed, uint64_t counter, T low, T high, T* y, int64_t n) {
  ESPALIER_ON_ISA(random_uniform<T>(seed, counter, low, high, y, n));
}
template void random_uniform(uint64_t, uint64_t, float, float, float*, int64_t);
template void random_uniform(uint64_t, uint64_t, double, double, double*, int64_t);

template <class T>
void random_normal(uint64_t seed, uint64_t counter, T mean, T deviation, T* y, int64_t n) {
  ESPALIER_ON_ISA(random_normal<T>(seed, counter, mean, deviation, y, n));
}
template void random_normal(uint64_t, uint64_t, float, float, float*, int64_t);
template void random_normal(uint64_t, uint64_t, double, double, double*, int64_t);

template <class T>
void random_bernoulli(uint64_t seed, uint64_t counter, double p, T value, T* y, int64_t n) {
  ESPALIER_ON_ISA(random_bernoulli<T>(seed, counter, p, value, y, n));
}
template void random_bernoulli(uint64_t, uint64_t, double, float, float*, int64_t);
template void random_bernoulli(uint64_t, uint64_t, double, double, double*, int64_t);

void random_permutation(uint64_t seed, uint64_t counter, int32_t* y, int64_t n) {
  ESPALIER_ON_ISA(random_permutation(seed, counter, y, n));
}

}  // namespace espalier::kernels
