// Pooling.
#include "program/format.h"
#include "program/step.h"

namespace espalier::program {
namespace {

constexpr int64_t kMostSize = (int64_t{1} << 31) - 1;
constexpr espalier_out kNone{nullptr, 0, ESPALIER_INT32};

enum class Pooling { kMax, kMean, kMeanInside };

class Pool final : public Step {
 public:
  Pool(Pooling kind, int x, int y, const espalier_pool2d& shape) : kind_(kind), shape_(shape) {
    reads = {x};
    writes = y;
  }
  const espalier_pool2d* squares() const override {
    const espalier_pool2d& s = shape_;
    const bool squares = kind_ == Pooling::kMax && s.kernel_height == 2 && s.kernel_width == 2 &&
                         s.stride_height == 2 && s.stride_width == 2 && s.dilation_height == 1 &&
                         s.dilation_width == 1 && s.padding_height == 0 && s.padding_width == 0 &&
                         s.out_height <= s.height / 2 && s.out_width <= s.width / 2;
    return squares ? &shape_ : nullptr;
  }
  void run(const Frame& frame) const override {
    if (maker >= 0 && frame.kernel(maker).gives_maxima()) return;
    espalier_pool2d shape = shape_;
    shape.planes *= frame.batch;
    const espalier_in x = frame.in(reads[0]);
    const espalier_out y = frame.out(writes);
    require_ok(kind_ == Pooling::kMax ? frame.call.max_pool2d_forward(x, y, kNone, shape)
                                      : frame.call.avg_pool2d_forward(x, kind_ == Pooling::kMean ? 1 : 0, y, shape));
  }

 private:
  Pooling kind_;
  espalier_pool2d shape_;
};

class AdaptivePool final : public Step {
 public:
  AdaptivePool(bool largest, int x, int y, const espalier_adaptive_pool2d& shape) : largest_(largest), shape_(shape) {
    reads = {x};
    writes = y;
  }
  void run(const Frame& frame) const override {
    espalier_adaptive_pool2d shape = shape_;
    shape.planes *= frame.batch;
    const espalier_in x = frame.in(reads[0]);
    const espalier_out y = frame.out(writes);
    require_ok(largest_ ? frame.call.adaptive_max_pool2d_forward(x, y, kNone, shape)
                        : frame.call.adaptive_avg_pool2d_forward(x, y, shape));
  }

 private:
  bool largest_;
  espalier_adaptive_pool2d shape_;
};

}  // namespace

std::unique_ptr<Step> read_pool(Blueprint& from) {
  const auto kind = static_cast<Pooling>(from.from.whole("a pooling's kind", 0, 2));
  const int x = from.value("x"), y = from.result("y");
  espalier_pool2d shape{};
  for (int64_t* size : {&shape.height, &shape.width, &shape.out_height, &shape.out_width, &shape.kernel_height,
                        &shape.kernel_width, &shape.stride_height, &shape.stride_width})
    *size = from.from.whole("a window's size", 1, kMostSize);
  shape.padding_height = from.from.whole("padding", 0, kMostSize);
  shape.padding_width = from.from.whole("padding", 0, kMostSize);
  shape.dilation_height = from.from.whole("dilation", 1, kMostSize);
  shape.dilation_width = from.from.whole("dilation", 1, kMostSize);
  shape.planes = multiple("x", from.size(x), checked_product("x", {shape.height, shape.width}));
  require_same("y", from.size(y), checked_product("y", {shape.planes, shape.out_height, shape.out_width}));
  return std::make_unique<Pool>(kind, x, y, shape);
}

std::unique_ptr<Step> read_adaptive_pool(Blueprint& from) {
  const bool largest = from.from.flag("a pooling's kind");
  const int x = from.value("x"), y = from.result("y");
  espalier_adaptive_pool2d shape{};
  for (int64_t* size : {&shape.height, &shape.width, &shape.out_height, &shape.out_width})
    *size = from.from.whole("a window's size", 1, kMostSize);
  shape.planes = multiple("x", from.size(x), checked_product("x", {shape.height, shape.width}));
  require_same("y", from.size(y), checked_product("y", {shape.planes, shape.out_height, shape.out_width}));
  return std::make_unique<AdaptivePool>(largest, x, y, shape);
}

}  // namespace espalier::program
