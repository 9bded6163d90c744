#include "napi/async.h"

#include <algorithm>
#include <memory>

#include "napi/marshal.h"

namespace espalier::napi {
namespace {

// One run under way. It owns its arrays: those of JavaScript may be detached or shrunk meanwhile, and an environment
// may end before the run does. It has a number of its own for the program, which may be disposed of.
struct Run {
  ~Run() {
    if (program != 0) espalier_program_free(program);
  }
  int64_t program = 0, batch = 0;
  std::vector<float> x, y;
  espalier_status status = ESPALIER_OK;
  std::string message;
  napi_deferred promise = nullptr;
  napi_async_work work = nullptr;
};

void execute(napi_env, void* data) {
  Run& run = *static_cast<Run*>(data);
  run.status =
      espalier_program_run(run.program, run.batch, {run.x.data(), static_cast<int64_t>(run.x.size()), ESPALIER_FLOAT32},
                           {run.y.data(), static_cast<int64_t>(run.y.size()), ESPALIER_FLOAT32});
  if (run.status != ESPALIER_OK) run.message = espalier_last_error();
}

// Plain Node-API calls, whose failures are statuses: an environment that is ending answers no call.
napi_value result(napi_env env, const Run& run) {
  void* bytes;
  napi_value buffer, made;
  const size_t size = run.y.size() * sizeof(float);
  if (napi_create_arraybuffer(env, size, &bytes, &buffer) != napi_ok) return nullptr;
  std::copy(run.y.begin(), run.y.end(), static_cast<float*>(bytes));
  if (napi_create_typedarray(env, napi_float32_array, run.y.size(), buffer, 0, &made) != napi_ok) return nullptr;
  return made;
}

void complete(napi_env env, napi_status, void* data) {
  const std::unique_ptr<Run> run(static_cast<Run*>(data));
  napi_delete_async_work(env, run->work);
  if (run->status == ESPALIER_OK) {
    if (const napi_value made = result(env, *run)) {
      napi_resolve_deferred(env, run->promise, made);
      return;
    }
    run->status = ESPALIER_OUT_OF_MEMORY;
    run->message = "programRunAsync: no memory for the result";
  }
  // The error class is known to what throws alone.
  throw_error(env, code_of(run->status), run->message.c_str());
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_reject_deferred(env, run->promise, error);
}

}  // namespace

napi_value program_run_async(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    Arguments arguments(env, info);
    auto run = std::make_unique<Run>();
    const int64_t program = whole(arguments);
    run->batch = whole(arguments);
    const espalier_out x = array(arguments, arguments.next());
    if (x.dtype != ESPALIER_FLOAT32) arguments.refuse("DTYPE_MISMATCH", "is not float32");
    int64_t in, out;
    espalier_status status = espalier_program_input_size(program, &in);
    if (status == ESPALIER_OK) status = espalier_program_output_size(program, &out);
    if (status == ESPALIER_OK) status = espalier_program_share(program, &run->program);
    if (status != ESPALIER_OK) {
      throw_error(env, code_of(status), espalier_last_error());
      return nullptr;
    }
    if (run->batch < 0 || run->batch > INT32_MAX || x.length != in * run->batch)
      arguments.refuse("SHAPE_MISMATCH", "does not hold a batch of that size");
    const float* const from = static_cast<const float*>(x.data);
    run->x.assign(from, from + x.length);
    run->y.resize(static_cast<size_t>(out * run->batch));

    napi_value name, promise;
    if (napi_create_string_utf8(env, "espalier", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_promise(env, &run->promise, &promise) != napi_ok ||
        napi_create_async_work(env, nullptr, name, execute, complete, run.get(), &run->work) != napi_ok)
      throw std::bad_alloc();
    if (napi_queue_async_work(env, run->work) != napi_ok) {
      napi_delete_async_work(env, run->work);
      throw std::bad_alloc();
    }
    run.release();
    return promise;
  });
}

}  // namespace espalier::napi
