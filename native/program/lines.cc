// Steps along dimensions: softmax, layer norm, sums, extremes.
#include "program/step.h"

namespace espalier::program {
namespace {

class Line : public Step {
 protected:
  Line(int x, int y) {
    reads = {x};
    writes = y;
  }
};

class Softmax final : public Line {
 public:
  Softmax(bool logarithm, int x, int y, const espalier_strip& shape)
      : Line(x, y), logarithm_(logarithm), shape_(shape) {}
  void run(const Frame& frame) const override {
    espalier_strip shape = shape_;
    shape.outer *= frame.batch;
    const auto function = logarithm_ ? frame.call.log_softmax_forward : frame.call.softmax_forward;
    require_ok(function(frame.in(reads[0]), frame.out(writes), shape));
  }

 private:
  bool logarithm_;
  espalier_strip shape_;
};

class LayerNorm final : public Line {
 public:
  LayerNorm(int x, int y, const espalier_rows& shape, const Tensor* weight, const Tensor* bias, double eps)
      : Line(x, y), shape_(shape), weight_(weight), bias_(bias), eps_(eps) {
    workspace = 2 * shape.rows;  // mean and scale, which only a gradient wants
    for (const Tensor* const constant : {weight, bias})
      if (constant != nullptr) takes.push_back(constant);
  }
  void run(const Frame& frame) const override {
    espalier_rows shape = shape_;
    shape.rows *= frame.batch;
    const espalier_in none{nullptr, 0, ESPALIER_FLOAT32};
    require_ok(frame.call.layer_norm_forward(
        frame.in(reads[0]), weight_ == nullptr ? none : weight_->array(), bias_ == nullptr ? none : bias_->array(),
        eps_, frame.workspace(index, 0, shape_.rows), frame.workspace(index, shape_.rows, shape_.rows),
        frame.out(writes), shape));
  }

 private:
  espalier_rows shape_;
  const Tensor *weight_, *bias_;
  double eps_;
};

class Sum final : public Line {
 public:
  Sum(int x, int y, std::vector<int64_t> dims, std::vector<int64_t> reduced, double divisor)
      : Line(x, y), dims_(std::move(dims)), reduced_(std::move(reduced)), divisor_(divisor) {}
  void run(const Frame& frame) const override {
    std::vector<int64_t> dims = dims_;
    dims[0] *= frame.batch;
    const int64_t rank = static_cast<int64_t>(dims.size());
    require_ok(
        frame.call.sum({dims.data(), rank}, {reduced_.data(), rank}, divisor_, frame.in(reads[0]), frame.out(writes)));
  }

 private:
  std::vector<int64_t> dims_, reduced_;
  double divisor_;
};

class Extreme final : public Line {
 public:
  Extreme(bool largest, int x, int y, int64_t outer, int64_t length, int64_t inner)
      : Line(x, y), largest_(largest), outer_(outer), length_(length), inner_(inner) {}
  void run(const Frame& frame) const override {
    require_ok(frame.call.extreme(outer_ * frame.batch, length_, inner_, largest_ ? 1 : -1, frame.in(reads[0]),
                                  frame.out(writes), {nullptr, 0, ESPALIER_INT32}));
  }

 private:
  bool largest_;
  int64_t outer_, length_, inner_;
};

}  // namespace

std::unique_ptr<Step> read_softmax(Blueprint& from) {
  const bool logarithm = from.from.flag("a softmax's kind");
  const int x = from.value("x"), y = from.result("y");
  const int64_t length = from.from.whole("length", 1, kMostElements),
                inner = from.from.whole("inner", 1, kMostElements);
  const int64_t outer = multiple("x", from.size(x), checked_product("x", {length, inner}));
  require_same("y", from.size(y), from.size(x));
  return std::make_unique<Softmax>(logarithm, x, y, espalier_strip{outer, length, inner});
}

std::unique_ptr<Step> read_layer_norm(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  const int64_t size = from.from.whole("size", 1, kMostElements);
  const Tensor* const weight = from.optional_tensor("weight", size);
  const Tensor* const bias = from.optional_tensor("bias", size);
  const double eps = from.from.real("eps");
  require_same("y", from.size(y), from.size(x));
  return std::make_unique<LayerNorm>(x, y, espalier_rows{multiple("x", from.size(x), size), size}, weight, bias, eps);
}

std::unique_ptr<Step> read_sum(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  std::vector<int64_t> dims = from.dims("the shape", 0, kMostElements), reduced = from.dims("reduced", 0, 1);
  if (dims.empty() || reduced.size() != dims.size() || reduced[0] != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "a sum runs over other dimensions than its input has, or over the batch");
  require_same("x", from.size(x), checked_product("x", {dims.data(), static_cast<int64_t>(dims.size())}));
  std::vector<int64_t> kept;
  for (size_t d = 0; d < dims.size(); ++d)
    if (reduced[d] == 0) kept.push_back(dims[d]);
  require_same("y", from.size(y), checked_product("y", {kept.data(), static_cast<int64_t>(kept.size())}));
  const double divisor = from.from.real("divisor");
  return std::make_unique<Sum>(x, y, std::move(dims), std::move(reduced), divisor);
}

std::unique_ptr<Step> read_extreme(Blueprint& from) {
  const bool largest = from.from.flag("an extreme's kind");
  const int x = from.value("x"), y = from.result("y");
  const int64_t length = from.from.whole("length", 1, kMostElements),
                inner = from.from.whole("inner", 1, kMostElements);
  const int64_t outer = multiple("x", from.size(x), checked_product("x", {length, inner}));
  require_same("y", from.size(y), outer * inner);
  return std::make_unique<Extreme>(largest, x, y, outer, length, inner);
}

}  // namespace espalier::program
