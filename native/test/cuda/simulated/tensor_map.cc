// The driver's function that describes matrices for the copy engine; it refuses what the driver's refuses.
#include <cstring>

#include "cudaTypedefs.h"
#include "cuda_runtime.h"

namespace {

uint32_t bytes_of(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8: return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return 2;
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT64: return 8;
    default: return 4;
  }
}

CUresult encode(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank, void* data, const cuuint64_t* sizes,
                const cuuint64_t* strides, const cuuint32_t* box, const cuuint32_t* steps, CUtensorMapInterleave,
                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  if (rank != 2) return CUDA_ERROR_INVALID_VALUE;  // others are nowhere used
  const uint32_t element = bytes_of(type);
  const uint32_t span = swizzle == CU_TENSOR_MAP_SWIZZLE_128B ? 128 : swizzle == CU_TENSOR_MAP_SWIZZLE_64B ? 64 : 0;
  if (reinterpret_cast<uintptr_t>(map) % 64 != 0 || data == nullptr || reinterpret_cast<uintptr_t>(data) % 16 != 0)
    return CUDA_ERROR_INVALID_VALUE;
  for (int i = 0; i < 2; ++i)
    if (sizes[i] == 0 || sizes[i] > uint64_t{1} << 32 || box[i] == 0 || box[i] > 256 || steps[i] != 1)
      return CUDA_ERROR_INVALID_VALUE;
  if (strides[0] % 16 != 0 || strides[0] >= uint64_t{1} << 40 || strides[0] < sizes[0] * element)
    return CUDA_ERROR_INVALID_VALUE;
  if (box[0] * element % 16 != 0 || (span != 0 && box[0] * element > span)) return CUDA_ERROR_INVALID_VALUE;
  *map = {static_cast<const unsigned char*>(data), sizes[0], sizes[1], strides[0], box[0], box[1], element, span};
  return CUDA_SUCCESS;
}

}  // namespace

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool known = std::strcmp(name, "cuTensorMapEncodeTiled") == 0;
  const PFN_cuTensorMapEncodeTiled_v12000 found = encode;
  *function = known ? reinterpret_cast<void*>(found) : nullptr;
  *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
