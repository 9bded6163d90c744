#include "simd/transpose.inl"

inline void grad_lanes(int64_t& lanes) { lanes = kLanes<float>; }

// sums[t] += Σ over lines of dy · the input line at entry t's place. Few entries take more than one line at a time:
// one chain of additions would wait for itself.
template <int Entries>
ESPALIER_INLINE void grad_of_entries(const float* dy, const float* x, const int32_t* base, int64_t count,
                                     const int32_t* line, float* sums) {
  constexpr int kLane = kLanes<float>, kVectors = 16 / kLane;
  constexpr int kChains = kVectors > 1 ? 2 : Entries <= 2 ? 4 : Entries <= 4 ? 2 : 1;
  constexpr int kLines = kVectors > 1 ? 1 : kChains;
  const float* from[Entries];
  Vec<float> sum[Entries][kChains];
#pragma GCC unroll 8
  for (int t = 0; t < Entries; ++t) {
    from[t] = x + line[t] * int64_t{16};
    for (auto& one : sum[t]) one = Vec<float>{};
  }
  int64_t i = 0;
  for (; i + kLines <= count; i += kLines) {
#pragma GCC unroll 4
    for (int l = 0; l < kLines; ++l) {
      const int64_t at = base[i + l] * int64_t{16};
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const Vec<float> by = in_register<float>(load<float>(dy + (i + l) * 16 + v * kLane));
#pragma GCC unroll 8
        for (int t = 0; t < Entries; ++t) {
          Vec<float>& to = sum[t][(l + v) % kChains];
          to = fma<float>(by, load<float>(from[t] + at + v * kLane), to);
        }
      }
    }
  }
  for (; i < count; ++i)
    for (int v = 0; v < kVectors; ++v) {
      const Vec<float> by = load<float>(dy + i * 16 + v * kLane);
      for (int t = 0; t < Entries; ++t)
        sum[t][0] = fma<float>(by, load<float>(from[t] + base[i] * int64_t{16} + v * kLane), sum[t][0]);
    }
#pragma GCC unroll 8
  for (int t = 0; t < Entries; ++t) {
    Vec<float> all = load<float>(sums + t * kLane);
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) all += sum[t][c];
    store<float>(sums + t * kLane, all);
  }
}

// Runs [first, last) of the order for one tile of lines; `sums` holds a vector an entry from entry `begin` on.
inline void grad_of_runs(const GradOrder& order, int64_t first, int64_t last, int64_t begin, const float* x,
                         const int32_t* base, int64_t lines, const float* dy, int64_t dy_channel, float* sums) {
  constexpr int kTogether = 8;
  for (int64_t r = first; r < last; ++r) {
    const GradOrder::Run& run = order.runs[static_cast<size_t>(r)];
    const float* const of = dy + run.channel * dy_channel;
    const int32_t* line = order.line.data() + run.first;
    float* to = sums + (run.first - begin) * kLanes<float>;
    int64_t left = run.count;
    // Shares alike in size: eight and one would leave the one to wait for itself.
    while (left > 0) {
      const int64_t shares = (left + kTogether - 1) / kTogether, count = (left + shares - 1) / shares;
      switch (count) {
        case 1: grad_of_entries<1>(of, x, base, lines, line, to); break;
        case 2: grad_of_entries<2>(of, x, base, lines, line, to); break;
        case 3: grad_of_entries<3>(of, x, base, lines, line, to); break;
        case 4: grad_of_entries<4>(of, x, base, lines, line, to); break;
        case 5: grad_of_entries<5>(of, x, base, lines, line, to); break;
        case 6: grad_of_entries<6>(of, x, base, lines, line, to); break;
        case 7: grad_of_entries<7>(of, x, base, lines, line, to); break;
        default: grad_of_entries<8>(of, x, base, lines, line, to); break;
      }
      line += count;
      to += count * kLanes<float>;
      left -= count;
    }
  }
}

inline void values_of_sums(const int32_t* origin, int64_t begin, int64_t end, const float* sums, float* values) {
  constexpr int kLane = kLanes<float>;
  for (int64_t i = begin; i < end; i += kLane, sums += kLane * kLane) {
    const int64_t count = end - i < kLane ? end - i : kLane;
    Vec<float> all[kLane];
#pragma GCC unroll 16
    for (int j = 0; j < kLane; ++j) all[j] = j < count ? load<float>(sums + j * kLane) : Vec<float>{};
    const Vec<float> of_each = sum_lanes_of_all(all);
    for (int64_t j = 0; j < count; ++j) values[origin[i + j]] = of_each[j];
  }
}
