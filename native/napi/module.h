// What the addons share: how they are made, and how they throw.
#pragma once

#include <node_api.h>

#include <cstddef>

#include "espalier/types.h"

namespace espalier::napi {

// The functions an addon exports; each defines its own.
struct Functions {
  const napi_property_descriptor* items;
  size_t count;
};
Functions functions();

// Throws an error of the class that JavaScript has named, else a plain one.
void throw_error(napi_env env, const char* code, const char* message);
const char* code_of(espalier_status status);

}  // namespace espalier::napi
