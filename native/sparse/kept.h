// What a mask keeps of an array, moved to and from where it stands alone.
#pragma once

#include <cstdint>

namespace espalier::sparse {

// values[i] = weight[index[i]], and back. The index ascends.
template <class T>
void gather_kept(const T* weight, const int32_t* index, int64_t count, T* values);
template <class T>
void scatter_kept(const T* values, const int32_t* index, int64_t count, T* weight);

// Whether the mask is 1 where `kept` is, and 0 where it is 0.
template <class T>
bool keeps_same(const T* mask, const uint8_t* kept, int64_t n);

// The first i whose index is negative, at least `n`, or no more than the one before; `count` where there is none.
int64_t first_out_of_order(const int32_t* index, int64_t count, int64_t n);

}  // namespace espalier::sparse
