// Dense matrix products, C = α·op(A)·op(B) + β·C, row-major, any leading dimensions.
#pragma once

#include <cstdint>

namespace espalier::kernels {

// What is done to a finished element of C: plus a bias of its row (m values) or column (n values),
// then max(·, 0).
template <class T>
struct GemmEpilogue {
  const T* row_bias = nullptr;
  const T* column_bias = nullptr;
  bool relu = false;
};

// op(A) is m×k, stored m×k, or k×m where transposed; op(B) is k×n, stored k×n, or n×k where
// transposed; lda, ldb, ldc are the distances between stored rows. With β = 0, C is not read; with
// α = 0 or k = 0, A and B are not. C must not overlap A or B.
template <class T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda,
          const T* b, int64_t ldb, T beta, T* c, int64_t ldc, const GemmEpilogue<T>& epilogue = {});

// op(B) laid out as the kernels of the instruction set in use read it, for many products with one B.
// The buffer is a plain array of gemm_pack_size elements, or -1 where that exceeds 2^53; it begins
// with a header that says what it holds.
template <class T>
int64_t gemm_pack_size(int64_t n, int64_t k);
template <class T>
void gemm_pack(bool transpose_b, int64_t n, int64_t k, const T* b, int64_t ldb, T* packed);
// Whether `packed`, of gemm_pack_size elements, begins as gemm_pack wrote it for these sizes here.
template <class T>
bool gemm_is_packed(int64_t n, int64_t k, const T* packed);
template <class T>
void gemm_packed(bool transpose_a, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* packed,
                 T beta, T* c, int64_t ldc, const GemmEpilogue<T>& epilogue = {});

}  // namespace espalier::kernels
