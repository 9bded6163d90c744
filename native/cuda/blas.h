// cuBLAS, where the machine has it: looked up when first asked for, never linked.
#pragma once

#include "cuda/core/device.h"

namespace espalier::cuda {

// Whether cuBLAS is there and wanted. ESPALIER_CUBLAS names the library's file, "off" keeps it out;
// enable_blas(false) as well, so that a check meets the kernels here.
bool blas_found();
void enable_blas(bool on);

// A plain product C = α·op(A)·op(B) + β·C of row-major matrices by cuBLAS. Elements are half,
// bfloat16, double or float (exact, or rounded to tf32), C's the same. False where there is no
// cuBLAS, or it does not take the sizes: then nothing is done.
bool blas_product(espalier_dtype dtype, bool tf32, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                  double alpha, const void* a, int64_t lda, const void* b, int64_t ldb, double beta, void* c,
                  int64_t ldc);

}  // namespace espalier::cuda
