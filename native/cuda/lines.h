// Lines of an array by number: reading them, and adding to them.
#pragma once

#include <cstdint>

#include "core/array.h"

namespace espalier::cuda {

// y [outer, count, line] = the lines of x [outer, n, line] that `indices` name; lines in bytes. An index
// outside [0, n) is a fault of `function`.
void take_lines(const char* function, int64_t outer, int64_t n, int64_t line_bytes, const void* x,
                const int32_t* indices, int64_t count, void* y);

// y [outer, n, inner] = for each line the sum, in their order, of the lines of x [outer, count, inner] whose
// index names it; 0 for line `skipped` (−1: none). T is float, double or a 16-bit type, then summed in float.
template <class T>
void add_lines(const char* function, int64_t outer, int64_t n, int64_t inner, const T* x, const int32_t* indices,
               int64_t count, int64_t skipped, T* y);

}  // namespace espalier::cuda
