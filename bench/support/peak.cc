// The limits of one core, measured: how many floating-point operations (multiply-adds on registers)
// or bytes read it manages. A rival in form: `time N` runs N million operations, or N MiB.
//   peak <folder> 0                 multiply-adds
//   peak <folder> 1 <bytes>         reads of an array of that size, again and again
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

int main(int count, char** arguments) {
  Rival rival(count, arguments);
  std::vector<float> sink(kLanes);
  if (rival.argument(0) == 0) {
    Vec sums[kSums] = {}, x = Vec{} + 0.999f, y = Vec{} + 0.001f;
    asm volatile("" : "+x"(x), "+x"(y));
    return rival.serve(sink, [&] {
      for (int i = 0; i < 1000000 / (kSums * kLanes * 2); ++i)
#pragma GCC unroll 24
        for (int j = 0; j < kSums; ++j) sums[j] = sums[j] * x + y;
      Vec total{};
      for (int j = 0; j < kSums; ++j) total += sums[j];
      for (int j = 0; j < kLanes; ++j) sink[static_cast<size_t>(j)] = total[j];
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
