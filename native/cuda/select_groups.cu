// Selection in many groups at once (N:M among them), and counts of masks.
#include <climits>
#include <cmath>

#include "cuda/packs.cuh"
#include "cuda/pruning.h"
#include "cuda/select_radix.cuh"
#include "cuda/select_scored.cuh"

using namespace espalier;
using namespace espalier::cuda;

namespace {

// ---- Groups ----------------------------------------------------------------------------------------

// Entries [outer, size, inner] in groups of `size`, in the order [outer, inner]. `falling` holds a number for
// each group, or with `each` false one for all.
struct Groups {
  int64_t outer, size, inner;
  const int32_t* falling;
  bool each;

  int64_t count() const { return outer * inner; }
  __device__ int64_t falls(int64_t group) const { return falling[each ? group : 0]; }
  // Where the group begins; its entries are `inner` apart.
  __device__ int64_t begin(int64_t group) const {
    return inner == 1 ? group * size : group / inner * size * inner + group % inner;
  }
};

// Where faults go, and whose they are.
struct Complaints {
  Fault* fault;
  int32_t source;
};

// The longest group whose entries are compared each with each.
constexpr int kLongestShort = 32;

// A thread takes a group: an entry falls if fewer than `falls` come before it. kSize is the size where the
// compiler knows it (then what is compared stays in registers), else 0.
template <int kSize, class T, class M>
__global__ void __launch_bounds__(kBlock)
    prune_short_groups_kernel(Scored<T, M> array, Groups groups, int64_t count, Complaints to) {
  using Key = KeyFor<T>;
  for (int64_t group = blockIdx.x * int64_t{kBlock} + threadIdx.x; group < count;
       group += int64_t{gridDim.x} * kBlock) {
    const int64_t begin = groups.begin(group), falls = groups.falls(group);
    if (falls < 0) raise_fault(to.fault, FaultKind::kIndexOutOfRange, to.source, falls);
    if constexpr (kSize > 0) {
      Key keys[kSize];
      bool alive[kSize];
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        const int64_t at = begin + i * groups.inner;
        keys[i] = array.key(at);
        alive[i] = array.alive(at);
        if (array.is_nan(at)) raise_fault(to.fault, FaultKind::kNotANumber, to.source, at);
      }
#pragma unroll
      for (int i = 0; i < kSize; ++i) {
        int before = 0;
#pragma unroll
        for (int j = 0; j < kSize; ++j)
          if (j != i) before += alive[j] && (j < i ? keys[j] <= keys[i] : keys[j] < keys[i]);
        array.write(begin + i * groups.inner, before >= falls);
      }
    } else {
      unsigned fell = 0;
      for (int i = 0; i < groups.size; ++i) {
        const int64_t at = begin + i * groups.inner;
        const Key key = array.key(at);
        if (array.is_nan(at)) raise_fault(to.fault, FaultKind::kNotANumber, to.source, at);
        int before = 0;
        for (int j = 0; j < groups.size; ++j) {
          const int64_t other = begin + j * groups.inner;
          before += j != i && array.alive(other) && (j < i ? array.key(other) <= key : array.key(other) < key);
        }
        if (before < falls) fell |= 1u << i;
      }
      // Only now: the masks that were read may be the results.
      for (int i = 0; i < groups.size; ++i) array.write(begin + i * groups.inner, (fell >> i & 1) == 0);
    }
  }
}

// Groups of 4 side by side, the pattern of the sparse tensor cores: a group an access.
template <class T, class M>
struct PruneFours {
  Scored<T, M> array;
  Groups groups;
  Complaints to;

  template <int N>
  __device__ __forceinline__ void at(int64_t i) const {
    if constexpr (N == 4) {
      const Pack<T, 4> scores = load<4>(array.score + i);
      Pack<M, 4> masks;
      if (array.mask != nullptr) masks = load<4>(array.mask + i);
      const int64_t falls = groups.falls(i / 4);
      if (falls < 0) raise_fault(to.fault, FaultKind::kIndexOutOfRange, to.source, falls);
      KeyFor<T> keys[4];
      bool alive[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        keys[j] = key_of(scores.at[j], array.magnitude);
        alive[j] = array.mask == nullptr || masks.at[j] != M{0};
        if (scores.at[j] != scores.at[j]) raise_fault(to.fault, FaultKind::kNotANumber, to.source, i + j);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        int before = 0;
#pragma unroll
        for (int other = 0; other < 4; ++other)
          if (other != j) before += alive[other] && (other < j ? keys[other] <= keys[j] : keys[other] < keys[j]);
        masks.at[j] = before < falls ? M{0} : array.mask == nullptr ? M{1} : masks.at[j];
      }
      store<4>(array.result + i, masks);
    }
  }
};

template <class T, class M>
struct GroupSource {
  using Key = KeyFor<T>;
  Scored<T, M> array;
  Groups groups;
  __device__ int64_t rank(int64_t group) const { return groups.falls(group) - 1; }
  __device__ bool get(int64_t group, int64_t i, Key* key) const {
    const int64_t at = groups.begin(group) + i * groups.inner;
    *key = array.key(at);
    return array.alive(at);
  }
  __device__ uint64_t place(int64_t, int64_t i) const { return i; }
};

template <class T, class M>
__global__ void __launch_bounds__(kBlock)
    prune_by_cuts_kernel(Scored<T, M> array, Groups groups, int64_t n, const Cut<KeyFor<T>>* cuts, Complaints to) {
  for (int64_t at = blockIdx.x * int64_t{kBlock} + threadIdx.x; at < n; at += int64_t{gridDim.x} * kBlock) {
    const int64_t line = at / groups.inner, outer = line / groups.size;
    const int64_t group = outer * groups.inner + (at - line * groups.inner), i = line - outer * groups.size;
    const int64_t falls = groups.falls(group);
    if (falls < 0) raise_fault(to.fault, FaultKind::kIndexOutOfRange, to.source, falls);
    if (array.is_nan(at)) raise_fault(to.fault, FaultKind::kNotANumber, to.source, at);
    const KeyFor<T> key = array.key(at), last = cuts[group].key;
    const bool fell = key < last || (key == last && static_cast<uint64_t>(i) <= cuts[group].place);
    array.write(at, !(falls > 0 && fell));
  }
}

template <class T, class M>
void prune_groups(const Scored<T, M>& array, const Groups& groups, int32_t source) {
  const int64_t count = groups.count(), n = count * groups.size;
  const Complaints to{faults(), source};
  if (groups.size > kLongestShort) {
    Temporary<Cut<KeyFor<T>>> cuts(count);
    find_cuts(GroupSource<T, M>{array, groups}, count, groups.size, kKeyBits<KeyFor<T>>,
              bits_of(static_cast<uint64_t>(groups.size - 1)), false, cuts.get());
    prune_by_cuts_kernel<<<grid_for(n), kBlock, 0, stream()>>>(array, groups, n, cuts.get(), to);
    return launched("prune_by_cuts");
  }
  if (groups.size == 4 && groups.inner == 1 && packable<4>(array.score, array.mask, array.result))
    return for_packs<4>(n, true, "prune_fours", PruneFours<T, M>{array, groups, to});
  const auto launch = [&](auto size) {
    prune_short_groups_kernel<size><<<grid_for(count), kBlock, 0, stream()>>>(array, groups, count, to);
    launched("prune_short_groups");
  };
  switch (groups.size) {
    case 2: return launch(std::integral_constant<int, 2>{});
    case 4: return launch(std::integral_constant<int, 4>{});
    case 8: return launch(std::integral_constant<int, 8>{});
    case 16: return launch(std::integral_constant<int, 16>{});
    default: return launch(std::integral_constant<int, 0>{});
  }
}

// ---- Counts ----------------------------------------------------------------------------------------

// A thread a group, or, where the entries of long groups lie together, a warp.
template <int kLanes, class M>
__global__ void __launch_bounds__(kBlock)
    count_groups_kernel(const M* mask, int64_t count, int64_t size, int64_t inner, int32_t* counts) {
  for (int64_t group = (blockIdx.x * int64_t{kBlock} + threadIdx.x) / kLanes; group < count;
       group += int64_t{gridDim.x} * (kBlock / kLanes)) {
    const M* const from = mask + group / inner * size * inner + group % inner;
    int32_t own = 0;
    for (int64_t i = kLanes == 1 ? 0 : threadIdx.x % kLanes; i < size; i += kLanes) own += from[i * inner] != M{0};
    if constexpr (kLanes == 32) own = warp_reduce(own, [](int32_t a, int32_t b) { return a + b; });
    if (kLanes == 1 || threadIdx.x % kLanes == 0) counts[group] = own;
  }
}

template <class M>
void count_groups(const M* mask, int64_t outer, int64_t size, int64_t inner, int32_t* counts) {
  const int64_t count = outer * inner;
  if (count == 0) return;
  if (inner == 1 && size >= 64)
    count_groups_kernel<32><<<grid_for(count * 32), kBlock, 0, stream()>>>(mask, count, size, inner, counts);
  else count_groups_kernel<1><<<grid_for(count), kBlock, 0, stream()>>>(mask, count, size, inner, counts);
  launched("count_groups");
}

// Two counts of a whole array.
struct Tally {
  unsigned long long counted, bad;
};

// rule.look(i, &counted, &bad) for every pack of N entries, and the rest one by one.
template <int N, class Rule>
__global__ void __launch_bounds__(kBlock) tally_kernel(int64_t n, Rule rule, Tally* tally) {
  const int64_t thread = blockIdx.x * int64_t{kBlock} + threadIdx.x, packs = n / N;
  int64_t counted = 0, bad = 0;
  for (int64_t i = thread; i < packs; i += int64_t{gridDim.x} * kBlock) rule.template look<N>(i * N, &counted, &bad);
  if constexpr (N > 1)
    if (thread < n % N) rule.template look<1>(packs * N + thread, &counted, &bad);
  const auto add = [](int64_t a, int64_t b) { return a + b; };
  counted = block_reduce(counted, int64_t{0}, add);
  bad = block_reduce(bad, int64_t{0}, add);
  if (threadIdx.x != 0) return;
  if (counted != 0) atomicAdd(&tally->counted, static_cast<unsigned long long>(counted));
  if (bad != 0) atomicAdd(&tally->bad, static_cast<unsigned long long>(bad));
}

// Adds to the tally what the rule counts.
template <class Rule>
void count(int64_t n, bool packed, const Rule& rule, Tally* tally) {
  if (n == 0) return;
  if (packed) tally_kernel<4><<<grid_for(ceil_div(n, 4)), kBlock, 0, stream()>>>(n, rule, tally);
  else tally_kernel<1><<<grid_for(n), kBlock, 0, stream()>>>(n, rule, tally);
  launched("tally");
}

// A tally that starts at zero, and what it says once all that is queued has run.
struct Counter {
  Temporary<Tally> tally{1};
  Counter() { ESPALIER_CUDA(cudaMemsetAsync(tally, 0, sizeof(Tally), stream())); }
  Tally read() const {
    Tally result;
    ESPALIER_CUDA(cudaMemcpyAsync(&result, tally, sizeof result, cudaMemcpyDeviceToHost, stream()));
    synchronize();
    return result;
  }
};

template <class T, class M>
struct AtMost {
  const T* score;
  const M* mask;
  bool magnitude, strictly;
  T bound;
  template <int N>
  __device__ void look(int64_t i, int64_t* counted, int64_t* bad) const {
    const Pack<T, N> scores = load<N>(score + i);
    Pack<M, N> masks;
    if (mask != nullptr) masks = load<N>(mask + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const T ranked = magnitude ? fabs(scores.at[j]) : scores.at[j];
      *bad += ranked != ranked;
      *counted += (mask == nullptr || masks.at[j] != M{0}) && (strictly ? ranked < bound : ranked <= bound);
    }
  }
};

template <class M>
struct Ones {
  const M* mask;
  template <int N>
  __device__ void look(int64_t i, int64_t* counted, int64_t* bad) const {
    const Pack<M, N> entries = load<N>(mask + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      *counted += entries.at[j] == M{1};
      *bad += entries.at[j] != M{1} && entries.at[j] != M{0};
    }
  }
};

// The threshold as T has it. T cannot hold every one: one that lies on the same side of all its numbers does.
template <class T>
T bound_of(double threshold, bool strictly) {
  T bound = static_cast<T>(threshold);
  if (!strictly && static_cast<double>(bound) > threshold) bound = std::nextafter(bound, -static_cast<T>(INFINITY));
  if (strictly && static_cast<double>(bound) < threshold) bound = std::nextafter(bound, static_cast<T>(INFINITY));
  return bound;
}

// Runs body(M{}) for the type of a mask that has no scores beside it.
template <class Body>
void for_each_mask(const char* name, espalier_dtype dtype, Body body) {
  if (dtype == ESPALIER_UINT8) return body(uint8_t{});
  for_float(name, dtype, body);
}

}  // namespace

espalier_status espalier_cuda_prune_groups(espalier_in scores, espalier_in mask, int64_t magnitude, int64_t outer,
                                           int64_t size, int64_t inner, espalier_in falling, espalier_out result) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    const int64_t n = checked_product("outer, size and inner", {outer, size, inner});
    const int64_t count = checked_product("outer and inner", {outer, inner});
    const bool each = falling.length != 1;
    const int32_t* const falls = elements<int32_t>("falling", falling, each ? count : 1);
    const int32_t source = fault_source("espalier_cuda_prune_groups");
    for_float("scores", scores.dtype, [&]<class T>(T) {
      for_mask<T>("result", result.dtype, [&]<class M>(M) {
        const Scored<T, M> array{elements<T>("scores", scores, n), optional_elements<M>("mask", mask, n),
                                 elements<M>("result", result, n), magnitude == 1};
        if (n > 0) prune_groups(array, {outer, size, inner, falls, each}, source);
      });
    });
  });
}

espalier_status espalier_cuda_count_groups(espalier_in mask, int64_t outer, int64_t size, int64_t inner,
                                           espalier_out counts) {
  return guarded(__func__, [&] {
    const int64_t n = checked_product("outer, size and inner", {outer, size, inner});
    require_range("size", size, 0, INT32_MAX);
    const int64_t groups = checked_product("outer and inner", {outer, inner});
    for_each_mask("mask", mask.dtype, [&]<class M>(M) {
      count_groups(elements<M>("mask", mask, n), outer, size, inner, elements<int32_t>("counts", counts, groups));
    });
  });
}

espalier_status espalier_cuda_count_at_most(espalier_in_list scores, espalier_in_list masks, int64_t magnitude,
                                            double threshold, int64_t strictly, int64_t* total) {
  return guarded(__func__, [&] {
    require_range("magnitude", magnitude, 0, 1);
    require_range("strictly", strictly, 0, 1);
    if (std::isnan(threshold)) fail(ESPALIER_INVALID_ARGUMENT, "threshold is NaN");
    if (masks.count != 0 && masks.count != scores.count)
      fail(ESPALIER_SHAPE_MISMATCH, "there are %lld scores and %lld masks", static_cast<long long>(scores.count),
           static_cast<long long>(masks.count));
    *total = 0;
    const Counter counter;
    for (int64_t i = 0; i < scores.count; ++i) {
      const espalier_in score = scores.items[i];
      for_float("scores", score.dtype, [&]<class T>(T) {
        for_mask<T>("masks", masks.count == 0 ? score.dtype : masks.items[i].dtype, [&]<class M>(M) {
          const AtMost<T, M> rule{elements<T>("a score", score, score.length),
                                  masks.count == 0 ? nullptr : elements<M>("a mask", masks.items[i], score.length),
                                  magnitude == 1, strictly == 1, bound_of<T>(threshold, strictly == 1)};
          count(score.length, packable<4>(rule.score, rule.mask), rule, counter.tally.get());
        });
      });
    }
    const Tally seen = counter.read();
    if (seen.bad != 0) fail(ESPALIER_INVALID_ARGUMENT, "scores hold a NaN");
    *total = static_cast<int64_t>(seen.counted);
  });
}

espalier_status espalier_cuda_count_ones(espalier_in mask, int64_t* ones) {
  return guarded(__func__, [&] {
    for_each_mask("mask", mask.dtype, [&]<class M>(M) {
      const Ones<M> rule{elements<M>("mask", mask, mask.length)};
      const Counter counter;
      count(mask.length, packable<4>(rule.mask), rule, counter.tally.get());
      const Tally seen = counter.read();
      *ones = seen.bad != 0 ? -1 : static_cast<int64_t>(seen.counted);
    });
  });
}
