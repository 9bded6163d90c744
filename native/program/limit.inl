// `rounds` rounds of one multiply-add on each of as many accumulators as hide its latency.
constexpr int kPeakChains = kRegisters == 32 ? 24 : 12;
inline void multiply_adds(int64_t rounds, float seed, float* sum, int64_t* flops) {
  Vec<float> chain[kPeakChains];
#pragma GCC unroll 24
  for (auto& one : chain) one = broadcast(seed);
  const Vec<float> by = in_register<float>(broadcast(1.0f - seed * 1e-6f)),
                   plus = in_register<float>(broadcast(seed * 1e-6f));
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 24
    for (auto& one : chain) one = in_register<float>(fma<float>(one, by, plus));
  }
  Vec<float> total{};
  for (const auto& one : chain) total += one;
  *sum = total[0];
  *flops = rounds * kPeakChains * kLanes<float> * 2;
}
