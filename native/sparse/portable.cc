#include "sparse/portable.h"

#include <limits>

#include "sparse/panels.h"

#define ESPALIER_KERNEL "sparse/portable.inl"
namespace espalier {
using sparse::Pattern;
}
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

// Panels a task works on: what it packs stays in the second-level cache.
constexpr int64_t kPanelsAtOnce = 8;

class Portable final : public Product {
 public:
  Portable(Pattern pattern, std::vector<int64_t> origin)
      : pattern_(std::move(pattern)), origin_(std::move(origin)), values_(origin_.size()) {}

  void set_values(const float* values) override {
    for (size_t i = 0; i < origin_.size(); ++i) values_[i] = values[origin_[i]];
  }

  void multiply(const Samples& samples, const float* x, const float* bias, bool relu, float* y) const override {
    const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
    parallel_ranges(panels_of(samples.count), kPanelsAtOnce, [&](int64_t first, int64_t last) {
      const int64_t count = last - first;
      const Layout of_x = stacked(pattern_.columns), of_y = stacked(pattern_.rows);
      float* const packed = scratch<float>(Scratch::kPackB, count * of_x.panel);
      float* const sums = scratch<float>(Scratch::kColumns, count * of_y.panel);
      pack_panels(samples, pattern_.columns, x, first, count, of_x, packed);
      ESPALIER_ON_ISA(
          multiply_rows(pattern_, values_.data(), bias, floor, count, packed, of_x.panel, sums, of_y.panel));
      unpack_panels(samples, {0, pattern_.rows, pattern_.rows}, sums, of_y, first, count, y);
    });
  }

 private:
  Pattern pattern_;
  std::vector<int64_t> origin_;
  std::vector<float> values_;
};

}  // namespace

std::unique_ptr<Product> make_portable(Pattern pattern, std::vector<int64_t> origin) {
  return std::make_unique<Portable>(std::move(pattern), std::move(origin));
}

}  // namespace espalier::sparse
