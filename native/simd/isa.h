// The one list of instruction sets. Adding one: a line here, its target in each_isa.h, and what it
// does better than the portable vocabulary in vec.inl.
#pragma once

#if defined(__x86_64__)
#define ESPALIER_X86 1
// Best last. Each name is a namespace that holds every kernel compiled for it.
#define ESPALIER_ISAS(X) X(baseline) X(avx2) X(avx512)
#else
#define ESPALIER_X86 0
// NEON is part of every 64-bit Arm; on other processors this is what the compiler makes of plain vectors.
#define ESPALIER_ISAS(X) X(baseline)
#endif

namespace espalier {

enum class Isa : int {
#define ESPALIER_ISA_ENUMERATOR(name) name,
  ESPALIER_ISAS(ESPALIER_ISA_ENUMERATOR)
#undef ESPALIER_ISA_ENUMERATOR
};

// The one in use. Fails when ESPALIER_ISA names one that is unknown or that this processor lacks.
Isa isa();
// Whether that is AVX2: vectors of half a cache line, in sixteen registers, on cores whose caches are small. (A
// question that can be asked where its name is unknown.)
bool is_avx2();
// Whether this processor has the instructions that lookup.inl takes with AVX-512 to look up bytes (VBMI). All with
// VNNI do, but for the first.
bool looks_up_bytes();
const char* isa_name(Isa isa);
// Those this processor runs, best first, separated by commas.
const char* runnable_isas();

// Cores that run the same instructions at rates different enough for kernels and cost models to differ. `zen5` starts
// two 512-bit multiply-adds and two loads a cycle, with shuffles beside them; `common` stands for those that start one.
enum class Core { common, zen5 };
// This processor's, or what ESPALIER_CORE names; fails where that is unknown. Results do not depend on it, but for
// their speed.
Core core();

}  // namespace espalier

// ESPALIER_ON_ISA(kernel<float>(x, n)): calls the kernel of the instruction set in use. For a source
// whose kernels came through each_isa.h; stands inside namespace espalier.
#if ESPALIER_X86
#define ESPALIER_ON_ISA(...)                                        \
  do {                                                              \
    switch (::espalier::isa()) {                                    \
      case ::espalier::Isa::avx512: avx512::__VA_ARGS__; break;     \
      case ::espalier::Isa::avx2: avx2::__VA_ARGS__; break;         \
      case ::espalier::Isa::baseline: baseline::__VA_ARGS__; break; \
    }                                                               \
  } while (false)
#else
#define ESPALIER_ON_ISA(...) baseline::__VA_ARGS__
#endif
