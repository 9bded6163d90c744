// A pruned convolution by generated code over lines of outputs: native/sparse/conv.h.
#include <algorithm>
#include <memory>
#include <vector>

#include "program/cost.h"
#include "program/format.h"
#include "sparse/conv.h"

namespace espalier::program {
namespace {

class Stencil final : public Kernel {
 public:
  explicit Stencil(const Task& task)
      : shape_(*task.conv),
        bias_(task.bias == nullptr ? std::vector<float>{} : task.bias->data),
        relu_(task.relu),
        convolution_(make(task)) {}

  void run(int64_t batch, const float* x, float* y) const override {
    espalier_conv2d shape = shape_;
    shape.n *= batch;
    convolution_->forward(shape, x, bias_.empty() ? nullptr : bias_.data(), relu_, y);
  }
  std::string name(int64_t) const override {
    return convolution_->code_size() > 0 ? "generated stencil" : "sparse stencil";
  }
  int64_t bytes() const override {
    return convolution_->code_size() +
           static_cast<int64_t>(convolution_->values().size() * (sizeof(float) + sizeof(int32_t)));
  }

 private:
  static std::unique_ptr<sparse::Convolution> make(const Task& task) {
    std::vector<int32_t> positions;
    std::vector<float> values;
    const std::vector<float>& weight = task.weight->data;
    for (size_t i = 0; i < weight.size(); ++i)
      if (weight[i] != 0) {
        positions.push_back(static_cast<int32_t>(i));
        values.push_back(weight[i]);
      }
    const espalier_conv2d& s = *task.conv;
    const espalier_sparse_conv2d size{s.in_channels, s.out_channels, s.kernel_height, s.kernel_width, s.groups};
    return std::make_unique<sparse::Convolution>(size, std::move(positions), std::move(values),
                                                 ESPALIER_SPARSE_KERNEL_AUTOMATIC);
  }

  const espalier_conv2d shape_;
  const std::vector<float> bias_;
  const bool relu_;
  // It guards what it prepares at the first run with a number of images.
  const std::unique_ptr<sparse::Convolution> convolution_;
};

}  // namespace

namespace sparse_stencil {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv) return -1;
  const espalier_conv2d& s = *task.conv;
  const double images = static_cast<double>(batch * s.n);
  // Lines of inputs are copied with their padding; an entry costs a multiply-add a vector of outputs.
  const double copied =
      static_cast<double>(s.in_channels * s.in_height * s.in_width + s.out_channels * s.out_height * s.out_width);
  const double flops = task.flops() / static_cast<double>(s.n);
  if (is_avx2()) {
    const double width = static_cast<double>(std::min(s.in_width, s.out_width));
    return 300 + images * ((width >= 16 ? 0.45 : 11 / width) * copied + flops / (peak() * 0.8));
  }
  return 1500 + images * (0.15 * copied + flops / (peak() * 0.5));
}

std::unique_ptr<Kernel> prepare(const Task& task) { return std::make_unique<Stencil>(task); }

}  // namespace
}  // namespace sparse_stencil
const Format kSparseStencil{"sparse stencil", sparse_stencil::nanoseconds, sparse_stencil::prepare};
}  // namespace espalier::program
