// kLanes<float> blocks at once, word w of block b at words[w][b].
struct Blocks {
  alignas(kVectorBytes) uint32_t words[4][kLanes<float>];
};

ESPALIER_INLINE void philox(uint64_t seed, uint64_t counter, Blocks& out) {
  constexpr int kCount = kLanes<float>;
  uint32_t a[kCount], b[kCount], c[kCount] = {}, d[kCount] = {};
  for (int i = 0; i < kCount; ++i) {
    a[i] = static_cast<uint32_t>(counter + static_cast<uint64_t>(i));
    b[i] = static_cast<uint32_t>((counter + static_cast<uint64_t>(i)) >> 32);
  }
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kCount; ++i) {
      const uint64_t first = uint64_t{a[i]} * 0xD2511F53u, second = uint64_t{c[i]} * 0xCD9E8D57u;
      a[i] = static_cast<uint32_t>(second >> 32) ^ b[i] ^ key0;
      b[i] = static_cast<uint32_t>(second);
      c[i] = static_cast<uint32_t>(first >> 32) ^ d[i] ^ key1;
      d[i] = static_cast<uint32_t>(first);
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  for (int i = 0; i < kCount; ++i) {
    out.words[0][i] = a[i];
    out.words[1][i] = b[i];
    out.words[2][i] = c[i];
    out.words[3][i] = d[i];
  }
}

// The w-th number of block b in [0, 1): 24 bits of a word, or 53 of two.
template <class T>
ESPALIER_INLINE T unit(const Blocks& blocks, int w, int b) {
  if constexpr (sizeof(T) == 4) {
    return static_cast<T>(static_cast<int32_t>(blocks.words[w][b] >> 8)) * T(1.0 / (1 << 24));
  } else {
    const uint64_t bits = uint64_t{blocks.words[2 * w][b]} << 32 | blocks.words[2 * w + 1][b];
    return static_cast<T>(static_cast<int64_t>(bits >> 11)) * (T(1.0) / static_cast<T>(int64_t{1} << 53));
  }
}

// The lanes of two vectors in turn: those of their first halves (From = 0) or second halves.
template <class T, int From, int... I>
ESPALIER_INLINE Vec<T> zip(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (From + I / 2 + I % 2 * kLanes<T>)...);
}
template <class T>
ESPALIER_INLINE void store_zipped(T* y, Vec<T> a, Vec<T> b) {
  constexpr std::make_integer_sequence<int, kLanes<T>> kAll{};
  store<T>(y, zip<T, 0>(a, b, kAll));
  store<T>(y + kLanes<T>, zip<T, kLanes<T> / 2>(a, b, kAll));
}

// The numbers of kLanes<float> blocks, the w-th of block b at part[w][b]: computed so, a vector at a
// time, and written out block by block.
template <class T>
struct Numbers {
  static constexpr int kEach = static_cast<int>(kernels::kPerBlock<T>);
  alignas(kVectorBytes) T part[kEach][kLanes<float>];

  ESPALIER_INLINE void write(T* y) const {
    if constexpr (kEach == 2) {
      for (int b = 0; b < kLanes<float>; b += kLanes<T>)
        store_zipped<T>(y + 2 * b, load<T>(part[0] + b), load<T>(part[1] + b));
    } else {
      constexpr std::make_integer_sequence<int, kLanes<T>> kAll{};
      constexpr int kHalf = kLanes<T> / 2;
      const Vec<T> p0 = load<T>(part[0]), p1 = load<T>(part[1]), p2 = load<T>(part[2]), p3 = load<T>(part[3]);
      store_zipped<T>(y, zip<T, 0>(p0, p2, kAll), zip<T, 0>(p1, p3, kAll));
      store_zipped<T>(y + 2 * kLanes<T>, zip<T, kHalf>(p0, p2, kAll), zip<T, kHalf>(p1, p3, kAll));
    }
  }
};

// y[0…n) filled by function(blocks, numbers).
template <class T, class Function>
ESPALIER_INLINE void fill_random(uint64_t seed, uint64_t counter, T* y, int64_t n, Function function) {
  constexpr int64_t kStep = kLanes<float> * kernels::kPerBlock<T>;
  parallel_ranges(n, kRandomGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += kStep) {
      Blocks blocks;
      philox(seed, counter + static_cast<uint64_t>(i / kernels::kPerBlock<T>), blocks);
      Numbers<T> numbers;
      function(blocks, numbers);
      if (i + kStep <= end) {
        numbers.write(y + i);
      } else {
        alignas(kVectorBytes) T last[kStep];
        numbers.write(last);
        std::memcpy(y + i, last, static_cast<size_t>(end - i) * sizeof(T));
      }
    }
  });
}

template <class T>
void random_uniform(uint64_t seed, uint64_t counter, T low, T high, T* y, int64_t n) {
  const T span = high - low;
  fill_random<T>(seed, counter, y, n, [=](const Blocks& blocks, Numbers<T>& numbers) {
    for (int w = 0; w < Numbers<T>::kEach; ++w)
      for (int b = 0; b < kLanes<float>; ++b) numbers.part[w][b] = low + unit<T>(blocks, w, b) * span;
  });
}

// A number's (first) word against p in 32 bits.
template <class T>
void random_bernoulli(uint64_t seed, uint64_t counter, double p, T value, T* y, int64_t n) {
  if (p == 1) {
    std::fill(y, y + n, value);
    return;
  }
  const uint32_t limit = static_cast<uint32_t>(p * 4294967296.0);
  fill_random<T>(seed, counter, y, n, [=](const Blocks& blocks, Numbers<T>& numbers) {
    constexpr int kEach = Numbers<T>::kEach;
    for (int w = 0; w < kEach; ++w)
      for (int b = 0; b < kLanes<float>; ++b)
        numbers.part[w][b] = static_cast<T>(blocks.words[w * 4 / kEach][b] < limit) * value;
  });
}

// Two uniform numbers u, v make two normal ones, √(-2 ln u) times the cosine and sine of 2πv.
template <class T>
void random_normal(uint64_t seed, uint64_t counter, T mean, T deviation, T* y, int64_t n) {
  fill_random<T>(seed, counter, y, n, [=](const Blocks& blocks, Numbers<T>& numbers) {
    constexpr int kLane = kLanes<T>;
    for (int w = 0; w < Numbers<T>::kEach; w += 2) {
      for (int from = 0; from < kLanes<float>; from += kLane) {
        Vec<T> u, v;
        for (int b = 0; b < kLane; ++b) {
          // From (0, 1], so that the logarithm is finite; a float32 takes all 32 bits for the far tails.
          if constexpr (sizeof(T) == 4) u[b] = (static_cast<T>(blocks.words[w][from + b]) + 1) * T(1.0 / 4294967296.0);
          else u[b] = 1 - unit<T>(blocks, w, from + b);
          v[b] = unit<T>(blocks, w + 1, from + b);
        }
        const Vec<T> radius = sqrt<T>(T(-2) * log<T>(u)) * deviation;
        Vec<T> sine, cosine;
        sin_cos_turn<T>(v, sine, cosine);
        const Vec<T> first = radius * cosine + mean, second = radius * sine + mean;
        store<T>(numbers.part[w] + from, first);
        store<T>(numbers.part[w + 1] + from, second);
      }
    }
  });
}

// Fisher and Yates: place i gets one of those not yet placed. The product of 64 random bits with the
// count chooses one; its bias is below 2^-32.
inline void random_permutation(uint64_t seed, uint64_t counter, int32_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<int32_t>(i);
  constexpr int64_t kStep = 2 * kLanes<float>;
  for (int64_t i = 0; i < n; i += kStep) {
    Blocks blocks;
    philox(seed, counter + static_cast<uint64_t>(i / 2), blocks);
    for (int64_t k = 0; k < std::min(kStep, n - i); ++k) {
      const int64_t b = k / 2, w = k % 2 * 2;
      const uint64_t bits = uint64_t{blocks.words[w][b]} << 32 | blocks.words[w + 1][b];
      const uint64_t left = static_cast<uint64_t>(n - i - k);
      // The high half of bits · left, left being below 2^32.
      const uint64_t chosen = ((bits >> 32) * left + ((bits & 0xffffffffu) * left >> 32)) >> 32;
      std::swap(y[i + k], y[i + k + static_cast<int64_t>(chosen)]);
    }
  }
}
