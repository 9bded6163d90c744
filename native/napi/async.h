// Functions that run off the event loop and give a promise.
#pragma once

#include <node_api.h>

namespace espalier::napi {

// programRunAsync(program, batch, x): what espalier_program_run writes, as a new Float32Array. x is copied before
// the call returns.
napi_value program_run_async(napi_env env, napi_callback_info info);

}  // namespace espalier::napi
