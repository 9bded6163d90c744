#include "cuda/core/tensor_map.h"

#include <cuda_runtime.h>
#include <cudaTypedefs.h>

#include <algorithm>

#include "cuda/core/device.h"

namespace espalier::cuda {
namespace {

// The driver's function, looked up so that nothing links against the driver.
PFN_cuTensorMapEncodeTiled_v12000 encoder() {
  static const auto found = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    ESPALIER_CUDA(
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &result));
    if (result != cudaDriverEntryPointSuccess || function == nullptr)
      fail(ESPALIER_INTERNAL, "the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
  }();
  return found;
}

struct Element {
  CUtensorMapDataType type;
  int64_t bytes;
};
Element element(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return {CU_TENSOR_MAP_DATA_TYPE_FLOAT64, 8};
    case ESPALIER_FLOAT32: return {CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4};
    case ESPALIER_INT32: return {CU_TENSOR_MAP_DATA_TYPE_INT32, 4};
    case ESPALIER_FLOAT16: return {CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2};
    case ESPALIER_BFLOAT16: return {CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2};
    case ESPALIER_INT16: return {CU_TENSOR_MAP_DATA_TYPE_UINT16, 2};
    default: return {CU_TENSOR_MAP_DATA_TYPE_UINT8, 1};
  }
}

CUtensorMapSwizzle mode(Swizzle swizzle) {
  switch (swizzle) {
    case Swizzle::k64: return CU_TENSOR_MAP_SWIZZLE_64B;
    case Swizzle::k128: return CU_TENSOR_MAP_SWIZZLE_128B;
    default: return CU_TENSOR_MAP_SWIZZLE_NONE;
  }
}

CUtensorMap encode(const void* data, espalier_dtype dtype, cuuint32_t rank, const cuuint64_t* sizes,
                   const cuuint64_t* strides, const cuuint32_t* box, Swizzle swizzle) {
  CUtensorMap map;
  const cuuint32_t steps[3] = {1, 1, 1};
  const CUresult result = encoder()(&map, element(dtype).type, rank, const_cast<void*>(data), sizes, strides, box,
                                    steps, CU_TENSOR_MAP_INTERLEAVE_NONE, mode(swizzle),
                                    CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS)
    fail(ESPALIER_INTERNAL, "cuTensorMapEncodeTiled: error %d (%lld×%lld, box %u×%u)", static_cast<int>(result),
         static_cast<long long>(sizes[1]), static_cast<long long>(sizes[0]), box[1], box[0]);
  return map;
}

}  // namespace

CUtensorMap tensor_map(const void* data, espalier_dtype dtype, int64_t rows, int64_t columns, int64_t ld,
                       int64_t box_rows, int64_t box_columns, Swizzle swizzle) {
  const cuuint64_t sizes[2] = {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[1] = {static_cast<cuuint64_t>(ld * element(dtype).bytes)};
  const cuuint32_t box[2] = {static_cast<cuuint32_t>(box_columns), static_cast<cuuint32_t>(box_rows)};
  return encode(data, dtype, 2, sizes, strides, box, swizzle);
}

bool tensor_mappable(const void* data, espalier_dtype dtype, int64_t rows, int64_t columns, int64_t ld) {
  constexpr int64_t kMost = int64_t{1} << 31;
  return rows > 0 && columns > 0 && rows < kMost && columns < kMost && reinterpret_cast<uintptr_t>(data) % 16 == 0 &&
         ld * element(dtype).bytes % 16 == 0;
}

}  // namespace espalier::cuda
