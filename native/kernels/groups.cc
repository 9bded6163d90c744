#include "kernels/groups.h"

#include <algorithm>
#include <limits>

namespace espalier {

// The longest group whose entries are compared each with each.
constexpr int64_t kLongestShort = 32;

}  // namespace espalier

#define ESPALIER_KERNEL "kernels/groups.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

// Entries a thread takes at a time.
constexpr int64_t kGroupGrain = 1 << 14;

// Groups of any length, one by one. Where their entries do not lie together they are brought together first.
template <class T, class M>
void prune_long(const Scored<T, M>& array, bool magnitude, const Groups& groups, int64_t outer) {
  const auto [_, size, inner, falling, each] = groups;
  T* const values = scratch<T>(Scratch::kPartial, size + kSelectSlack);
  T* const spare = scratch<T>(Scratch::kOther, size + kSelectSlack);
  const int64_t begin = outer * size * inner;
  if (inner == 1) {
    const M* const mask = array.mask == nullptr ? nullptr : array.mask + begin;
    prune_row(Scored<T, M>{array.score + begin, mask, array.result + begin, size}, magnitude, groups.falls(outer),
              values, spare);
    return;
  }
  T* const scores = scratch<T>(Scratch::kColumns, size);
  M* const masks = scratch<M>(Scratch::kIndex, size);
  for (int64_t n = 0; n < inner; ++n) {
    for (int64_t i = 0; i < size; ++i) {
      scores[i] = array.score[begin + i * inner + n];
      masks[i] = array.mask == nullptr ? M{1} : array.mask[begin + i * inner + n];
    }
    prune_row(Scored<T, M>{scores, masks, masks, size}, magnitude, groups.falls(outer * inner + n), values, spare);
    for (int64_t i = 0; i < size; ++i) array.result[begin + i * inner + n] = masks[i];
  }
}

// There must be no NaN.
template <class T, class M>
void prune_piece(const Scored<T, M>& array, bool magnitude, const Groups& groups) {
  bool done = false;
  if (groups.size <= kLongestShort) ESPALIER_ON_ISA(prune_short<T, M>(array, magnitude, groups, &done));
  if (done) return;
  for (int64_t outer = 0; outer < groups.outer; ++outer) prune_long(array, magnitude, groups, outer);
}

}  // namespace

template <class T, class M>
void prune_groups(const Scored<T, M>& array, bool magnitude, const Groups& groups) {
  const int64_t entries = groups.size * groups.inner, grain = std::max<int64_t>(1, kGroupGrain / entries);
  // For its check: nothing is written where there is a NaN.
  count_at_most(array, magnitude, std::numeric_limits<double>::infinity(), false);
  parallel_ranges(groups.outer, grain, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * entries, n = (end - begin) * entries;
    const M* const mask = array.mask == nullptr ? nullptr : array.mask + first;
    // (Stores past the caches were slower, at 10 M entries too.)
    const Scored<T, M> piece{array.score + first, mask, array.result + first, n};
    const int32_t* const falling = groups.each ? groups.falling + begin * groups.inner : groups.falling;
    prune_piece(piece, magnitude, {end - begin, groups.size, groups.inner, falling, groups.each});
  });
}
template void prune_groups(const Scored<float, float>&, bool, const Groups&);
template void prune_groups(const Scored<float, uint8_t>&, bool, const Groups&);
template void prune_groups(const Scored<double, double>&, bool, const Groups&);
template void prune_groups(const Scored<double, uint8_t>&, bool, const Groups&);

template <class M>
void count_groups(const M* mask, int64_t outer, int64_t size, int64_t inner, int32_t* counts) {
  std::fill_n(counts, outer * inner, 0);
  parallel_ranges(outer, std::max<int64_t>(1, kGroupGrain / std::max<int64_t>(1, size * inner)),
                  [&](int64_t begin, int64_t end) {
                    for (int64_t o = begin; o < end; ++o)
                      ESPALIER_ON_ISA(count_rows<M>(mask + o * size * inner, size, inner, counts + o * inner));
                  });
}
template void count_groups(const float*, int64_t, int64_t, int64_t, int32_t*);
template void count_groups(const double*, int64_t, int64_t, int64_t, int32_t*);
template void count_groups(const uint8_t*, int64_t, int64_t, int64_t, int32_t*);

}  // namespace espalier::kernels
