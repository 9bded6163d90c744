// Dense formats: a matrix packed once, and the direct convolution.
#include "kernels/conv.h"
#include "kernels/gemm.h"
#include "program/cost.h"
#include "program/format.h"
#include "program/unrolled.h"

namespace espalier::program {
namespace {

class Packed final : public Kernel {
 public:
  Packed(int64_t rows, int64_t columns, int64_t vectors, const float* weight, std::vector<float> bias, bool relu)
      : rows_(rows), columns_(columns), vectors_(vectors), bias_(std::move(bias)), relu_(relu) {
    const int64_t size = kernels::gemm_pack_size<float>(rows, columns);
    if (size < 0) fail(ESPALIER_INVALID_ARGUMENT, "the weights are too many to pack");
    packed_.resize(static_cast<size_t>(size));
    kernels::gemm_pack<float>(true, rows, columns, weight, std::max<int64_t>(columns, 1), packed_.data());
  }

  void run(int64_t batch, const float* x, float* y) const override {
    const kernels::GemmEpilogue<float> epilogue{nullptr, bias_.empty() ? nullptr : bias_.data(), relu_};
    kernels::gemm_packed<float>(false, batch * vectors_, rows_, columns_, 1, x, std::max<int64_t>(columns_, 1),
                                packed_.data(), 0, y, std::max<int64_t>(rows_, 1), epilogue);
  }
  std::string name(int64_t) const override { return "packed product"; }
  int64_t bytes() const override { return static_cast<int64_t>(packed_.size() * sizeof(float)); }

 private:
  int64_t rows_, columns_, vectors_;
  std::vector<float> packed_, bias_;
  bool relu_;
};

class Direct final : public Kernel {
 public:
  explicit Direct(const Task& task) : task_(task) {}

  void run(int64_t batch, const float* x, float* y) const override {
    espalier_conv2d shape = *task_.conv;
    shape.n *= batch;
    kernels::conv2d_forward<float>(shape, x, task_.weight->data.data(),
                                   task_.bias == nullptr ? nullptr : task_.bias->data.data(), task_.relu, y);
  }
  std::string name(int64_t) const override { return "direct convolution"; }
  int64_t bytes() const override { return task_.weight->size() * static_cast<int64_t>(sizeof(float)); }

 private:
  Task task_;
};

}  // namespace

namespace dense_linear {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  if (task.conv) return -1;
  return dense_product_time(static_cast<double>(task.weight->size()), static_cast<double>(task.vectors * batch));
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  return std::make_unique<Packed>(task.rows, task.columns, task.vectors, task.weight->data.data(),
                                  task.bias == nullptr ? std::vector<float>{} : task.bias->data, task.relu);
}

}  // namespace
}  // namespace dense_linear
const Format kDenseLinear{"dense", dense_linear::nanoseconds, dense_linear::prepare};

namespace dense_conv {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv) return -1;
  const espalier_conv2d& s = *task.conv;
  const double size = static_cast<double>(task.weight->size());
  if (is_common()) {
    // Fitted on a Zen 4 core, as stencil.cc is. (Training weighs three passes, by the function below.)
    const bool depthwise = s.groups > 1 && s.groups == s.in_channels;
    const double efficiency = depthwise ? 0.24 : batch * s.n >= 16 ? 1 : 0.9;
    const double rows = static_cast<double>(s.n * s.out_channels * s.out_height);
    return 600 + 1.2 * size + static_cast<double>(batch) * (task.dense_flops() / (peak() * efficiency) + 2 * rows);
  }
  return dense_convolution_time(size, s, batch * s.n);
}

std::unique_ptr<Kernel> prepare(const Task& task) { return std::make_unique<Direct>(task); }

}  // namespace
}  // namespace dense_conv
const Format kDenseConv{"direct", dense_conv::nanoseconds, dense_conv::prepare};

// A convolution of a few small planes as one matrix from all of an image to all of its output.
namespace dense_unrolled {
namespace {

constexpr double kMost = 1 << 18;

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv) return -1;
  const Unrolled map(task);
  const double size = static_cast<double>(map.rows()) * static_cast<double>(map.columns());
  if (size > kMost) return -1;
  return dense_product_time(size, static_cast<double>(batch * task.conv->n));
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  const Unrolled map(task);
  return std::make_unique<Packed>(map.rows(), map.columns(), task.conv->n, map.matrix<float>().data(), map.bias(),
                                  task.relu);
}

}  // namespace
}  // namespace dense_unrolled
const Format kDenseUnrolled{"unrolled", dense_unrolled::nanoseconds, dense_unrolled::prepare};
}  // namespace espalier::program
