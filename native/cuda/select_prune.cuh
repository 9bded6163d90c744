// The k smallest of several arrays together, in two passes over memory.
//
// A sample brackets the score sought so tightly that one pass, which counts what lies below and sets aside
// what lies inside, key and place, leaves about a per cent of the entries to look at; a second pass writes
// the masks. Floyd & Rivest 1975. Whatever the sample says the result is exact: where the bracket misses, or
// holds too much because many scores are equal, the digits of all entries are counted instead (slower, at a
// pass a digit). What is set aside comes in any order, but is a set: the result does not depend on it.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "cuda/packs.cuh"
#include "cuda/select_radix.cuh"

namespace espalier::cuda {

// One array of scores with its masks (M is T or uint8_t), and where it lies in the sequence of all.
template <class T, class M>
struct Part {
  const T* score;
  const M* mask;  // null: all ones; may be `result`
  M* result;
  int64_t n;
  int64_t start, first_tile, end_tile;
  bool packed;  // four at a time
};

// A block takes a tile at a time, each thread twice four neighbours of it.
constexpr int kTileSteps = 2, kTile = kTileSteps * 4 * kBlock;

template <class T, class M>
struct Parts {
  const Part<T, M>* items;  // on the device
  int count;
  int64_t size, tiles;
  bool magnitude;

  // The part that holds entry i of the sequence.
  __device__ int holding(int64_t i) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (items[middle].start <= i) low = middle;
      else high = middle - 1;
    }
    return low;
  }
};

// body(whole, part, i) with i the first of the thread's neighbours, in step for the whole block. Of a tile the
// thread's next four are 4 · kBlock further. `whole` is a constant: true where all of the tile is there and packs
// of four move, false where what lies at or behind part.n is not there.
template <class T, class M, class Body>
__device__ __forceinline__ void over_tiles(const Parts<T, M>& parts, Body body) {
  int at = 0;
  Part<T, M> part = parts.items[0];
  for (int64_t tile = blockIdx.x; tile < parts.tiles; tile += gridDim.x) {
    while (tile >= part.end_tile) part = parts.items[++at];
    const int64_t first = (tile - part.first_tile) * kTile, i = first + threadIdx.x * 4;
    if (part.packed && first + kTile <= part.n) body(std::true_type{}, part, i);
    else body(std::false_type{}, part, i);
  }
}

// Four neighbours; unless they are whole, the first `left` of them.
template <bool kWhole, class T>
__device__ __forceinline__ Pack<T, 4> load4(const T* from, int64_t left) {
  __builtin_assume(__isGlobal(from));
  if constexpr (kWhole) {
    return load<4>(from);
  } else {
    Pack<T, 4> result;
#pragma unroll
    for (int j = 0; j < 4; ++j) result.at[j] = j < left ? from[j] : T{0};
    return result;
  }
}
template <bool kWhole, class T>
__device__ __forceinline__ void store4(T* to, int64_t left, const Pack<T, 4>& pack) {
  __builtin_assume(__isGlobal(to));
  if constexpr (kWhole) {
    store<4>(to, pack);
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      if (j < left) to[j] = pack.at[j];
  }
}

// What a thread has of a tile.
template <class T, class M>
struct Portion {
  Pack<T, 4> scores[kTileSteps];
  Pack<M, 4> masks[kTileSteps];

  template <bool kWhole>
  __device__ __forceinline__ void read(const Part<T, M>& part, int64_t i) {
#pragma unroll
    for (int step = 0; step < kTileSteps; ++step) {
      const int64_t from = i + step * 4 * kBlock;
      scores[step] = load4<kWhole>(part.score + from, part.n - from);
      if (part.mask != nullptr) masks[step] = load4<kWhole>(part.mask + from, part.n - from);
    }
  }
};

// ---- The bracket -----------------------------------------------------------------------------------

constexpr int64_t kSample = 1 << 18;

// A number for each i that looks like chance (the finish of MurmurHash3, Appleby 2011).
__device__ __forceinline__ uint32_t scattered(uint32_t i) {
  i = (i ^ i >> 16) * 0x85ebca6bu;
  i = (i ^ i >> 13) * 0xc2b2ae35u;
  return i ^ i >> 16;
}

// Keys of entries spread over the sequence, one of each stretch of it; kAll, which no number has, for those out
// of play. Which one is left to chance: in steps of one length a matrix whose rows have that length, or a power
// of two near it, would show a single column, and the bracket would miss.
template <class T, class M>
__global__ void sample_kernel(Parts<T, M> parts, KeyFor<T>* keys) {
  for (int64_t i = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; i < kSample; i += int64_t{gridDim.x} * blockDim.x) {
    const int64_t stretch = parts.size / kSample, begin = i * stretch + parts.size % kSample * i / kSample;
    const int64_t at = begin + (scattered(static_cast<uint32_t>(i)) * static_cast<uint64_t>(stretch) >> 32);
    const Part<T, M>& part = parts.items[parts.holding(at)];
    const T score = part.score[at - part.start];
    const bool alive = part.mask == nullptr || part.mask[at - part.start] != M{0};
    keys[i] = alive && score == score ? key_of(score, parts.magnitude) : kAll<KeyFor<T>>;
  }
}

template <class T>
struct SampleSource {
  using Key = KeyFor<T>;
  const Key* keys;
  int64_t low, high;  // rows 0 and 1 are the same entries
  __device__ int64_t rank(int64_t row) const { return row == 0 ? low : high; }
  __device__ bool get(int64_t, int64_t i, Key* key) const { return (*key = keys[i]) != kAll<Key>; }
  __device__ uint64_t place(int64_t, int64_t i) const { return i; }
};

// The ends of the bracket as entries of the sample; without `cuts`, or beyond the sample, it is open.
template <class Key>
struct Bracket {
  const Cut<Key>* cuts;  // of the low end, of the high one
  int64_t low, high;     // their ranks in the sample

  __device__ Range<Key> range() const {
    Range<Key> result{0, kAll<Key>};
    if (cuts == nullptr || cuts[0].count == 0) return result;
    if (low >= 0) result.low = cuts[0].key;
    if (high < cuts[1].count) result.high = cuts[1].key;
    return result;
  }
};

// ---- The first pass --------------------------------------------------------------------------------

template <class Key>
struct Survey {
  unsigned long long below, inside, alive, bad;  // alive: where there are masks; bad: NaN
  Range<Key> range;
};

// What lies inside the bracket: keys, less the bracket's low end, and places.
template <class Key, class Place>
struct Candidates {
  Key* keys;
  Place* places;
  int64_t capacity;
};

// Entries a warp sets aside until they are worth an access: 4 KiB of them. One step may bring kStep.
constexpr int kStep = kTileSteps * 4 * 32;
template <class Key, class Place>
constexpr int kAside = 4096 / (sizeof(Key) + sizeof(Place));

template <class T, class M, class Place, bool kMagnitude>
__global__ void __launch_bounds__(kBlock)
    survey_kernel(Parts<T, M> parts, Bracket<KeyFor<T>> bracket, Candidates<KeyFor<T>, Place> candidates,
                  Survey<KeyFor<T>>* survey) {
  using Key = KeyFor<T>;
  constexpr int kWarps = kBlock / 32, kRoom = kAside<Key, Place>;
  static_assert(kStep <= kRoom);
  __shared__ Key aside_keys[kWarps][kRoom];
  __shared__ Place aside_places[kWarps][kRoom];
  const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5, lower_lanes = (1u << lane) - 1;
  Key* const keys = aside_keys[warp];
  Place* const places = aside_places[warp];
  const Range<Key> range = bracket.range();
  const Key low = range.low, span = range.high - range.low;
  const bool keep = span > 0;                          // a single key needs no list
  unsigned below = 0, inside = 0, alive = 0, bad = 0;  // of one thread: never near 2^32
  unsigned fill = 0;
  // Takes room in the list, whose entries are those inside.
  const auto flush = [&] {
    __syncwarp();
    unsigned long long to = 0;
    if (lane == 0) to = atomicAdd(&survey->inside, static_cast<unsigned long long>(fill));
    to = __shfl_sync(0xffffffffu, to, 0);
    for (unsigned i = lane; i < fill; i += 32)
      if (static_cast<int64_t>(to) + i < candidates.capacity) {
        candidates.keys[to + i] = keys[i];
        candidates.places[to + i] = places[i];
      }
    __syncwarp();
    fill = 0;
  };
  over_tiles(parts, [&](auto whole, const Part<T, M>& part, int64_t i) {
    Portion<T, M> portion;
    portion.template read<whole>(part, i);
#pragma unroll
    for (int step = 0; step < kTileSteps; ++step) {
      const int64_t from = i + step * 4 * kBlock;
      const Place place = static_cast<Place>(part.start + from);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const T score = portion.scores[step].at[j];
        bool here = part.mask == nullptr || portion.masks[step].at[j] != M{0};
        if (!whole) here = here && from + j < part.n;
        const Key key = key_of(score, kMagnitude);
        bad |= score != score;
        if (part.mask != nullptr) alive += here;
        below += here && key < low;
        const bool within = here && key - low <= span;
        if (!keep) {
          inside += within;
          continue;
        }
        const unsigned votes = __ballot_sync(0xffffffffu, within);
        if (votes == 0) continue;  // for the whole warp, and more often than not
        if (within) {
          const unsigned at = fill + __popc(votes & lower_lanes);
          keys[at] = key - low;
          places[at] = place + j;
        }
        fill += __popc(votes);
      }
    }
    if (fill > kRoom - kStep) flush();
  });
  if (fill > 0) flush();
  const auto report = [](unsigned own, unsigned long long* to) {
    const int64_t all = block_reduce(int64_t{own}, int64_t{0}, [](int64_t a, int64_t b) { return a + b; });
    if (threadIdx.x == 0 && all != 0) atomicAdd(to, static_cast<unsigned long long>(all));
  };
  report(below, &survey->below);
  report(inside, &survey->inside);
  report(alive, &survey->alive);
  report(bad, &survey->bad);
  if (blockIdx.x == 0 && threadIdx.x == 0) survey->range = range;
}

template <class T, class Place>
struct CandidateSource {
  using Key = KeyFor<T>;
  const Key* keys;
  const Place* places;
  int64_t sought;
  __device__ int64_t rank(int64_t) const { return sought; }
  __device__ bool get(int64_t, int64_t i, Key* key) const {
    *key = keys[i];
    return true;
  }
  __device__ uint64_t place(int64_t, int64_t i) const { return places[i]; }
};

// All entries in play within a range, for the slow way.
template <class T, class M>
struct PartsSource {
  using Key = KeyFor<T>;
  Parts<T, M> parts;
  Range<Key> range;
  int64_t sought;
  __device__ int64_t rank(int64_t) const { return sought; }
  __device__ bool get(int64_t, int64_t i, Key* key) const {
    const Part<T, M>& part = parts.items[parts.holding(i)];
    const int64_t at = i - part.start;
    if (part.mask != nullptr && part.mask[at] == M{0}) return false;
    const Key whole = key_of(part.score[at], parts.magnitude);
    *key = whole - range.low;
    return range.holds(whole);
  }
  __device__ uint64_t place(int64_t, int64_t i) const { return i; }
};

// ---- The second pass -------------------------------------------------------------------------------

// Entries that fall: those with a lower key, and of those with this one the places before `end`.
template <class Key>
struct Fallen {
  Key key;
  uint64_t end;
};

// `cut`, where given, is the last to fall, its key less fallen.key.
template <class T, class M, bool kMagnitude>
__global__ void __launch_bounds__(kBlock)
    fell_kernel(Parts<T, M> parts, Fallen<KeyFor<T>> fallen, const Cut<KeyFor<T>>* cut) {
  using Key = KeyFor<T>;
  if (cut != nullptr) fallen = {static_cast<Key>(fallen.key + cut->key), cut->place + 1};
  over_tiles(parts, [&](auto whole, const Part<T, M>& part, int64_t i) {
    Portion<T, M> portion;
    portion.template read<whole>(part, i);
#pragma unroll
    for (int step = 0; step < kTileSteps; ++step) {
      const int64_t from = i + step * 4 * kBlock;
      const uint64_t place = static_cast<uint64_t>(part.start + from);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const Key key = key_of(portion.scores[step].at[j], kMagnitude);
        const bool falls = key < fallen.key || (key == fallen.key && place + j < fallen.end);
        M& mask = portion.masks[step].at[j];
        mask = falls ? M{0} : part.mask != nullptr ? mask : M{1};
      }
      store4<whole>(part.result + from, part.n - from, portion.masks[step]);
    }
  });
}

// ---- The call --------------------------------------------------------------------------------------

template <class T, class M>
class Pruning {
 public:
  using Key = KeyFor<T>;

  Pruning(std::vector<Part<T, M>> arrays, bool magnitude) : items_(place(arrays)) {
    parts_ = {nullptr, static_cast<int>(items_.size()), size_, tiles_, magnitude};
  }

  // Returns the score of the last to fall. Throws Failure for NaN and for k beyond what is left.
  double run(int64_t k) {
    if (size_ == 0) {
      require_within(k, 0);
      return -std::numeric_limits<double>::infinity();
    }
    Temporary<Part<T, M>> table(static_cast<int64_t>(items_.size()));
    ESPALIER_CUDA(
        cudaMemcpyAsync(table, items_.data(), items_.size() * sizeof(Part<T, M>), cudaMemcpyHostToDevice, stream()));
    parts_.items = table;
    // A place is 32 bits unless there are more of them.
    return size_ <= int64_t{1} << 32 ? select<uint32_t>(k) : select<uint64_t>(k);
  }

 private:
  static void require_within(int64_t k, int64_t alive) {
    if (k < 0 || k > alive)
      fail(ESPALIER_INVALID_ARGUMENT, "of the entries left: k is %lld, expected 0 to %lld", static_cast<long long>(k),
           static_cast<long long>(alive));
  }

  // The arrays that hold anything, one behind the other.
  std::vector<Part<T, M>> place(const std::vector<Part<T, M>>& arrays) {
    std::vector<Part<T, M>> result;
    for (Part<T, M> part : arrays) {
      if (part.n == 0) continue;
      part.start = size_;
      part.first_tile = tiles_;
      part.packed = packable<4>(part.score, part.mask, part.result);
      size_ += part.n;
      part.end_tile = tiles_ += ceil_div(part.n, kTile);
      result.push_back(part);
    }
    return result;
  }

  unsigned grid() const {
    return static_cast<unsigned>(std::min<int64_t>(tiles_, int64_t{traits().multiprocessors} * 16));
  }

  // Where the entry of rank k − 1 likely lies. (In fewer entries than this the sample is no help.)
  Bracket<Key> bracket(int64_t k, Key* keys, Cut<Key>* cuts) const {
    if (size_ < kSmall || k < 1 || k > size_) return {nullptr, 0, 0};
    sample_kernel<<<grid_for(kSample), kBlock, 0, stream()>>>(parts_, keys);
    launched("sample");
    const double share = static_cast<double>(k - 1) / static_cast<double>(size_);
    const double center = share * static_cast<double>(kSample);
    const double margin = 4 * std::sqrt(center * (1 - share)) + 4;
    const auto low = static_cast<int64_t>(std::floor(center - margin)), high = static_cast<int64_t>(center + margin);
    find_cuts(SampleSource<T>{keys, std::max<int64_t>(low, 0), high}, 2, kSample, kKeyBits<Key>, 0, false, cuts);
    return {cuts, low, high};
  }

  template <class Place>
  double select(int64_t k) {
    const bool sampled = size_ >= kSmall;
    Temporary<Key> sample(sampled ? kSample : 0);
    Temporary<Cut<Key>> cuts(2);
    const int64_t capacity = sampled ? std::max(kSmall, size_ / 32) : size_;
    Temporary<Key> keys(capacity);
    Temporary<Place> places(capacity);
    Temporary<Survey<Key>> survey(1);
    ESPALIER_CUDA(cudaMemsetAsync(survey, 0, sizeof(Survey<Key>), stream()));
    const Bracket<Key> likely = bracket(k, sample, cuts);
    const auto kernel = parts_.magnitude ? survey_kernel<T, M, Place, true> : survey_kernel<T, M, Place, false>;
    kernel<<<grid(), kBlock, 0, stream()>>>(parts_, likely, Candidates<Key, Place>{keys, places, capacity},
                                            survey.get());
    launched("survey");
    const auto seen = fetch(survey.get());
    if (seen.bad != 0) fail(ESPALIER_INVALID_ARGUMENT, "scores hold a NaN");
    require_within(k, items_[0].mask == nullptr ? size_ : static_cast<int64_t>(seen.alive));
    if (k == 0) {
      write({0, 0}, nullptr);
      return -std::numeric_limits<double>::infinity();
    }
    const uint64_t rank = static_cast<uint64_t>(k - 1);
    Range<Key> range = seen.range;
    const bool hit = rank >= seen.below && rank < seen.below + seen.inside;
    const auto within = static_cast<int64_t>(rank - seen.below);
    const int place_bits = bits_of(static_cast<uint64_t>(size_ - 1));
    if (hit && range.low == range.high && rank + 1 == seen.below + seen.inside) {
      write({range.low, kAll<uint64_t>}, nullptr);
      return static_cast<double>(number_of<T>(range.low, parts_.magnitude));
    }
    const auto span_bits = [&] { return bits_of(static_cast<uint64_t>(range.high - range.low)); };
    if (hit && range.low < range.high && seen.inside <= static_cast<uint64_t>(capacity)) {
      find_cuts(CandidateSource<T, Place>{keys, places, within}, 1, static_cast<int64_t>(seen.inside), span_bits(),
                place_bits, false, cuts.get());
    } else {
      if (!hit) range = {0, kAll<Key>};
      find_cuts(PartsSource<T, M>{parts_, range, hit ? within : static_cast<int64_t>(rank)}, 1, size_, span_bits(),
                place_bits, false, cuts.get());
    }
    write({range.low, 0}, cuts);
    const auto key = static_cast<Key>(range.low + fetch(cuts.get()).key);
    return static_cast<double>(number_of<T>(key, parts_.magnitude));
  }

  template <class Value>
  static Value fetch(const Value* from) {
    Value value;
    ESPALIER_CUDA(cudaMemcpyAsync(&value, from, sizeof value, cudaMemcpyDeviceToHost, stream()));
    synchronize();
    return value;
  }

  void write(Fallen<Key> fallen, const Cut<Key>* cut) const {
    const auto kernel = parts_.magnitude ? fell_kernel<T, M, true> : fell_kernel<T, M, false>;
    kernel<<<grid(), kBlock, 0, stream()>>>(parts_, fallen, cut);
    launched("fell");
  }

  static constexpr int64_t kSmall = 1 << 20;
  int64_t size_ = 0, tiles_ = 0;
  std::vector<Part<T, M>> items_;  // behind what place() sets
  Parts<T, M> parts_{};
};

}  // namespace espalier::cuda
