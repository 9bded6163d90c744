#include "core/failure.h"

#include <cstdio>
#include <cstring>

namespace espalier {
namespace {
thread_local char g_last_error[320] = "";
}

Failure::Failure(espalier_status status, const char* format, va_list arguments) : status_(status) {
  std::vsnprintf(message_, sizeof message_, format, arguments);
}

void fail(espalier_status status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  Failure failure(status, format, arguments);
  va_end(arguments);
  throw failure;
}

void remember_error(const char* function, const char* message) {
  // Named as its callers in other languages know it, without the prefix of the C interface.
  constexpr char kPrefix[] = "espalier_";
  if (std::strncmp(function, kPrefix, sizeof kPrefix - 1) == 0) function += sizeof kPrefix - 1;
  std::snprintf(g_last_error, sizeof g_last_error, "%s: %s", function, message);
}

const char* last_error() { return g_last_error; }

}  // namespace espalier
