// Selection within many small groups; what it computes stands in espalier/select.h.
#pragma once

#include <cstdint>

#include "kernels/select.h"

namespace espalier::kernels {

// Entries [outer, size, inner] in groups of `size`. `falling` holds a number for each group, in the
// order [outer, inner], or with `each` false one for all.
struct Groups {
  int64_t outer, size, inner;
  const int32_t* falling;
  bool each;

  int64_t falls(int64_t group) const { return falling[each ? group : 0]; }
};

// Throws Failure for NaN.
template <class T, class M>
void prune_groups(const Scored<T, M>& array, bool magnitude, const Groups& groups);

template <class M>
void count_groups(const M* mask, int64_t outer, int64_t size, int64_t inner, int32_t* counts);

}  // namespace espalier::kernels
