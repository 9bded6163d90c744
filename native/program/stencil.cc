// A pruned convolution by generated code over lines of outputs: native/sparse/conv.h.
#include <algorithm>
#include <cmath>
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

// A line moved, packed or unpacked, by how it is put together: where it is a whole row of an image nobody unpacks it;
// where images, or parts of one, stand side by side in it, each is moved on its own.
double time_of_line(const sparse::Tiling& tiling, bool whole_rows) {
  const double units = static_cast<double>(tiling.units);
  if (tiling.units == 1) return !whole_rows ? 3 : tiling.vectors == 2 ? 1.6 : 2.5;
  return tiling.segments > 1 ? 1.5 * units : std::min(5 * units, 25.0);
}

// Generated code with AVX-512: a multiply-add a kept weight and line of outputs, in tiles as the convolution will cut
// them. Fitted on a Zen 4 core, to the fastest of many runs of 27 layers (up to 128 channels and 64×64, kernels of 1×1
// to 7×7, strides 1 and 2; 1 to 20 images, 5 to 100% of their weights): of 540 such times 486 are within a factor
// of 1.3. Depthwise ones take less than this says, for channels that nothing reads are not packed; those whose images
// outgrow the caches take more.
double time_of_lines(const Task& task, espalier_conv2d shape) {
  const sparse::Axes axes = sparse::forward_axes(shape);
  const sparse::Tiling tiling =
      sparse::tiling_of(axes, shape.n, shape.in_channels, shape.out_channels, task.weight->kept);
  const bool whole_rows = sparse::holds_whole_rows(axes, tiling);
  const sparse::Packing packing(axes, tiling, whole_rows);
  const double tiles = std::ceil(static_cast<double>(shape.n * tiling.bands) / static_cast<double>(tiling.units));
  const double computed = static_cast<double>(tiling.lines()), in = static_cast<double>(shape.in_channels),
               out = static_cast<double>(shape.out_channels), kept = static_cast<double>(task.weight->kept);
  const double moved = in * static_cast<double>(packing.channel) + out * computed;
  constexpr double kOperations = 2 * sparse::kLine;
  // Of rows with a stride all values are read, for a part of them.
  const double passed =
      shape.stride_width > 1 ? static_cast<double>(shape.n * shape.in_channels * shape.in_height * shape.in_width) : 0;
  return 200 + 0.13 * passed +
         tiles * (kept * computed * kOperations / peak() + moved * time_of_line(tiling, whole_rows));
}

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv) return -1;
  espalier_conv2d s = *task.conv;
  s.n *= batch;
  if (sparse::can_shift() && is_common() && s.n > 0 && task.vectors > 0) return time_of_lines(task, s);
  const double images = static_cast<double>(s.n);
  // Lines of inputs are copied with their padding; an entry costs a multiply-add a vector of outputs.
  const double copied =
      static_cast<double>(s.in_channels * s.in_height * s.in_width + s.out_channels * s.out_height * s.out_width);
  const double flops = task.flops() / static_cast<double>(task.conv->n);
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
