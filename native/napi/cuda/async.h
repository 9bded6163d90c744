// Waiting for a device off the event loop.
#pragma once

#include <node_api.h>

namespace espalier::napi {

// settled(device, stream): a promise that is kept when the work of the stream is done that was queued before the call,
// and broken by what went wrong in it.
napi_value settled(napi_env env, napi_callback_info info);

}  // namespace espalier::napi
