#include "kernels/embedding.h"

namespace espalier {
// Elements a thread takes at a time, in whole rows.
constexpr int64_t kEmbeddingGrain = 1 << 14;
// The gradient's rows are cut into so many pieces at most: every piece reads all indices.
constexpr int64_t kEmbeddingPieces = 32;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/embedding.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {

template <class T>
void embedding(espalier_table shape, int64_t count, const T* weight, const int32_t* indices, T* y) {
  ESPALIER_ON_ISA(embedding<T>(shape, count, weight, indices, y));
}
template void embedding(espalier_table, int64_t, const float*, const int32_t*, float*);
template void embedding(espalier_table, int64_t, const double*, const int32_t*, double*);

template <class T>
void embedding_backward(espalier_table shape, int64_t count, const T* dy, const int32_t* indices, int64_t padding,
                        T* dweight) {
  ESPALIER_ON_ISA(embedding_backward<T>(shape, count, dy, indices, padding, dweight));
}
template void embedding_backward(espalier_table, int64_t, const float*, const int32_t*, int64_t, float*);
template void embedding_backward(espalier_table, int64_t, const double*, const int32_t*, int64_t, double*);

}  // namespace espalier::kernels
