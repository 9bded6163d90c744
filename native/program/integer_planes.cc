// A convolution of stride 1 on codes as shifts of whole planes, as `sparse planes`, with sums of 16 bits: planes of
// bytes, each beside the one that the tap to its right reads, so that one instruction multiplies by two taps and adds.
// Codes count from their least, so that no byte has a sign; what that adds to a sum is taken off where it starts. Sums
// wrap on their way, and are what they are at the end, which 16 bits are proved to hold.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/parallel.h"
#include "core/scratch.h"
#include "program/bordered.h"
#include "program/cost.h"
#include "program/format.h"

namespace espalier::program {
namespace {

// Output planes of one channel, or of two that share what they read: pairs of weights, and where each begins to read
// among the pairs of codes.
struct PairTaps {
  const uint16_t* planes;
  const int32_t* offsets;
  const int32_t* pairs;  // twice in each; of the channels by turns
  const uint16_t* starts;
  int64_t count, length, pitch;  // taps; an output plane's elements; from one such plane to the next
};

}  // namespace
}  // namespace espalier::program

namespace espalier {
using program::PairTaps;
}
#define ESPALIER_KERNEL "program/integer_planes.inl"
#include "simd/each_isa.h"

namespace espalier::program {

// A convolution's kept weights, two neighbours at a time.
struct Pairs {
  // Of one output channel or of two.
  struct Group {
    int channels;
    size_t first, count;  // among the offsets
    size_t pairs;
  };
  std::vector<Group> groups;
  std::vector<int32_t> offsets, pairs;
  std::vector<uint16_t> starts;  // of each output channel's sums
};

namespace {

// What vectors may read and write behind a plane's end.
constexpr int64_t kSlack = 64;
// What a tap of two channels takes more than one of one.
constexpr double kShared = 1.25;

class Pairing {
 public:
  explicit Pairing(const Task& task)
      : shape_(*task.conv), range_(task.codes->range), bordered_(shape_), weight_(task.weight->data.data()) {}

  // Null where 16 bits do not hold a channel's sums.
  std::shared_ptr<Pairs> all() {
    const int64_t made = shape_.out_channels / shape_.groups;
    for (int64_t o = 0; o < shape_.out_channels; ++o)
      if (!start(o)) return nullptr;
    for (int64_t o = 0; o < shape_.out_channels; ++o) {
      const size_t first = made_->offsets.size(), pairs = made_->pairs.size();
      if (o + 1 < shape_.out_channels && o / made == (o + 1) / made) {
        // Apart first, to see what that takes.
        one(o);
        one(o + 1);
        const double apart = static_cast<double>(made_->offsets.size() - first);
        made_->offsets.resize(first);
        made_->pairs.resize(pairs);
        if (two(o) && kShared * static_cast<double>(made_->offsets.size() - first) < apart) {
          made_->groups.push_back({2, first, made_->offsets.size() - first, pairs});
          ++o;
          continue;
        }
        made_->offsets.resize(first);
        made_->pairs.resize(pairs);
      }
      one(o);
      made_->groups.push_back({1, first, made_->offsets.size() - first, pairs});
    }
    return made_;
  }

 private:
  int64_t lines() const { return shape_.in_channels / shape_.groups * shape_.kernel_height; }
  int32_t weight(int64_t o, int64_t line, int64_t q) const {
    return q < shape_.kernel_width ? static_cast<int32_t>(weight_[(o * lines() + line) * shape_.kernel_width + q]) : 0;
  }
  // Whether the two products of one instruction, which does not wrap, fit.
  bool fits(int32_t a, int32_t b) const {
    const int32_t span = range_.high - range_.low;
    return span * (std::max(a, 0) + std::max(b, 0)) <= INT16_MAX &&
           span * (std::min(a, 0) + std::min(b, 0)) >= INT16_MIN;
  }

  // Whether 16 bits hold a channel's sums.
  bool start(int64_t o) {
    int64_t sum = 0, least = 0, greatest = 0;
    for (int64_t line = 0; line < lines(); ++line)
      for (int64_t q = 0; q < shape_.kernel_width; ++q) {
        const int64_t w = weight(o, line, q);
        sum += w;
        least += std::min(w * range_.low, w * range_.high);
        greatest += std::max(w * range_.low, w * range_.high);
      }
    made_->starts.push_back(static_cast<uint16_t>(range_.low * sum));
    return least >= INT16_MIN && greatest <= INT16_MAX;
  }

  void read_at(int64_t o, int64_t line, int64_t q) {
    const espalier_conv2d& s = shape_;
    const int64_t channel = o / (s.out_channels / s.groups) * (s.in_channels / s.groups) + line / s.kernel_height;
    made_->offsets.push_back(static_cast<int32_t>(
        (channel * bordered_.height + line % s.kernel_height * s.dilation_height) * bordered_.width +
        q * s.dilation_width));
  }
  void multiply(int32_t a, int32_t b) {
    const uint32_t pair = static_cast<uint8_t>(a) | static_cast<uint32_t>(static_cast<uint8_t>(b)) << 8;
    made_->pairs.push_back(static_cast<int32_t>(pair | pair << 16));
  }

  // A channel's own, from one kept weight to the next.
  void one(int64_t o) {
    for (int64_t line = 0; line < lines(); ++line)
      for (int64_t q = 0; q < shape_.kernel_width; ++q) {
        const int32_t a = weight(o, line, q), next = weight(o, line, q + 1);
        if (a == 0) continue;
        const bool both = next != 0 && fits(a, next);
        read_at(o, line, q);
        multiply(a, both ? next : 0);
        if (both) ++q;
      }
  }
  // Every pair that o or o + 1 has a weight in; false where one does not fit.
  bool two(int64_t o) {
    for (int64_t line = 0; line < lines(); ++line)
      for (int64_t q = 0; q < shape_.kernel_width; q += 2) {
        const int32_t a = weight(o, line, q), b = weight(o, line, q + 1), c = weight(o + 1, line, q),
                      d = weight(o + 1, line, q + 1);
        if (a == 0 && b == 0 && c == 0 && d == 0) continue;
        if (!fits(a, b) || !fits(c, d)) return false;
        read_at(o, line, q);
        multiply(a, b);
        multiply(c, d);
      }
    return true;
  }

  const espalier_conv2d& shape_;
  const CodeRange range_;
  const Bordered bordered_;
  const float* const weight_;
  const std::shared_ptr<Pairs> made_ = std::make_shared<Pairs>();
};

const std::shared_ptr<Pairs>& kept_pairs(const Task& task) {
  return task.matrices->pairs.get([&] { return Pairing(task).all(); });
}

class IntegerPlanes final : public Kernel {
 public:
  IntegerPlanes(const Task& task, std::shared_ptr<const Pairs> pairs)
      : shape_(*task.conv),
        bordered_(shape_),
        range_(task.codes->range),
        pairs_(std::move(pairs)),
        least_(task.relu ? 0 : std::numeric_limits<int32_t>::min()),
        maxima_(task.maxima) {
    bias_.resize(static_cast<size_t>(shape_.out_channels));
    if (task.bias != nullptr) std::copy(task.bias->data.begin(), task.bias->data.end(), bias_.begin());
  }

  void run(int64_t batch, const float* x, float* y) const override {
    const espalier_conv2d& s = shape_;
    const int64_t plane = bordered_.plane(), elements = s.in_channels * plane, outputs = bordered_.outputs(s);
    const float low = static_cast<float>(range_.low), high = static_cast<float>(range_.high);
    const int64_t top = std::min(s.padding_top, bordered_.height), left = std::min(s.padding_left, bordered_.width);
    const int64_t rows = std::min(s.in_height, bordered_.height - top),
                  width = std::min(s.in_width, bordered_.width - left);
    parallel_for(batch * s.n, [&](int64_t image) {
      uint16_t* const pairs = scratch<uint16_t>(Scratch::kProgram, elements + kSlack);
      uint8_t* const bytes = scratch<uint8_t>(Scratch::kOther, elements + s.dilation_width + kSlack);
      std::fill_n(bytes, elements + s.dilation_width + kSlack, static_cast<uint8_t>(-range_.low));
      const float* from = x + image * s.in_channels * s.in_height * s.in_width;
      uint8_t* at = bytes + top * bordered_.width + left;
      for (int64_t c = 0; c < s.in_channels; ++c, from += s.in_height * s.in_width, at += plane)
        ESPALIER_ON_ISA(rows_of_bytes(from, s.in_width, rows, width, low, high, at, bordered_.width));
      ESPALIER_ON_ISA(pairs_of_bytes(bytes, elements, s.dilation_width, pairs));
      // The bytes are done with: sums take their place.
      const int64_t pitch = outputs + kSlack;
      uint16_t* const sums = scratch<uint16_t>(Scratch::kOther, 2 * pitch);
      const Maxima of = maxima_.value_or(Maxima{s.out_height, s.out_width});
      float* to = y + image * s.out_channels * of.height * of.width;
      int64_t o = 0;
      for (const Pairs::Group& group : pairs_->groups) {
        const PairTaps taps{pairs,
                            pairs_->offsets.data() + group.first,
                            pairs_->pairs.data() + group.pairs,
                            pairs_->starts.data() + o,
                            static_cast<int64_t>(group.count),
                            outputs,
                            pitch};
        ESPALIER_ON_ISA(planes_of_pairs(taps, group.channels, sums));
        for (int c = 0; c < group.channels; ++c, ++o, to += of.height * of.width) {
          const uint16_t* const plane_sums = sums + c * pitch;
          const int32_t bias = bias_[static_cast<size_t>(o)];
          if (maxima_)
            ESPALIER_ON_ISA(maxima_of_sums(plane_sums, bordered_.width, of.height, of.width, bias, least_, to));
          else ESPALIER_ON_ISA(rows_of_sums(plane_sums, bordered_.width, of.height, of.width, bias, least_, to));
        }
      }
    });
  }
  bool gives_maxima() const override { return maxima_.has_value(); }
  std::string name(int64_t) const override {
    return maxima_ ? "integer shifted planes, 16-bit sums, maxima" : "integer shifted planes, 16-bit sums";
  }
  int64_t bytes() const override {
    return static_cast<int64_t>(pairs_->pairs.size() * (sizeof(int32_t) + sizeof(int32_t)));
  }

 private:
  const espalier_conv2d shape_;
  const Bordered bordered_;
  const CodeRange range_;
  const std::shared_ptr<const Pairs> pairs_;
  const int32_t least_;
  const std::optional<Maxima> maxima_;
  std::vector<int32_t> bias_;
};

}  // namespace

namespace integer_planes {
namespace {

// Planes that stay in the second-level cache; offsets fit their type.
constexpr double kMostElements = 1 << 17;

double nanoseconds(const Task& task, int64_t batch) {
  // (Elsewhere it was not measured against what is there.)
  if (!task.conv || !is_avx2()) return -1;
  const espalier_conv2d& s = *task.conv;
  if (s.stride_height != 1 || s.stride_width != 1 || bordered_elements(s) > kMostElements) return -1;
  const Pairs* const pairs = kept_pairs(task).get();
  if (pairs == nullptr) return -1;
  double taps = 0;
  for (const Pairs::Group& group : pairs->groups)
    taps += static_cast<double>(group.count) * (group.channels == 2 ? kShared : 1);
  const double vectors = std::ceil(static_cast<double>(Bordered(s).outputs(s)) / 16);
  const double rows = static_cast<double>(s.out_channels * s.out_height + s.in_channels * s.in_height);
  return static_cast<double>(batch * s.n) * (60 + 0.32 * taps * vectors + 2 * rows + 0.15 * bordered_elements(s) +
                                             (task.maxima ? 0.9 : 1.8) * static_cast<double>(s.out_channels) * vectors);
}

std::unique_ptr<Kernel> prepare(const Task& task) { return std::make_unique<IntegerPlanes>(task, kept_pairs(task)); }

}  // namespace
}  // namespace integer_planes
const Format kIntegerPlanes{"integer planes", integer_planes::nanoseconds, integer_planes::prepare, true, true};
}  // namespace espalier::program
