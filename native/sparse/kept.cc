#include "sparse/kept.h"

#include <algorithm>
#include <atomic>

#include "core/parallel.h"

#define ESPALIER_KERNEL "sparse/kept.inl"
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Entries a thread takes at a time.
constexpr int64_t kGrain = 1 << 16;

}  // namespace

template <class T>
void gather_kept(const T* weight, const int32_t* index, int64_t count, T* values) {
  parallel_ranges(count, kGrain, [=](int64_t begin, int64_t end) {
    ESPALIER_ON_ISA(gather_kept<T>(weight, index + begin, end - begin, values + begin));
  });
}
template void gather_kept(const float*, const int32_t*, int64_t, float*);
template void gather_kept(const double*, const int32_t*, int64_t, double*);

template <class T>
void scatter_kept(const T* values, const int32_t* index, int64_t count, T* weight) {
  parallel_ranges(count, kGrain, [=](int64_t begin, int64_t end) {
    ESPALIER_ON_ISA(scatter_kept<T>(values + begin, index + begin, end - begin, weight));
  });
}
template void scatter_kept(const float*, const int32_t*, int64_t, float*);
template void scatter_kept(const double*, const int32_t*, int64_t, double*);

template <class T>
bool keeps_same(const T* mask, const uint8_t* kept, int64_t n) {
  std::atomic<bool> same{true};
  parallel_ranges(n, kGrain, [&](int64_t begin, int64_t end) {
    char other = 0;
    ESPALIER_ON_ISA(differs<T>(mask + begin, kept + begin, end - begin, &other));
    if (other) same.store(false, std::memory_order_relaxed);
  });
  return same;
}
template bool keeps_same(const float*, const uint8_t*, int64_t);
template bool keeps_same(const double*, const uint8_t*, int64_t);

int64_t first_out_of_order(const int32_t* index, int64_t count, int64_t n) {
  const auto wrong = [=](int64_t i) { return index[i] >= n || index[i] <= (i == 0 ? -1 : index[i - 1]); };
  // Without a branch first: all are checked in every call, and none is wrong.
  bool any = count > 0 && (wrong(0) || wrong(count - 1));
  for (int64_t i = 1; i < count; ++i) any |= index[i] <= index[i - 1];
  if (!any) return count;
  int64_t i = 0;
  while (!wrong(i)) ++i;
  return i;
}

}  // namespace espalier::sparse
