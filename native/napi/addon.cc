// The Node addon for the CPU: every function of espalier.h under its JavaScript name, on typed arrays.
#include "napi/async.h"
#include "napi/marshal.h"

namespace espalier::napi {

#define ESPALIER_OPERATION(name, js)
#define ESPALIER_ENUMERATION(name, count) \
  template <>                             \
  inline constexpr int64_t kEnumerators<espalier_##name> = count;
#include "napi/operations.inc"
#undef ESPALIER_OPERATION
#undef ESPALIER_ENUMERATION

espalier_out array(Arguments& from, napi_value value) {
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(from.env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) {
    if (absent(from.env, value)) return {nullptr, 0, ESPALIER_FLOAT32};
    from.refuse("INVALID_ARGUMENT", "is not a typed array");
  }
  espalier_dtype dtype;
  switch (type) {
    case napi_float32_array: dtype = ESPALIER_FLOAT32; break;
    case napi_float64_array: dtype = ESPALIER_FLOAT64; break;
    case napi_int32_array: dtype = ESPALIER_INT32; break;
    case napi_int16_array: dtype = ESPALIER_INT16; break;
    case napi_int8_array: dtype = ESPALIER_INT8; break;
    case napi_uint8_array: dtype = ESPALIER_UINT8; break;
    default: from.refuse("DTYPE_MISMATCH", "is a typed array of an unsupported type");
  }
  // An array without elements has a stand-in address, so that NULL always means "absent".
  static char nothing;
  if (length == 0) data = &nothing;
  return {data, static_cast<int64_t>(length), dtype};
}

Functions functions() {
  static const napi_property_descriptor operations[] = {
#define ESPALIER_ENUMERATION(name, count)
#define ESPALIER_OPERATION(name, js) \
  {js, nullptr, entry<&espalier_##name>, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
#include "napi/operations.inc"
#undef ESPALIER_OPERATION
#undef ESPALIER_ENUMERATION
      {"programRunAsync", nullptr, program_run_async, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  return {operations, sizeof operations / sizeof operations[0]};
}

}  // namespace espalier::napi
