// Dense products of half and bfloat16 on Hopper.
#include <atomic>

#include "cuda/gemm_ring.cuh"

namespace espalier::cuda {

CUtensorMap tensor_map(espalier_dtype dtype, const void* data, int64_t rows, int64_t columns, int64_t ld, int box_rows,
                       int box_columns) {
  using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                              const cuuint64_t*, const cuuint32_t*, const cuuint32_t*, CUtensorMapInterleave,
                              CUtensorMapSwizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill);
  static const Encode encode = [] {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result;
    ESPALIER_CUDA(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &result));
    if (result != cudaDriverEntryPointSuccess) fail(ESPALIER_INTERNAL, "the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<Encode>(found);
  }();
  const int size = dtype == ESPALIER_INT8 ? 1 : 2;
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(ld * size)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[2] = {1, 1};
  CUtensorMap map;
  const CUresult error = encode(&map,
                                dtype == ESPALIER_INT8      ? CU_TENSOR_MAP_DATA_TYPE_UINT8
                                : dtype == ESPALIER_FLOAT16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                            : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                                2, const_cast<void*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                box_columns * size == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B,
                                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (error != CUDA_SUCCESS)
    fail(ESPALIER_INTERNAL, "cuTensorMapEncodeTiled: error %d for %lld rows of %lld, %lld apart",
         static_cast<int>(error), static_cast<long long>(rows), static_cast<long long>(columns),
         static_cast<long long>(ld));
  return map;
}

namespace {

std::atomic<bool> g_enabled{true};

struct Nowhere {
  __device__ Nowhere(const Places&, int64_t, int) {}
  __device__ void advance(int) {}
};

template <class T, int kConsumersOfTile, int kColumnsOfTile, bool kTA, bool kTB>
struct Dense {
  using Element = T;
  using Sum = float;
  using Where = Nowhere;
  static constexpr int kConsumers = kConsumersOfTile, kN = kColumnsOfTile, kK = 64, kRowA = 128;
  static constexpr bool kTransposeA = kTA, kTransposeB = kTB, kUnderWay = true;

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  static __device__ __forceinline__ void multiply(float (&sum)[kN / 2], uint32_t a, uint32_t b, bool add, Nowhere) {
#pragma unroll
    for (int k = 0; k < kK; k += 16) {
      // Along rows of 128 bytes 16 steps of K are 32 bytes; down the columns they are 16 rows.
      const uint64_t left = kTA ? operand(a + k * 128, 128, 8192, 1024) : operand(a + k * 2, 128, 16, 1024);
      const uint64_t right = kTB ? operand(b + k * 2, 128, 16, 1024) : operand(b + k * 128, 128, 8192, 1024);
      wgmma<T, kTA, !kTB>(sum, left, right, add || k > 0);
    }
  }
#endif
};

template <class T, class C, int kConsumers, int kN, int kCluster, bool kTA, bool kTB>
void run(const Product<T, C>& p) {
  constexpr espalier_dtype dtype = dtype_of<T>();
  const CUtensorMap a = kTA ? tensor_map(dtype, p.a, p.k, p.m, p.lda, 64, 64)
                            : tensor_map(dtype, p.a, p.m, p.k, p.lda, 64 * kConsumers, 64);
  const CUtensorMap b = kTB ? tensor_map(dtype, p.b, p.n, p.k, p.ldb, kN / kCluster, 64)
                            : tensor_map(dtype, p.b, p.k, p.n, p.ldb, 64, 64);
  const Target<C, false> to{p.c, p.m, p.n, p.ldc,
                            reinterpret_cast<uintptr_t>(p.c) % 16 == 0 && p.ldc * sizeof(C) % 16 == 0};
  launch_ring<Dense<T, kConsumers, kN, kTA, kTB>, kCluster>(a, b, to, p.k, p.finish, {}, "gemm_wgmma");
}

template <class T, class C, int kConsumers, int kN, int kCluster>
void by_transposes(const Product<T, C>& p) {
  if (p.transpose_a)
    return p.transpose_b ? run<T, C, kConsumers, kN, kCluster, true, true>(p)
                         : run<T, C, kConsumers, kN, kCluster, true, false>(p);
  p.transpose_b ? run<T, C, kConsumers, kN, kCluster, false, true>(p)
                : run<T, C, kConsumers, kN, kCluster, false, false>(p);
}

}  // namespace

bool wgmma_enabled() { return g_enabled.load(std::memory_order_relaxed); }
void enable_wgmma(bool on) { g_enabled.store(on, std::memory_order_relaxed); }

template <class T, class C>
bool gemm_wgmma_takes(const Product<T, C>& p) {
  if (!wgmma_enabled() || traits().capability != 90 || p.kept.count != 1 || p.added.count != 1) return false;
  // The copy engine wants rows that start at multiples of 16 bytes, and sizes that fit 31 bits.
  if (reinterpret_cast<uintptr_t>(p.a) % 16 != 0 || reinterpret_cast<uintptr_t>(p.b) % 16 != 0) return false;
  if (p.lda % 8 != 0 || p.ldb % 8 != 0 || std::max({p.m, p.n, p.k}) > INT32_MAX / 2) return false;
  return p.k >= 256 && tiles_of(p.m, 128) * tiles_of(p.n, 256) >= traits().multiprocessors / 2;
}

template <class T, class C>
void gemm_wgmma(const Product<T, C>& p) {
  by_transposes<T, C, 2, 256, 2>(p);
}

#define ESPALIER_INSTANCE(T, C)                         \
  template bool gemm_wgmma_takes(const Product<T, C>&); \
  template void gemm_wgmma(const Product<T, C>&);
ESPALIER_INSTANCE(__half, __half)
ESPALIER_INSTANCE(__half, float)
ESPALIER_INSTANCE(__nv_bfloat16, __nv_bfloat16)
ESPALIER_INSTANCE(__nv_bfloat16, float)

}  // namespace espalier::cuda
