// What words of 16 bits hold of a row's products, found as its weights are packed: how its entries are shared out to
// words, how many steps' sums they hold, and which codes are flipped where two neighbours' products would not fit. The
// kernel that relies on it is integer_pairs.cc's.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace espalier::sparse {

inline int32_t bytes_of(int8_t a, int8_t b, int8_t c, int8_t d) {
  const auto byte = [](int8_t w, int at) { return static_cast<uint32_t>(static_cast<uint8_t>(w)) << (8 * at); };
  return static_cast<int32_t>(byte(a, 0) | byte(b, 1) | byte(c, 2) | byte(d, 3));
}
inline int32_t words_of(int8_t a, int8_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(static_cast<uint16_t>(a)) |
                              static_cast<uint32_t>(static_cast<uint16_t>(b)) << 16);
}

// What words hold of weights, times the greatest code: codes are none below 0, so that no part of a sum is beyond that
// of its positive weights, or of its negative ones.
struct Load {
  int32_t up = 0, down = 0;
  void add(int8_t w) {
    up += std::max<int32_t>(w, 0);
    down -= std::min<int32_t>(w, 0);
  }
};
class Limit {
 public:
  explicit Limit(int32_t greatest)
      : up_(INT16_MAX / std::max(greatest, 1)), down_(-INT16_MIN / std::max(greatest, 1)) {}
  bool holds(const Load& load) const { return load.up <= up_ && load.down <= down_; }
  // How many words such a sum takes at least.
  int64_t words_for(const Load& load) const {
    return std::max<int64_t>({1, (load.up + up_ - 1) / up_, (load.down + down_ - 1) / down_});
  }

 private:
  int32_t up_, down_;
};

// Whether steps should be added in words: not a few of many, for then the sums of 32 bits wait in memory.
inline bool worth_words(int64_t together, int64_t steps) {
  constexpr int64_t kWorthWaiting = 6;
  return together > 1 && (together >= steps || together >= kWorthWaiting);
}

struct Entry {
  int8_t weight;
  uint16_t offset;
};

// A row's entries shared out to steps, by pairs: as evenly as can be, for the sums of `together` steps are words.
class Deal {
 public:
  // Where entry i of `order` went: step·4 + place.
  const std::vector<int32_t>& places() const { return place_; }
  int64_t steps() const { return steps_; }
  int64_t together() const { return together_; }

  // `order`: positive weights first, the greatest of them first, then negative ones, the least of them last. They go
  // to the words to and fro, so that the greatest are with the smallest, and those of one sign with those of the other.
  void find(const std::vector<Entry>& order, const Limit& limit) {
    const int64_t count = static_cast<int64_t>(order.size()), least = (count + 3) / 4;
    Load all;
    for (const Entry& entry : order) all.add(entry.weight);
    const int64_t turns = (limit.words_for(all) + 1) / 2;
    for (int64_t together = (least + turns - 1) / turns; worth_words(together, least); together = together * 3 / 4)
      if (deal(order, limit, least, together)) return;
    for (int64_t steps = least; !deal(order, limit, steps, 1); steps += std::max<int64_t>(1, steps / 8)) {
    }
  }

 private:
  bool deal(const std::vector<Entry>& order, const Limit& limit, int64_t steps, int64_t together) {
    steps_ = steps;
    together_ = together;
    const int64_t words = (steps + together - 1) / together * 2;
    const auto room = [&](int64_t word) { return 2 * std::min(together, steps - word / 2 * together); };
    load_.assign(static_cast<size_t>(words), {});
    dealt_.assign(static_cast<size_t>(words), 0);
    place_.resize(order.size());
    if (together == 1) return deal_pairs(order, limit, words);
    for (int64_t i = 0, at = 0, turn = 1; i < static_cast<int64_t>(order.size()); at += turn) {
      if (at == words) at = words - 1, turn = -1;
      if (at < 0) at = 0, turn = 1;
      const size_t word = static_cast<size_t>(at);
      if (dealt_[word] == room(at)) continue;
      load_[word].add(order[static_cast<size_t>(i)].weight);
      if (!limit.holds(load_[word])) return false;
      place_[static_cast<size_t>(i++)] =
          static_cast<int32_t>((at / 2 * together + dealt_[word] / 2) * 4 + at % 2 * 2 + dealt_[word] % 2);
      ++dealt_[word];
    }
    return true;
  }

  // The same for words of two entries: first one each, then another, from the last word on.
  bool deal_pairs(const std::vector<Entry>& order, const Limit& limit, int64_t words) {
    const int64_t count = static_cast<int64_t>(order.size());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t second = i / words, word = second == 0 ? i : 2 * words - 1 - i;
      if (second != 0) {
        Load load;
        load.add(order[static_cast<size_t>(word)].weight);
        load.add(order[static_cast<size_t>(i)].weight);
        if (!limit.holds(load)) return false;
      }
      place_[static_cast<size_t>(i)] = static_cast<int32_t>(2 * word + second);
    }
    return true;
  }

  int64_t steps_ = 0, together_ = 1;
  std::vector<Load> load_;
  std::vector<int64_t> dealt_;
  std::vector<int32_t> place_;
};

// How many steps of four neighbours can be added in words. A power of two: what holds by eights holds by fours.
template <class At>
int64_t held_together(int64_t steps, const Limit& limit, At at) {
  for (auto together = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(steps))); together > 1; together /= 2) {
    bool holds = true;
    for (int64_t i = 0; i < steps && holds; i += together) {
      std::array<Load, 2> words;
      for (int64_t j = i; j < std::min(steps, i + together) && holds; ++j) {
        for (size_t t = 0; t < 4; ++t) words[t / 2].add(at(j)[t]);
        holds = limit.holds(words[0]) && limit.holds(words[1]);
      }
    }
    if (holds) return together;
  }
  return 1;
}

// Two weights of a word, of which one may take its code flipped; what no byte holds is left over.
struct Pair {
  int8_t weight[2], rest[2] = {0, 0};
  uint8_t flips[2] = {0, 0};
  int32_t base = 0;  // what flipping takes from a sum

  Pair(int8_t a, int8_t b, const Limit& limit) : weight{a, b} {
    Load load;
    load.add(a);
    load.add(b);
    if (limit.holds(load)) return;
    const int which = b == INT8_MIN ? 0 : 1;
    if (weight[which] == INT8_MIN) ++weight[which], rest[which] = -1;
    base = UINT8_MAX * weight[which];
    weight[which] = static_cast<int8_t>(-weight[which]);
    flips[which] = UINT8_MAX;
  }
  bool has_rest() const { return rest[0] != 0 || rest[1] != 0; }
};
using Four = std::array<int8_t, 4>;
struct Block {
  Pair first, second;

  Block(const Four& four, const Limit& limit) : first(four[0], four[1], limit), second(four[2], four[3], limit) {}
  bool has_rest() const { return first.has_rest() || second.has_rest(); }
  Four rest() const { return {first.rest[0], first.rest[1], second.rest[0], second.rest[1]}; }
  int32_t base() const { return first.base + second.base; }
  int32_t weights() const { return bytes_of(first.weight[0], first.weight[1], second.weight[0], second.weight[1]); }
  int32_t flips() const {
    const auto byte = [](uint8_t flip) { return static_cast<int8_t>(flip); };
    return bytes_of(byte(first.flips[0]), byte(first.flips[1]), byte(second.flips[0]), byte(second.flips[1]));
  }
};

}  // namespace espalier::sparse
