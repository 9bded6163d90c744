#include "kernels/select.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "core/failure.h"

namespace espalier {

// Entries of one block: what a thread takes at a time.
constexpr int64_t kSelectGrain = 1 << 15;

// What survey() saw of a block.
struct SelectCounts {
  int64_t below = 0, inside = 0, alive = 0;
  bool bad = false;  // a NaN
};

}  // namespace espalier

#define ESPALIER_KERNEL "kernels/select.inl"
#include "simd/each_isa.h"

// Selection in few passes: a sample brackets the value sought so tightly that a single pass, which
// counts what lies below and collects what lies inside, leaves a few per cent of the entries to look
// at. Floyd & Rivest 1975 in vectors. Whatever the sample says the result is exact: a bracket that
// misses costs another pass.

namespace espalier::kernels {
namespace {

template <class T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();

template <class T>
struct Bracket {
  T low, high;
};

// Values between which the one of rank `rank` of n likely lies, from `count` of the n values, of
// which only those in play are in `sample`.
template <class T>
Bracket<T> bracket(std::vector<T>& sample, int64_t count, int64_t n, int64_t rank) {
  const int64_t size = static_cast<int64_t>(sample.size());
  const double share = static_cast<double>(rank) / static_cast<double>(n);
  const double center = share * static_cast<double>(count);
  const double margin = 4 * std::sqrt(center * (1 - share)) + 4;
  const auto low = static_cast<int64_t>(center - margin), high = static_cast<int64_t>(center + margin);
  Bracket<T> result{-kInfinity<T>, kInfinity<T>};
  if (high < size) {
    std::nth_element(sample.begin(), sample.begin() + high, sample.end());
    result.high = sample[high];
  }
  if (low >= 0 && low < size) {
    std::nth_element(sample.begin(), sample.begin() + low, sample.begin() + std::min(high, size));
    result.low = sample[low];
  } else if (low >= size) {
    result.low = *std::max_element(sample.begin(), sample.end());
  }
  return result;
}

template <class T>
void narrow(const T* values, int64_t n, T low, T high, T* out, int64_t* below, int64_t* inside) {
  ESPALIER_ON_ISA(narrow<T>(values, n, low, high, out, below, inside));
}

// The scores of all arrays as one sequence, cut into blocks.
template <class T, class M>
class Selection {
 public:
  Selection(const std::vector<Scored<T, M>>& arrays, bool magnitude) : arrays_(arrays), magnitude_(magnitude) {
    for (size_t a = 0; a < arrays.size(); ++a) {
      for (int64_t begin = 0; begin < arrays[a].n; begin += kSelectGrain)
        blocks_.push_back({a, begin, std::min(arrays[a].n, begin + kSelectGrain)});
      size_ += arrays[a].n;
    }
    counts_.resize(blocks_.size());
  }

  double run(int64_t k) {
    Bracket<T> range = first_bracket(k - 1);
    SelectCounts total = survey(range, true);
    if (total.bad) fail(ESPALIER_INVALID_ARGUMENT, "scores hold a NaN");
    if (k < 0 || k > total.alive)
      fail(ESPALIER_INVALID_ARGUMENT, "of the entries left: k is %lld, expected 0 to %lld", static_cast<long long>(k),
           static_cast<long long>(total.alive));
    if (k == 0) {
      write(-kInfinity<T>, false, {0, 0});
      return -kInfinity<T>;
    }
    const int64_t rank = k - 1;
    while (rank < total.below || rank >= total.below + total.inside) {
      if (rank < total.below) range = {-kInfinity<T>, std::nextafter(range.low, -kInfinity<T>)};
      else range = {std::nextafter(range.high, kInfinity<T>), kInfinity<T>};
      total = survey(range, true);
    }
    T threshold = range.low;
    int64_t below = total.below, equal = total.inside;
    if (range.low < range.high) {
      collect();
      const int64_t inside = total.inside;
      std::vector<T> work(values_.get(), values_.get() + inside + kSelectSlack), spare(work.size());
      threshold = select_rank(work.data(), spare.data(), inside, rank - below);
      int64_t less;
      narrow(values_.get(), inside, threshold, threshold, static_cast<T*>(nullptr), &less, &equal);
      below += less;
      // Where only some of the equal ones fall, the blocks must be told apart.
      if (k - below < equal) survey({threshold, threshold}, false);
    }
    write(threshold, k - below == equal, cut(k - below));
    return threshold;
  }

 private:
  struct Block {
    size_t array;
    int64_t begin, end;
  };
  struct Place {
    size_t block;
    int64_t index;
  };

  Bracket<T> first_bracket(int64_t rank) const {
    constexpr int64_t kSample = 1 << 14;
    if (size_ < 4 * kSample || rank < 0 || rank >= size_) return {-kInfinity<T>, kInfinity<T>};
    std::vector<T> sample;
    size_t a = 0;
    int64_t start = 0;  // of array a in the sequence
    for (int64_t i = 0; i < kSample; ++i) {
      const int64_t at = i * (size_ / kSample) + size_ % kSample * i / kSample;
      while (at - start >= arrays_[a].n) start += arrays_[a++].n;
      const T value = arrays_[a].score[at - start];
      if (arrays_[a].mask != nullptr && arrays_[a].mask[at - start] == 0) continue;
      if (value == value) sample.push_back(magnitude_ ? std::abs(value) : value + T{0});
    }
    if (sample.empty()) return {-kInfinity<T>, kInfinity<T>};
    return bracket(sample, kSample, size_, rank);
  }

  // One pass over all scores. Values inside are kept where they are going to be needed.
  SelectCounts survey(Bracket<T> range, bool keep) {
    keep = keep && range.low < range.high;
    // (Not initialised: pages nobody writes to cost nothing.)
    if (keep && !values_) values_.reset(new T[blocks_.size() * kStride + kSelectSlack]);
    parallel_for(static_cast<int64_t>(blocks_.size()), [&](int64_t b) {
      const auto& [a, begin, end] = blocks_[b];
      const Scored<T, M>& array = arrays_[a];
      const M* const mask = array.mask == nullptr ? nullptr : array.mask + begin;
      T* const inside = keep ? values_.get() + b * kStride : nullptr;
      ESPALIER_ON_ISA(
          survey<T, M>(array.score + begin, mask, magnitude_, end - begin, range.low, range.high, inside, &counts_[b]));
    });
    SelectCounts total;
    for (const SelectCounts& counts : counts_) {
      total.below += counts.below;
      total.inside += counts.inside;
      total.alive += counts.alive;
      total.bad |= counts.bad;
    }
    return total;
  }

  // Brings the values that survey() kept side by side.
  void collect() {
    T* to = values_.get();
    for (size_t b = 0; b < blocks_.size(); ++b) {
      const T* const from = values_.get() + b * kStride;
      if (to != from) std::copy(from, from + counts_[b].inside, to);
      to += counts_[b].inside;
    }
  }

  // Where the first `ties` of the entries at the threshold end, by the counts of the last survey.
  Place cut(int64_t ties) const {
    for (size_t b = 0; b < blocks_.size(); ++b) {
      if (ties <= counts_[b].inside) return {b, ties};
      ties -= counts_[b].inside;
    }
    return {blocks_.size(), 0};
  }

  void write(T threshold, bool all_ties, Place end) {
    parallel_for(static_cast<int64_t>(blocks_.size()), [&](int64_t b) {
      const auto& [a, begin, stop] = blocks_[b];
      const Scored<T, M>& array = arrays_[a];
      int64_t middle = all_ties || static_cast<size_t>(b) < end.block ? stop : begin;
      if (!all_ties && static_cast<size_t>(b) == end.block) {
        // The cut runs through this block: up to `middle` ties fall.
        for (int64_t left = end.index; left > 0; ++middle) {
          const T score = array.score[middle];
          const bool alive = array.mask == nullptr || array.mask[middle] != 0;
          if (alive && (magnitude_ ? std::abs(score) : score) == threshold) --left;
        }
      }
      ESPALIER_ON_ISA(fell<T, M>(array, magnitude_, begin, middle, threshold, true));
      ESPALIER_ON_ISA(fell<T, M>(array, magnitude_, middle, stop, threshold, false));
    });
  }

  static constexpr int64_t kStride = kSelectGrain + kSelectSlack;
  const std::vector<Scored<T, M>>& arrays_;
  const bool magnitude_;
  int64_t size_ = 0;
  std::vector<Block> blocks_;
  std::vector<SelectCounts> counts_;
  std::unique_ptr<T[]> values_;
};

}  // namespace

template <class T>
T select_rank(T* values, T* spare, int64_t n, int64_t rank) {
  constexpr int64_t kSmall = 1024, kSample = 512;
  std::vector<T> sample;
  while (n > kSmall) {
    sample.clear();
    for (int64_t i = 0; i < kSample; ++i) sample.push_back(values[i * n / kSample]);
    Bracket<T> range = bracket(sample, kSample, n, rank);
    int64_t below, inside;
    narrow(values, n, range.low, range.high, spare, &below, &inside);
    if (rank < below) {
      narrow(values, n, -kInfinity<T>, std::nextafter(range.low, -kInfinity<T>), spare, &below, &inside);
    } else if (rank >= below + inside) {
      narrow(values, n, std::nextafter(range.high, kInfinity<T>), kInfinity<T>, spare, &below, &inside);
    } else if (range.low == range.high) {
      return range.low;
    }
    // Many equal values: nothing was gained, and a plain selection copes with them.
    if (inside > n / 4 * 3) break;
    std::swap(values, spare);
    n = inside;
    rank -= below;
  }
  std::nth_element(values, values + rank, values + n);
  return values[rank];
}
template float select_rank(float*, float*, int64_t, int64_t);
template double select_rank(double*, double*, int64_t, int64_t);

template <class T, class M>
double prune_smallest(const std::vector<Scored<T, M>>& arrays, bool magnitude, int64_t k) {
  return Selection<T, M>(arrays, magnitude).run(k);
}

template <class T, class M>
void keep_largest(const Scored<T, M>& array, bool magnitude, int64_t rows, int64_t columns, int64_t keep) {
  const int64_t grain = std::max<int64_t>(1, kSelectGrain / 4 / std::max<int64_t>(1, columns));
  std::vector<char> bad(static_cast<size_t>((rows + grain - 1) / grain));
  parallel_ranges(rows, grain, [&](int64_t first, int64_t last) {
    SelectCounts counts;
    const int64_t begin = first * columns;
    ESPALIER_ON_ISA(
        survey<T, T>(array.score + begin, nullptr, magnitude, (last - first) * columns, T{0}, T{0}, nullptr, &counts));
    bad[first / grain] = counts.bad;
  });
  if (std::find(bad.begin(), bad.end(), 1) != bad.end()) fail(ESPALIER_INVALID_ARGUMENT, "scores hold a NaN");
  parallel_ranges(rows, grain, [&](int64_t first, int64_t last) {
    T* const values = scratch<T>(Scratch::kPartial, columns + kSelectSlack);
    T* const spare = scratch<T>(Scratch::kOther, columns + kSelectSlack);
    for (int64_t row = first; row < last; ++row) {
      const int64_t begin = row * columns, end = begin + columns;
      const M* const mask = array.mask == nullptr ? nullptr : array.mask + begin;
      SelectCounts counts;
      ESPALIER_ON_ISA(
          survey<T, M>(array.score + begin, mask, magnitude, columns, -kInfinity<T>, kInfinity<T>, values, &counts));
      T threshold = -kInfinity<T>;
      int64_t middle = begin;  // before it ties survive, from it on they fall
      if (keep == 0) {
        threshold = kInfinity<T>;
      } else if (counts.inside > keep) {
        threshold = select_rank(values, spare, counts.inside, counts.inside - keep);
        ESPALIER_ON_ISA(
            survey<T, M>(array.score + begin, mask, magnitude, columns, threshold, threshold, nullptr, &counts));
        const int64_t above = counts.alive - counts.below - counts.inside;
        for (int64_t left = keep - above; left > 0; ++middle) {
          const T score = array.score[middle];
          const bool alive = mask == nullptr || mask[middle - begin] != 0;
          if (alive && (magnitude ? std::abs(score) : score) == threshold) --left;
        }
      } else {
        middle = end;
      }
      ESPALIER_ON_ISA(fell<T, M>(array, magnitude, begin, middle, threshold, false));
      ESPALIER_ON_ISA(fell<T, M>(array, magnitude, middle, end, threshold, true));
    }
  });
}

template <class T>
void abs_kth(const T* x, int64_t outer, int64_t channels, int64_t inner, int64_t k, T* value, int32_t* index) {
  const int64_t count = outer * inner;
  std::unique_ptr<T[]> values(new T[count + kSelectSlack]), spare(new T[count + kSelectSlack]);
  std::vector<T> found(static_cast<size_t>(channels));
  for (int64_t channel = 0; channel < channels; ++channel) {
    T* to = values.get();
    for (int64_t o = 0; o < outer; ++o, to += inner) {
      SelectCounts counts;
      ESPALIER_ON_ISA(survey<T, T>(x + (o * channels + channel) * inner, nullptr, true, inner, -kInfinity<T>,
                                   kInfinity<T>, to, &counts));
      if (counts.bad) fail(ESPALIER_INVALID_ARGUMENT, "x holds a NaN");
    }
    found[channel] = select_rank(values.get(), spare.get(), count, k - 1);
  }
  for (int64_t channel = 0; channel < channels; ++channel) {
    value[channel] = found[channel];
    if (index == nullptr) continue;
    int64_t at = channel * inner;
    for (int64_t i = 0; std::abs(x[at]) != found[channel];) {
      ++i;
      at = (i / inner * channels + channel) * inner + i % inner;
    }
    index[channel] = static_cast<int32_t>(at);
  }
}
template void abs_kth(const float*, int64_t, int64_t, int64_t, int64_t, float*, int32_t*);
template void abs_kth(const double*, int64_t, int64_t, int64_t, int64_t, double*, int32_t*);

template <class T, class M>
void prune_row(const Scored<T, M>& row, bool magnitude, int64_t k, T* values, T* spare) {
  SelectCounts counts;
  ESPALIER_ON_ISA(survey<T, M>(row.score, row.mask, magnitude, row.n, -kInfinity<T>, kInfinity<T>, values, &counts));
  T threshold = -kInfinity<T>;
  int64_t middle = 0;  // before it ties fall, from it on they survive
  if (k >= counts.alive) {
    threshold = kInfinity<T>;
    middle = row.n;
  } else if (k > 0) {
    threshold = select_rank(values, spare, counts.alive, k - 1);
    ESPALIER_ON_ISA(survey<T, M>(row.score, row.mask, magnitude, row.n, threshold, threshold, nullptr, &counts));
    int64_t ties = k - counts.below;
    if (ties == counts.inside) middle = row.n;
    else
      for (; ties > 0; ++middle) {
        const T score = row.score[middle];
        const bool live = row.mask == nullptr || row.mask[middle] != 0;
        if (live && (magnitude ? std::abs(score) : score) == threshold) --ties;
      }
  }
  ESPALIER_ON_ISA(fell<T, M>(row, magnitude, 0, middle, threshold, true));
  ESPALIER_ON_ISA(fell<T, M>(row, magnitude, middle, row.n, threshold, false));
}

template <class T, class M>
int64_t count_at_most(const Scored<T, M>& array, bool magnitude, double threshold, bool strictly) {
  // The entries' own type cannot hold every threshold: one that lies on the same side of all of them does.
  T bound = static_cast<T>(threshold);
  if (!strictly && bound > threshold) bound = std::nextafter(bound, -kInfinity<T>);
  if (strictly && bound < threshold) bound = std::nextafter(bound, kInfinity<T>);
  const int64_t blocks = (array.n + kSelectGrain - 1) / kSelectGrain;
  std::vector<SelectCounts> counts(static_cast<size_t>(blocks));
  parallel_for(blocks, [&](int64_t b) {
    const int64_t begin = b * kSelectGrain, n = std::min(array.n - begin, kSelectGrain);
    const M* const mask = array.mask == nullptr ? nullptr : array.mask + begin;
    ESPALIER_ON_ISA(survey<T, M>(array.score + begin, mask, magnitude, n, bound, bound, nullptr, &counts[b]));
  });
  int64_t total = 0;
  for (const SelectCounts& block : counts) {
    if (block.bad) fail(ESPALIER_INVALID_ARGUMENT, "scores hold a NaN");
    total += block.below + (strictly ? 0 : block.inside);
  }
  return total;
}

template <class M>
int64_t count_ones(const M* mask, int64_t n) {
  const int64_t blocks = (n + kSelectGrain - 1) / kSelectGrain;
  std::vector<int64_t> ones(static_cast<size_t>(blocks));
  std::vector<char> other(static_cast<size_t>(blocks));
  parallel_for(blocks, [&](int64_t b) {
    const int64_t begin = b * kSelectGrain, count = std::min(n - begin, kSelectGrain);
    ESPALIER_ON_ISA(survey_mask<M>(mask + begin, count, &ones[b], &other[b]));
  });
  int64_t total = 0;
  for (int64_t b = 0; b < blocks; ++b) {
    if (other[b]) return -1;
    total += ones[b];
  }
  return total;
}
template int64_t count_ones(const float*, int64_t);
template int64_t count_ones(const double*, int64_t);
template int64_t count_ones(const uint8_t*, int64_t);

template <class T, class M>
void apply_mask(const T* x, const M* mask, T* y, int64_t n) {
  ESPALIER_ON_ISA(apply_mask<T, M>(x, mask, y, n));
}

#define ESPALIER_SELECT_INSTANCES(T, M)                                             \
  template double prune_smallest(const std::vector<Scored<T, M>>&, bool, int64_t);  \
  template void keep_largest(const Scored<T, M>&, bool, int64_t, int64_t, int64_t); \
  template void prune_row(const Scored<T, M>&, bool, int64_t, T*, T*);              \
  template int64_t count_at_most(const Scored<T, M>&, bool, double, bool);          \
  template void apply_mask(const T*, const M*, T*, int64_t);
ESPALIER_SELECT_INSTANCES(float, float)
ESPALIER_SELECT_INSTANCES(float, uint8_t)
ESPALIER_SELECT_INSTANCES(double, double)
ESPALIER_SELECT_INSTANCES(double, uint8_t)
#undef ESPALIER_SELECT_INSTANCES

}  // namespace espalier::kernels
