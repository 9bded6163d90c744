#include "espalier/random.h"

#include "core/array.h"
#include "kernels/random.h"

using namespace espalier;

namespace {

// Counters stay whole numbers a JavaScript caller can hold.
constexpr int64_t kLastCounter = int64_t{1} << 53;

void require_source(int64_t seed, int64_t counter) {
  require_range("seed", seed, int64_t{0}, kLastCounter);
  require_range("counter", counter, int64_t{0}, kLastCounter);
}

// Runs draw(seed, counter, numbers, count) for the type of y.
template <class Draw>
espalier_status random(const char* function, int64_t seed, int64_t counter, espalier_out y, int64_t* used, Draw draw) {
  return guarded(function, [&] {
    require_source(seed, counter);
    for_float("y", y.dtype, [&]<class T>(T) {
      T* const numbers = elements<T>("y", y, y.length);
      draw(static_cast<uint64_t>(seed), static_cast<uint64_t>(counter), numbers, y.length);
      *used = (y.length + kernels::kPerBlock<T> - 1) / kernels::kPerBlock<T>;
    });
  });
}

}  // namespace

espalier_status espalier_random_uniform(int64_t seed, int64_t counter, double low, double high, espalier_out y,
                                        int64_t* used) {
  return random(__func__, seed, counter, y, used, [&]<class T>(uint64_t key, uint64_t from, T* numbers, int64_t n) {
    kernels::random_uniform<T>(key, from, static_cast<T>(low), static_cast<T>(high), numbers, n);
  });
}

espalier_status espalier_random_normal(int64_t seed, int64_t counter, double mean, double deviation, espalier_out y,
                                       int64_t* used) {
  return random(__func__, seed, counter, y, used, [&]<class T>(uint64_t key, uint64_t from, T* numbers, int64_t n) {
    kernels::random_normal<T>(key, from, static_cast<T>(mean), static_cast<T>(deviation), numbers, n);
  });
}

espalier_status espalier_random_bernoulli(int64_t seed, int64_t counter, double p, double value, espalier_out y,
                                          int64_t* used) {
  return random(__func__, seed, counter, y, used, [&]<class T>(uint64_t key, uint64_t from, T* numbers, int64_t n) {
    require_range("p", p, 0.0, 1.0);
    kernels::random_bernoulli<T>(key, from, p, static_cast<T>(value), numbers, n);
  });
}

espalier_status espalier_random_permutation(int64_t seed, int64_t counter, espalier_out y, int64_t* used) {
  return guarded(__func__, [&] {
    require_source(seed, counter);
    require_range("length of y", y.length, int64_t{0}, int64_t{INT32_MAX});
    int32_t* const order = elements<int32_t>("y", y, y.length);
    kernels::random_permutation(static_cast<uint64_t>(seed), static_cast<uint64_t>(counter), order, y.length);
    *used = (y.length + 1) / 2;
  });
}
