#include "simd/isa.h"

#include <cstdlib>
#include <cstring>
#include <string>

#include "core/failure.h"

#if ESPALIER_X86
#include <cpuid.h>
#endif

namespace espalier {
namespace {

constexpr const char* kNames[] = {
#define ESPALIER_ISA_STRING(name) #name,
    ESPALIER_ISAS(ESPALIER_ISA_STRING)
#undef ESPALIER_ISA_STRING
};
constexpr int kCount = sizeof kNames / sizeof kNames[0];

bool runs(Isa isa) {
  switch (isa) {
    case Isa::baseline: return true;
#if ESPALIER_X86
    case Isa::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Isa::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512vnni");
#endif
  }
  return false;
}

// -1 for a forced instruction set that cannot be had.
int choose() {
  const char* forced = std::getenv("ESPALIER_ISA");
  for (int i = kCount - 1; i >= 0; --i) {
    if (!runs(static_cast<Isa>(i))) continue;
    if (forced == nullptr || *forced == '\0' || std::strcmp(forced, kNames[i]) == 0) return i;
  }
  return -1;
}

Core core_of_processor() {
#if ESPALIER_X86
  unsigned a = 0, b = 0, c = 0, d = 0;
  // "AuthenticAMD", by its first four letters; families and models as AMD's manuals compose them.
  if (!__get_cpuid(0, &a, &b, &c, &d) || b != 0x68747541) return Core::common;
  __get_cpuid(1, &a, &b, &c, &d);
  const unsigned family = (a >> 8 & 0xF) + (a >> 20 & 0xFF), model = (a >> 4 & 0xF) | (a >> 12 & 0xF0);
  // (Models 20 to 2F and 60 to 6F, for notebooks, halve each 512-bit instruction.)
  if (family == 0x1A && model >> 4 != 2 && model >> 4 != 6) return Core::zen5;
#endif
  return Core::common;
}

}  // namespace

Core core() {
  static const char* const forced = std::getenv("ESPALIER_CORE");
  static const Core found = core_of_processor();
  if (forced == nullptr || *forced == '\0') return found;
  if (std::strcmp(forced, "common") == 0) return Core::common;
  if (std::strcmp(forced, "zen5") == 0) return Core::zen5;
  fail(ESPALIER_INVALID_ARGUMENT, "ESPALIER_CORE is \"%s\", expected common or zen5", forced);
}

bool is_avx2() {
#if ESPALIER_X86
  return isa() == Isa::avx2;
#else
  return false;
#endif
}

bool looks_up_bytes() {
#if ESPALIER_X86
  static const bool found = __builtin_cpu_supports("avx512vbmi") != 0;
  return found;
#else
  return false;
#endif
}

const char* isa_name(Isa isa) { return kNames[static_cast<int>(isa)]; }

const char* runnable_isas() {
  static const std::string* const names = [] {
    auto* list = new std::string;
    for (int i = kCount - 1; i >= 0; --i) {
      if (!runs(static_cast<Isa>(i))) continue;
      if (!list->empty()) *list += ',';
      *list += kNames[i];
    }
    return list;
  }();
  return names->c_str();
}

Isa isa() {
  static const int chosen = choose();
  if (chosen < 0) [[unlikely]]
    fail(ESPALIER_INVALID_ARGUMENT, "ESPALIER_ISA is \"%s\"; this processor and build have %s",
         std::getenv("ESPALIER_ISA"), runnable_isas());
  return static_cast<Isa>(chosen);
}

}  // namespace espalier
