// Steps with weights: linear layers and convolutions, whose format is chosen, and transposed convolutions.
#include "program/layer.h"

namespace espalier::program {
namespace {

class Product final : public Step {
 public:
  Product(int x, int y, const Task& task, std::span<const Format* const> formats) : layer_(task, formats) {
    reads = {x};
    writes = y;
    if (task.codes && !task.codes->sums.fits_float() && !layer_.is_taken())
      fail(ESPALIER_INVALID_ARGUMENT, "no format sums a layer on codes in %d bits", task.codes->sums.bits());
  }
  void run(const Frame& frame) const override {
    const Kernel& kernel = frame.kernel(index);
    kernel.run(frame.batch, frame.read(reads[0]), frame.write(kernel.gives_maxima() ? maxima : writes));
  }
  Layer* layer() override { return &layer_; }

 private:
  Layer layer_;
};

// Sizes of a convolution below which no product of two of them overflows.
constexpr int64_t kMostSize = (int64_t{1} << 31) - 1;

// Everything but n, which follows from the values' sizes.
espalier_conv2d geometry(Reader& from) {
  espalier_conv2d s{};
  for (int64_t* size : {&s.in_channels, &s.in_height, &s.in_width, &s.out_channels, &s.out_height, &s.out_width,
                        &s.kernel_height, &s.kernel_width, &s.stride_height, &s.stride_width})
    *size = from.whole("a convolution's size", 1, kMostSize);
  s.padding_top = from.whole("padding", 0, kMostSize);
  s.padding_left = from.whole("padding", 0, kMostSize);
  s.dilation_height = from.whole("dilation", 1, kMostSize);
  s.dilation_width = from.whole("dilation", 1, kMostSize);
  s.groups = from.whole("groups", 1, kMostSize);
  if (s.in_channels % s.groups != 0 || s.out_channels % s.groups != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "a convolution's channels do not divide into its groups");
  return s;
}

// Where x holds codes, which, and what the sums then are: proved here, whatever the file is worth.
std::optional<Codes> codes(Reader& from, const Task& task) {
  if (!from.flag("codes")) return std::nullopt;
  const CodeRange range{static_cast<int32_t>(from.whole("the least code", -128, 0)),
                        static_cast<int32_t>(from.whole("the greatest code", 0, 255))};
  if (range.low < 0 && range.high > 127)
    fail(ESPALIER_INVALID_ARGUMENT, "codes in [%d, %d] are no bytes", range.low, range.high);
  const Accumulator sums = accumulator_of(*task.weight, task.bias, task.rows, range);
  if (!sums.fits_integers())
    fail(ESPALIER_INVALID_ARGUMENT, "the sums of a layer on codes take %d bits, expected 32 at most", sums.bits());
  return Codes{range, sums};
}

int64_t weight_size(const espalier_conv2d& s) {
  return checked_product("weight", {s.out_channels, s.in_channels / s.groups, s.kernel_height, s.kernel_width});
}

class Transposed final : public Step {
 public:
  Transposed(int x, int y, const espalier_conv2d& shape, const Tensor* weight, const Tensor* bias)
      : shape_(shape), weight_(weight), bias_(bias) {
    reads = {x};
    writes = y;
    takes.push_back(weight);
    if (bias != nullptr) takes.push_back(bias);
  }
  void run(const Frame& frame) const override {
    espalier_conv2d shape = shape_;
    shape.n *= frame.batch;
    const espalier_in none{nullptr, 0, ESPALIER_FLOAT32};
    require_ok(frame.call.conv2d_data_grad(weight_->array(), frame.in(reads[0]),
                                           bias_ == nullptr ? none : bias_->array(), frame.out(writes), shape));
  }

 private:
  espalier_conv2d shape_;
  const Tensor *weight_, *bias_;
};

}  // namespace

std::unique_ptr<Step> read_linear(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  Task task;
  task.rows = from.from.whole("rows", 0, kMostElements);
  task.columns = from.from.whole("columns", 0, kMostElements);
  task.weight = &from.tensor("weight", checked_product("weight", {task.rows, task.columns}));
  task.bias = from.optional_tensor("bias", task.rows);
  task.relu = from.from.flag("relu");
  task.codes = codes(from.from, task);
  task.vectors = from.from.whole("vectors", 0, kMostElements);
  require_same("x", from.size(x), checked_product("x", {task.vectors, task.columns}));
  require_same("y", from.size(y), checked_product("y", {task.vectors, task.rows}));
  return std::make_unique<Product>(x, y, task, from.formats);
}

std::unique_ptr<Step> read_conv(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  espalier_conv2d shape = geometry(from.from);
  Task task;
  task.weight = &from.tensor("weight", weight_size(shape));
  task.bias = from.optional_tensor("bias", shape.out_channels);
  task.relu = from.from.flag("relu");
  task.rows = shape.out_channels;
  task.columns = weight_size(shape) / shape.out_channels;
  task.codes = codes(from.from, task);
  const int64_t plane = checked_product("y", {shape.out_height, shape.out_width});
  shape.n = multiple("x", from.size(x), checked_product("x", {shape.in_channels, shape.in_height, shape.in_width}));
  require_same("y", from.size(y), checked_product("y", {shape.n, shape.out_channels, plane}));
  task.vectors = shape.n * plane;
  task.conv = shape;
  return std::make_unique<Product>(x, y, task, from.formats);
}

// The geometry is that of the convolution whose adjoint this is: its input is our output.
std::unique_ptr<Step> read_conv_transpose(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  espalier_conv2d shape = geometry(from.from);
  const Tensor& weight = from.tensor("weight", weight_size(shape));
  const Tensor* const bias = from.optional_tensor("bias", shape.in_channels);
  shape.n = multiple("x", from.size(x), checked_product("x", {shape.out_channels, shape.out_height, shape.out_width}));
  require_same("y", from.size(y), checked_product("y", {shape.n, shape.in_channels, shape.in_height, shape.in_width}));
  return std::make_unique<Transposed>(x, y, shape, &weight, bias);
}

}  // namespace espalier::program
