#include "espalier/runtime.h"

#include "core/array.h"
#include "core/parallel.h"
#include "simd/isa.h"

using namespace espalier;

const char* espalier_last_error(void) { return last_error(); }

espalier_status espalier_isa(const char** name) {
  return guarded(__func__, [&] { *name = isa_name(isa()); });
}

espalier_status espalier_isas(const char** names) {
  return guarded(__func__, [&] { *names = runnable_isas(); });
}

espalier_status espalier_threads(int64_t* count) {
  return guarded(__func__, [&] { *count = threads(); });
}

espalier_status espalier_set_threads(int64_t count) {
  return guarded(__func__, [&] {
    require_range("count", count, 1, 256);
    set_threads(count);
  });
}

espalier_status espalier_misalignment(espalier_in array, int64_t* bytes) {
  return guarded(__func__, [&] { *bytes = static_cast<int64_t>(reinterpret_cast<uintptr_t>(array.data) % 64); });
}
