#include <limits>

#include "sparse/conv_stencil.h"

#define ESPALIER_KERNEL "sparse/conv_portable.inl"
namespace espalier {
using sparse::Lines;
using sparse::Stencil;
}  // namespace espalier
#include "simd/each_isa.h"

namespace espalier::sparse {
namespace {

class Portable final : public StencilKernel {
 public:
  explicit Portable(Stencil stencil) : stencil_(std::move(stencil)), values_(stencil_.origin.size()) {}

  void set_values(const float* values) override {
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = values[stencil_.origin[i]];
  }
  void run(const Lines& lines, const float* bias, bool relu) const override {
    const float floor = relu ? 0.0f : -std::numeric_limits<float>::infinity();
    ESPALIER_ON_ISA(run_stencil(stencil_, values_.data(), lines, bias, floor));
  }

 private:
  Stencil stencil_;
  std::vector<float> values_;
};

}  // namespace

std::unique_ptr<StencilKernel> make_portable_stencil(Stencil stencil) {
  return std::make_unique<Portable>(std::move(stencil));
}

}  // namespace espalier::sparse
