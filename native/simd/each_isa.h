// Compiles the file named by ESPALIER_KERNEL once for each instruction set, in a namespace and a
// target region of its own. The file holds plain kernels over the vocabulary of vec.inl and includes
// nothing: what it needs, its .cc includes before this (a header pulled into a target region would
// leak that region's instructions into functions shared with older processors).
//
//   #include <cmath>
//   #define ESPALIER_KERNEL "kernels/relu.inl"
//   #include "simd/each_isa.h"
#ifndef ESPALIER_KERNEL
#error "define ESPALIER_KERNEL before including simd/each_isa.h"
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "core/parallel.h"
#include "core/scratch.h"
#include "simd/isa.h"
#if ESPALIER_X86
// GCC 12 warns of its own undefined-register idiom inside these headers (bug 105593).
#pragma GCC diagnostic push
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Which level vec.inl is being read at; only it may ask.
#define ESPALIER_LEVEL 0
namespace espalier::baseline {
#include "simd/vec.inl"
#include ESPALIER_KERNEL
}  // namespace espalier::baseline
#undef ESPALIER_LEVEL

#if ESPALIER_X86

#define ESPALIER_LEVEL 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,f16c")
#endif
namespace espalier::avx2 {
#include "simd/vec.inl"
#include ESPALIER_KERNEL
}  // namespace espalier::avx2
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef ESPALIER_LEVEL

#define ESPALIER_LEVEL 2
#if defined(__clang__)
#pragma clang attribute push(                                                                        \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,bmi,bmi2,f16c"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,bmi,bmi2,f16c,prefer-vector-width=512")
#endif
namespace espalier::avx512 {
#include "simd/vec.inl"
#include ESPALIER_KERNEL
}  // namespace espalier::avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef ESPALIER_LEVEL

#endif  // ESPALIER_X86
#undef ESPALIER_KERNEL
