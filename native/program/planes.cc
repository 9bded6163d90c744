// A pruned convolution of stride 1 as shifts of whole planes: the input's planes get their border once, and then a kept
// weight multiplies a whole plane, read from as far behind its beginning as the weight's tap lies. The outputs come to
// stand as far apart as the input's rows; what lies between two of their rows is thrown away.
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

// One output plane: `count` weights, and where each begins to read.
struct PlaneTaps {
  const float* planes;
  const int32_t* offsets;
  const float* values;
  int64_t count, length;
  float bias, floor;
};

}  // namespace
}  // namespace espalier::program

namespace espalier {
using program::PlaneTaps;
}
#define ESPALIER_KERNEL "program/planes.inl"
#include "simd/each_isa.h"

namespace espalier::program {
namespace {

// What a vector may read behind a plane's end.
constexpr int64_t kSlack = 16;
// And what maxima read behind a row.
constexpr int64_t kSumsSlack = 3 * kSlack;

class Planes final : public Kernel {
 public:
  explicit Planes(const Task& task)
      : shape_(*task.conv),
        bordered_(shape_),
        outputs_((bordered_.outputs(shape_) + kSlack - 1) / kSlack * kSlack),
        relu_(task.relu),
        maxima_(task.maxima) {
    const espalier_conv2d& s = shape_;
    const int64_t seen = s.in_channels / s.groups, made = s.out_channels / s.groups;
    const float* weight = task.weight->data.data();
    for (int64_t o = 0; o < s.out_channels; ++o) {
      first_.push_back(static_cast<int64_t>(values_.size()));
      for (int64_t c = 0; c < seen; ++c)
        for (int64_t p = 0; p < s.kernel_height; ++p)
          for (int64_t q = 0; q < s.kernel_width; ++q, ++weight) {
            if (*weight == 0) continue;
            values_.push_back(*weight);
            offsets_.push_back(static_cast<int32_t>((o / made * seen + c) * bordered_.plane() +
                                                    p * s.dilation_height * bordered_.width + q * s.dilation_width));
          }
    }
    first_.push_back(static_cast<int64_t>(values_.size()));
    bias_ = task.bias == nullptr ? std::vector<float>(static_cast<size_t>(s.out_channels)) : task.bias->data;
  }

  void run(int64_t batch, const float* x, float* y) const override {
    const espalier_conv2d& s = shape_;
    parallel_for(batch * s.n, [&](int64_t image) {
      float* const planes = scratch<float>(Scratch::kProgram, s.in_channels * bordered_.plane() + 2 * kSlack);
      border(x + image * s.in_channels * s.in_height * s.in_width, planes);
      parallel_ranges(s.out_channels, kChannelsAtOnce, [&](int64_t o, int64_t last) {
        float* const sums = scratch<float>(Scratch::kOther, outputs_ + kSumsSlack);
        for (; o < last; ++o) {
          const int64_t begin = first_[static_cast<size_t>(o)], end = first_[static_cast<size_t>(o) + 1];
          const PlaneTaps taps{planes,
                               offsets_.data() + begin,
                               values_.data() + begin,
                               end - begin,
                               outputs_,
                               bias_[static_cast<size_t>(o)],
                               relu_ ? 0.0f : -std::numeric_limits<float>::infinity()};
          ESPALIER_ON_ISA(plane_of_sums(taps, sums));
          const Maxima of = maxima_.value_or(Maxima{s.out_height, s.out_width});
          float* const to = y + (image * s.out_channels + o) * of.height * of.width;
          if (maxima_) ESPALIER_ON_ISA(maxima_of_rows(sums, bordered_.width, of.height, of.width, to));
          else ESPALIER_ON_ISA(close_rows(sums, bordered_.width, of.height, of.width, to));
        }
      });
    });
  }
  bool gives_maxima() const override { return maxima_.has_value(); }
  std::string name(int64_t) const override { return maxima_ ? "shifted planes, maxima" : "shifted planes"; }
  int64_t bytes() const override { return static_cast<int64_t>(values_.size() * (sizeof(float) + sizeof(int32_t))); }

 private:
  // Output channels that are worth a thread's waking.
  static constexpr int64_t kChannelsAtOnce = 16;

  void border(const float* x, float* to) const {
    const espalier_conv2d& s = shape_;
    const int64_t size = s.in_channels * bordered_.plane();
    if (bordered_.height == s.in_height && bordered_.width == s.in_width && s.padding_top == 0 && s.padding_left == 0) {
      std::copy_n(x, size, to);
      std::fill_n(to + size, 2 * kSlack, 0.0f);
      return;
    }
    std::fill_n(to, size + 2 * kSlack, 0.0f);
    const int64_t top = std::min(s.padding_top, bordered_.height), left = std::min(s.padding_left, bordered_.width);
    const int64_t rows = std::min(s.in_height, bordered_.height - top),
                  width = std::min(s.in_width, bordered_.width - left);
    float* at = to + top * bordered_.width + left;
    for (int64_t c = 0; c < s.in_channels; ++c, x += s.in_height * s.in_width, at += bordered_.plane())
      ESPALIER_ON_ISA(spread_rows(x, s.in_width, rows, width, at, bordered_.width));
  }

  const espalier_conv2d shape_;
  const Bordered bordered_;
  const int64_t outputs_;
  const bool relu_;
  const std::optional<Maxima> maxima_;
  std::vector<int64_t> first_;  // of each output channel's weights; and the end
  std::vector<int32_t> offsets_;
  std::vector<float> values_, bias_;
};

}  // namespace

namespace sparse_planes {
namespace {

// Planes that stay in the second-level cache; offsets fit their type.
constexpr double kMostElements = 1 << 18;

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv) return -1;
  const espalier_conv2d& s = *task.conv;
  if (s.stride_height != 1 || s.stride_width != 1 || bordered_elements(s) > kMostElements) return -1;
  const Bordered bordered(s);
  const double length = static_cast<double>(s.out_height * bordered.width);
#if ESPALIER_X86
  const double lanes = isa() == Isa::avx512 ? 16 : isa() == Isa::avx2 ? 8 : 4;
#else
  const double lanes = 4;
#endif
  // (Zen 4: a third more where the planes outgrow the first-level cache.)
  const bool outgrown = is_common() && bordered_elements(s) > 8192;
  const double of_tap = is_avx2() ? 0.33 : outgrown ? 0.52 : 0.4;
  const double rows =
      static_cast<double>(s.out_channels * s.out_height) + static_cast<double>(s.in_channels * bordered.height);
  return static_cast<double>(batch * s.n) *
         (60 + of_tap * static_cast<double>(task.weight->kept) * std::ceil(length / lanes) + 2 * rows +
          0.3 * static_cast<double>(s.out_channels) * length / lanes);
}

std::unique_ptr<Kernel> prepare(const Task& task) { return std::make_unique<Planes>(task); }

}  // namespace
}  // namespace sparse_planes
const Format kSparsePlanes{"sparse planes", sparse_planes::nanoseconds, sparse_planes::prepare, false, true};
}  // namespace espalier::program
