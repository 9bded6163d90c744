#include "core/array.h"

namespace espalier {

const char* dtype_name(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT32: return "float32";
    case ESPALIER_FLOAT64: return "float64";
    case ESPALIER_INT32: return "int32";
    case ESPALIER_INT16: return "int16";
    case ESPALIER_INT8: return "int8";
    case ESPALIER_UINT8: return "uint8";
    case ESPALIER_FLOAT16: return "float16";
    case ESPALIER_BFLOAT16: return "bfloat16";
  }
  return "of an unknown type";
}

namespace {
int64_t product(const char* what, const int64_t* dims, int64_t rank) {
  constexpr int64_t kLimit = int64_t{1} << 53;
  int64_t result = 1;
  for (int64_t i = 0; i < rank; ++i) {
    if (dims[i] < 0)
      fail(ESPALIER_INVALID_ARGUMENT, "%s: dimension %lld is negative", what, static_cast<long long>(dims[i]));
    if (__builtin_mul_overflow(result, dims[i], &result) || result > kLimit)
      fail(ESPALIER_INVALID_ARGUMENT, "%s: too large", what);
  }
  return result;
}
}  // namespace

int64_t checked_product(const char* what, std::initializer_list<int64_t> dims) {
  return product(what, dims.begin(), static_cast<int64_t>(dims.size()));
}

int64_t checked_product(const char* what, espalier_dims dims) {
  if (dims.rank < 0 || (dims.rank > 0 && dims.data == nullptr)) fail(ESPALIER_INVALID_ARGUMENT, "%s is missing", what);
  return product(what, dims.data, dims.rank);
}

void require_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value < low || value > high)
    fail(ESPALIER_INVALID_ARGUMENT, "%s is %lld, expected %lld to %lld", name, static_cast<long long>(value),
         static_cast<long long>(low), static_cast<long long>(high));
}

void require_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail(ESPALIER_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, value, low, high);
}

}  // namespace espalier
