// Rows of a table by number.
#pragma once

#include "espalier/embedding.h"

namespace espalier::kernels {

// Indices are in range. Copies rows; adds rows.
template <class T>
void embedding(espalier_table shape, int64_t count, const T* weight, const int32_t* indices, T* y);
template <class T>
void embedding_backward(espalier_table shape, int64_t count, const T* dy, const int32_t* indices, int64_t padding,
                        T* dweight);

}  // namespace espalier::kernels
