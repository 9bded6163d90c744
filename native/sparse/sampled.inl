#include "simd/transpose.inl"

// Vectors of a row of dY that stay in registers.
constexpr int kSampledVectors = 8;

inline void sampled_panels(int64_t& most) { most = kSampledVectors * kLanes<float> / 16; }

// Sums whose lanes are still to be added: a vector's worth of them is added together, for a fraction of what
// one by one would cost.
struct Pending {
  // No row of a plan has more entries than may wait.
  static constexpr int kMost = 2 * kEntriesOfRow;
  Vec<float> sum[kMost];
  int count = 0;
  // Adds whole vectors of them to `to`, which is moved on.
  ESPALIER_INLINE void flush(float*& to) {
    constexpr int kStep = kLanes<float>;
    int done = 0;
    for (; done + kStep <= count; done += kStep, to += kStep) {
      // (A copy: the steps in between would all be written back.)
      Vec<float> taken[kStep];
#pragma GCC unroll 16
      for (int i = 0; i < kStep; ++i) taken[i] = sum[done + i];
      store<float>(to, load<float>(to) + sum_lanes_of_all(taken));
    }
    for (int i = done; i < count; ++i) sum[i - done] = sum[i];
    count -= done;
  }
  void flush_all(float* to) {
    flush(to);
    for (int i = 0; i < count; ++i) to[i] += sum_lanes<float>(sum[i]);
  }
};

template <int Vectors>
void sampled_pass(const SampledPlan& plan, int64_t task, const float* dy, const float* x, float* sums) {
  constexpr int64_t kSamples = Vectors * kLanes<float>;
  Pending pending;
  const int32_t* row = plan.row.data() + plan.row_start[task];
  const int32_t* column = plan.column.data() + plan.entry_start[task];
  sums += plan.entry_start[task];
  for (int64_t run = plan.run_start[task]; run < plan.run_start[task + 1]; ++run) {
    const int entries = plan.runs[run].entries;
    for (int32_t left = plan.runs[run].rows; left > 0; --left, ++row) {
      if (pending.count + entries > Pending::kMost) pending.flush(sums);
      Vec<float> of_row[Vectors];
      for (int v = 0; v < Vectors; ++v) of_row[v] = load<float>(dy + *row * kSamples + v * kLanes<float>);
      Vec<float>* const sum = pending.sum + pending.count;
      for (int i = 0; i < entries; ++i) {
        const float* const from = x + *column++ * kSamples;
        // Two sums: one chain of additions would wait for itself.
        Vec<float> even = of_row[0] * load<float>(from), odd{};
        if constexpr (Vectors > 1) odd = of_row[1] * load<float>(from + kLanes<float>);
#pragma GCC unroll 8
        for (int v = 2; v < Vectors; v += 2) {
          even = fma<float>(of_row[v], load<float>(from + v * kLanes<float>), even);
          if (v + 1 < Vectors) odd = fma<float>(of_row[v + 1], load<float>(from + (v + 1) * kLanes<float>), odd);
        }
        sum[i] = even + odd;
      }
      pending.count += entries;
    }
  }
  pending.flush_all(sums);
}

inline void sampled_task(const SampledPlan& plan, int64_t task, int64_t panels, const float* dy, const float* x,
                         float* sums) {
  switch (panels * 16 / kLanes<float>) {
    case 1: return sampled_pass<1>(plan, task, dy, x, sums);
    case 2: return sampled_pass<2>(plan, task, dy, x, sums);
    case 4: return sampled_pass<4>(plan, task, dy, x, sums);
    default: return sampled_pass<8>(plan, task, dy, x, sums);
  }
}
