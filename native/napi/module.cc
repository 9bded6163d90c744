#include "napi/module.h"

#include "napi/marshal.h"

namespace espalier::napi {

const char* code_of(espalier_status status) {
  switch (status) {
    case ESPALIER_INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case ESPALIER_SHAPE_MISMATCH: return "SHAPE_MISMATCH";
    case ESPALIER_DTYPE_MISMATCH: return "DTYPE_MISMATCH";
    case ESPALIER_OUT_OF_MEMORY: return "OUT_OF_MEMORY";
    default: return "INTERNAL";
  }
}

namespace {

// One per environment: a process may load the addon in many workers.
class EspalierAddon : public Napi::Addon<EspalierAddon> {
 public:
  EspalierAddon(Napi::Env env, Napi::Object exports) {
    const Functions own = functions();
    napi_define_properties(env, exports, own.count, own.items);
    const napi_property_descriptor shared = {"useErrorClass", nullptr, use_error_class, nullptr,
                                             nullptr,         nullptr, napi_enumerable, nullptr};
    napi_define_properties(env, exports, 1, &shared);
  }

  // The constructor (code, message) of what a failed call throws.
  Napi::FunctionReference error_class;

 private:
  static napi_value use_error_class(napi_env raw, napi_callback_info info) {
    Arguments arguments(raw, info);
    napi_valuetype kind = napi_undefined;
    if (arguments.count == 1) napi_typeof(raw, arguments.values[0], &kind);
    if (kind != napi_function) throw_error(raw, "INVALID_ARGUMENT", "useErrorClass: argument 1 is not a constructor");
    else
      Napi::Env(raw).GetInstanceData<EspalierAddon>()->error_class =
          Napi::Persistent(Napi::Function(raw, arguments.values[0]));
    return nullptr;
  }
};

}  // namespace

// Plain Node-API calls, whose failures are statuses: this runs while something has gone wrong already,
// and nothing may be thrown in C++ from here.
void throw_error(napi_env env, const char* code, const char* message) {
  // What JavaScript threw while an argument was read (a getter) gives way to our own error.
  bool pending = false;
  napi_value thrown;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending) napi_get_and_clear_last_exception(env, &thrown);
  void* instance = nullptr;
  napi_get_instance_data(env, &instance);
  const auto* addon = static_cast<EspalierAddon*>(instance);
  napi_value made = nullptr, arguments[2], error;
  if (addon != nullptr && !addon->error_class.IsEmpty()) napi_get_reference_value(env, addon->error_class, &made);
  if (made != nullptr && napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &arguments[0]) == napi_ok &&
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[1]) == napi_ok &&
      napi_new_instance(env, made, 2, arguments, &error) == napi_ok)
    napi_throw(env, error);
  else napi_throw_error(env, code, message);
}

NODE_API_ADDON(EspalierAddon)

}  // namespace espalier::napi
