// The Node addon: every function of the C interface under its JavaScript name.
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
    const napi_property_attributes enumerable = napi_enumerable;
    const napi_property_descriptor operations[] = {
#define ESPALIER_OPERATION(name, js) \
  {js, nullptr, entry<&espalier_##name>, nullptr, nullptr, nullptr, enumerable, nullptr},
#include "napi/operations.inc"
#undef ESPALIER_OPERATION
        {"useErrorClass", nullptr, use_error_class, nullptr, nullptr, nullptr, enumerable, nullptr},
    };
    napi_define_properties(env, exports, sizeof operations / sizeof operations[0], operations);
  }

  // The constructor (code, message) of what a failed call throws.
  Napi::FunctionReference error_class;

 private:
  static napi_value use_error_class(napi_env raw, napi_callback_info info) {
    const Napi::CallbackInfo call(raw, info);
    if (call.Length() != 1 || !call[0].IsFunction()) {
      throw_error(raw, "INVALID_ARGUMENT", "useErrorClass: argument 1 is not a constructor");
      return nullptr;
    }
    Napi::Env(raw).GetInstanceData<EspalierAddon>()->error_class = Napi::Persistent(call[0].As<Napi::Function>());
    return nullptr;
  }
};

}  // namespace

void throw_error(napi_env env, const char* code, const char* message) {
  const auto* addon = Napi::Env(env).GetInstanceData<EspalierAddon>();
  if (addon == nullptr || addon->error_class.IsEmpty()) {
    napi_throw_error(env, code, message);
    return;
  }
  const napi_value arguments[] = {Napi::String::New(env, code), Napi::String::New(env, message)};
  napi_value error;
  if (napi_new_instance(env, addon->error_class.Value(), 2, arguments, &error) == napi_ok) napi_throw(env, error);
}

NODE_API_ADDON(EspalierAddon)

}  // namespace espalier::napi
