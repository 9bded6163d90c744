#include "napi/cuda/async.h"

#include <memory>

#include "espalier_cuda.h"
#include "napi/marshal.h"

namespace espalier::napi {
namespace {

struct Wait {
  int64_t device = 0, stream = 0;
  espalier_status status = ESPALIER_OK;
  std::string message;
  napi_deferred promise = nullptr;
  napi_async_work work = nullptr;
};

// On a thread of the pool's, which has a current device and stream of its own.
void execute(napi_env, void* data) {
  Wait& wait = *static_cast<Wait*>(data);
  wait.status = espalier_cuda_set_device(wait.device);
  if (wait.status == ESPALIER_OK) wait.status = espalier_cuda_set_stream(wait.stream);
  if (wait.status == ESPALIER_OK) wait.status = espalier_cuda_synchronize();
  if (wait.status != ESPALIER_OK) wait.message = espalier_last_error();
  espalier_cuda_set_stream(0);
}

// Plain Node-API calls, whose failures are statuses: an environment that is ending answers no call.
void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Wait> wait(static_cast<Wait*>(data));
  napi_delete_async_work(env, wait->work);
  napi_value value;
  if (wait->status == ESPALIER_OK) {
    if (napi_get_undefined(env, &value) == napi_ok) napi_resolve_deferred(env, wait->promise, value);
    return;
  }
  // The error class is known to what throws alone.
  throw_error(env, code_of(wait->status), wait->message.c_str());
  if (napi_get_and_clear_last_exception(env, &value) == napi_ok) napi_reject_deferred(env, wait->promise, value);
}

}  // namespace

napi_value settled(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments arguments(env, info);
    auto wait = std::make_unique<Wait>();
    wait->device = whole(arguments);
    wait->stream = whole(arguments);
    napi_value name, promise;
    if (napi_create_string_utf8(env, "espalier", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_promise(env, &wait->promise, &promise) != napi_ok ||
        napi_create_async_work(env, nullptr, name, execute, complete, wait.get(), &wait->work) != napi_ok)
      throw std::bad_alloc();
    if (napi_queue_async_work(env, wait->work) != napi_ok) {
      napi_delete_async_work(env, wait->work);
      throw std::bad_alloc();
    }
    wait.release();
    return promise;
  });
}

}  // namespace espalier::napi
