// Descriptions of matrices in device memory for the copy engine of compute capability 9.0 and later.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "espalier/types.h"

namespace espalier::cuda {

enum class Swizzle { kNone, k64, k128 };

// A row-major matrix of `rows` × `columns` whose rows start `ld` elements apart, read or written in boxes of
// box_rows × box_columns; a box past the edge is read as zero there. Fails for what the engine cannot do: see
// `tensor_mappable`. A row of a box is no longer than the bytes it is swizzled by.
CUtensorMap tensor_map(const void* data, espalier_dtype dtype, int64_t rows, int64_t columns, int64_t ld,
                       int64_t box_rows, int64_t box_columns, Swizzle swizzle = Swizzle::k128);
// Whether the engine can read a matrix: the address and a row's bytes are multiples of 16, no side is 0 or of
// 2^31 and more.
bool tensor_mappable(const void* data, espalier_dtype dtype, int64_t rows, int64_t columns, int64_t ld);

}  // namespace espalier::cuda
