#include "cuda/blas.h"

#include <dlfcn.h>
#include <library_types.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <utility>

namespace espalier::cuda {
namespace {

// The few functions and numbers of cuBLAS's interface that are used here, as its manual gives them.
using Handle = void*;
constexpr int kNoTranspose = 0, kTranspose = 1;
constexpr int kCompute32f = 68, kCompute64f = 70, kComputeTf32 = 77, kDefaultAlgorithm = -1, kNotSupported = 15;
struct Library {
  int (*create)(Handle*) = nullptr;
  int (*set_stream)(Handle, cudaStream_t) = nullptr;
  int (*gemm)(Handle, int transpose_a, int transpose_b, int m, int n, int k, const void* alpha, const void* a,
              cudaDataType type_a, int lda, const void* b, cudaDataType type_b, int ldb, const void* beta, void* c,
              cudaDataType type_c, int ldc, int compute, int algorithm) = nullptr;
};

std::atomic<bool> g_enabled{true};

const Library* library() {
  static const Library* const found = []() -> const Library* {
    const char* const wanted = std::getenv("ESPALIER_CUBLAS");
    if (wanted != nullptr && std::strcmp(wanted, "off") == 0) return nullptr;
    void* file = nullptr;
    if (wanted != nullptr && wanted[0] != 0) file = dlopen(wanted, RTLD_NOW | RTLD_LOCAL);
    else
      for (const char* const name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
        if (file == nullptr) file = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (file == nullptr) return nullptr;
    static Library made;
    made.create = reinterpret_cast<decltype(made.create)>(dlsym(file, "cublasCreate_v2"));
    made.set_stream = reinterpret_cast<decltype(made.set_stream)>(dlsym(file, "cublasSetStream_v2"));
    made.gemm = reinterpret_cast<decltype(made.gemm)>(dlsym(file, "cublasGemmEx"));
    return made.create && made.set_stream && made.gemm ? &made : nullptr;
  }();
  return found;
}

// One handle for each device, thread and stream: a handle has working memory, which two streams must not share.
Handle handle() {
  thread_local std::map<std::pair<int, cudaStream_t>, Handle> handles;
  int device = 0;
  ESPALIER_CUDA(cudaGetDevice(&device));
  const cudaStream_t current = stream();
  Handle& found = handles[{device, current}];
  if (found != nullptr) return found;
  Handle made = nullptr;
  if (library()->create(&made) != 0) fail(ESPALIER_INTERNAL, "cuBLAS cannot start on device %d", device);
  if (library()->set_stream(made, current) != 0) fail(ESPALIER_INTERNAL, "cuBLAS refuses the stream");
  return found = made;
}

cudaDataType type_of(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT16: return CUDA_R_16F;
    case ESPALIER_BFLOAT16: return CUDA_R_16BF;
    case ESPALIER_FLOAT64: return CUDA_R_64F;
    default: return CUDA_R_32F;
  }
}

}  // namespace

bool blas_found() { return g_enabled.load(std::memory_order_relaxed) && library() != nullptr; }
void enable_blas(bool on) { g_enabled.store(on, std::memory_order_relaxed); }

bool blas_product(espalier_dtype dtype, bool tf32, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                  double alpha, const void* a, int64_t lda, const void* b, int64_t ldb, double beta, void* c,
                  int64_t ldc) {
  if (library() == nullptr || std::max({m, n, k, lda, ldb, ldc}) > INT32_MAX) return false;
  const bool wide = dtype == ESPALIER_FLOAT64;
  const float alpha32 = static_cast<float>(alpha), beta32 = static_cast<float>(beta);
  const void* const factor = wide ? static_cast<const void*>(&alpha) : &alpha32;
  const void* const kept = wide ? static_cast<const void*>(&beta) : &beta32;
  const cudaDataType type = type_of(dtype);
  // cuBLAS counts by columns: its C is the transpose of ours, Cᵀ = op(B)ᵀ·op(A)ᵀ.
  const int status =
      library()->gemm(handle(), transpose_b ? kTranspose : kNoTranspose, transpose_a ? kTranspose : kNoTranspose,
                      static_cast<int>(n), static_cast<int>(m), static_cast<int>(k), factor, b, type,
                      static_cast<int>(ldb), a, type, static_cast<int>(lda), kept, c, type, static_cast<int>(ldc),
                      wide   ? kCompute64f
                      : tf32 ? kComputeTf32
                             : kCompute32f,
                      kDefaultAlgorithm);
  if (status == kNotSupported) return false;
  if (status != 0) fail(ESPALIER_INTERNAL, "cuBLAS: status %d", status);
  return true;
}

}  // namespace espalier::cuda
