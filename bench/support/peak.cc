// The limits of one core, measured: how many floating-point operations (multiply-adds on registers), operations of
// dot products of bytes, or bytes read it manages. A rival in form: `time N` runs N million operations, or N MiB.
//   peak <folder> 0                 multiply-adds
//   peak <folder> 1 <bytes>         reads of an array of that size, again and again
//   peak <folder> 2                 dot products of bytes (VNNI; in sums of 16 bits where that is missing)
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "support/rival.h"

#if defined(__AVX512F__)
constexpr int kBytes = 64, kSums = 24;
#elif defined(__AVX__)
constexpr int kBytes = 32, kSums = 12;
#else
constexpr int kBytes = 16, kSums = 12;
#endif
typedef float Vec __attribute__((vector_size(kBytes)));
constexpr int kLanes = kBytes / 4;

// Products that a lane of 32 bits adds up at once, and the instruction.
#if defined(__AVX512VNNI__)
#define ESPALIER_REGISTER "+v"  // all 32
constexpr int kTerms = 4;
inline Vec dot(Vec sum, Vec x, Vec y) {
  return reinterpret_cast<Vec>(
      _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(y)));
}
#elif defined(__AVX2__)
#define ESPALIER_REGISTER "+x"
constexpr int kTerms = 4;
inline Vec dot(Vec sum, Vec x, Vec y) {
  return reinterpret_cast<Vec>(
      _mm256_add_epi16(reinterpret_cast<__m256i>(sum),
                       _mm256_maddubs_epi16(reinterpret_cast<__m256i>(x), reinterpret_cast<__m256i>(y))));
}
#else
#if defined(__x86_64__)
#define ESPALIER_REGISTER "+x"
#else
#define ESPALIER_REGISTER "+w"
#endif
constexpr int kTerms = 1;
inline Vec dot(Vec sum, Vec x, Vec y) {
  typedef int Words __attribute__((vector_size(kBytes)));
  return reinterpret_cast<Vec>(reinterpret_cast<Words>(sum) + reinterpret_cast<Words>(x) * reinterpret_cast<Words>(y));
}
#endif

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  std::vector<float> sink(kLanes);
  if (rival.argument(0) == 0) {
    Vec x = Vec{} + 0.999f, y = Vec{} + 0.001f;
    asm volatile("" : ESPALIER_REGISTER(x), ESPALIER_REGISTER(y));
    return rival.serve(sink, [&] {
      Vec sums[kSums];
#pragma GCC unroll 24
      for (int j = 0; j < kSums; ++j) sums[j] = Vec{} + static_cast<float>(j);  // all different: none is another
      const Vec a = x, b = y;
      for (int i = 0; i < 1000000 / (kSums * kLanes * 2); ++i)
#pragma GCC unroll 24
        for (int j = 0; j < kSums; ++j) sums[j] = sums[j] * a + b;
      Vec total{};
      for (int j = 0; j < kSums; ++j) total += sums[j];
      for (int j = 0; j < kLanes; ++j) sink[static_cast<size_t>(j)] = total[j];
    });
  }
  if (rival.argument(0) == 2) {
    // (Fewer sums: compilers copy those of intrinsics, which would not stay in registers.)
    constexpr int kDots = kSums / 2;
    Vec x{}, y{};
    asm volatile("" : ESPALIER_REGISTER(x), ESPALIER_REGISTER(y));
    return rival.serve(sink, [&] {
      Vec sums[kDots];
#pragma GCC unroll 12
      for (int j = 0; j < kDots; ++j) sums[j] = Vec{} + static_cast<float>(j);  // all different: none is another
      Vec a = x;
      const Vec b = y;
      for (int i = 0; i < 1000000 / (kDots * kLanes * kTerms * 2); ++i)
#pragma GCC unroll 12
        for (int j = 0; j < kDots; ++j) {
          asm volatile("" : ESPALIER_REGISTER(a));  // another one, or the product would be computed once for all
          sums[j] = dot(sums[j], a, b);
        }
      // (As whole numbers: as float32 they would be slow to add.)
      typedef int Words __attribute__((vector_size(kBytes)));
      Words total{};
#pragma GCC unroll 12
      for (int j = 0; j < kDots; ++j) total ^= reinterpret_cast<Words>(sums[j]);
      for (int l = 0; l < kLanes; ++l) sink[static_cast<size_t>(l)] = static_cast<float>(total[l]);
    });
  }
  std::vector<Vec> data(static_cast<size_t>(rival.argument(1)) / kBytes, Vec{} + 1.0f);
  size_t at = 0;
  return rival.serve(sink, [&] {
    Vec sums[8] = {};
    for (int i = 0; i < (1 << 20) / kBytes / 8; ++i) {
      if (at + 8 > data.size()) at = 0;
      for (size_t j = 0; j < 8; ++j) sums[j] += data[at + j];
      at += 8;
    }
    for (size_t j = 0; j < 8; ++j)
      for (int l = 0; l < kLanes; ++l) sink[static_cast<size_t>(l)] += sums[j][l];
  });
}
