// Steps that move elements: permutations, slices, padding, parts put together.
#include "core/moves.h"

#include "program/step.h"

namespace espalier::program {
namespace {

constexpr int64_t kMostStep = int64_t{1} << 40;

class Move final : public Step {
 public:
  Move(int x, int y, std::vector<int64_t> dims, std::vector<int64_t> x_steps, int64_t x_offset,
       std::vector<int64_t> y_steps, int64_t y_offset, bool everywhere)
      : dims_(std::move(dims)),
        x_steps_(std::move(x_steps)),
        y_steps_(std::move(y_steps)),
        x_offset_(x_offset),
        y_offset_(y_offset) {
    reads = {x};
    writes = y;
    whole = everywhere;
  }
  void run(const Frame& frame) const override {
    std::vector<int64_t> dims = dims_;
    dims[0] = frame.batch;
    const int64_t rank = static_cast<int64_t>(dims.size());
    require_ok(frame.call.copy_strided({dims.data(), rank}, {x_steps_.data(), rank}, x_offset_, {y_steps_.data(), rank},
                                       y_offset_, frame.in(reads[0]), frame.out(writes)));
  }

 private:
  // The first dimension is the sample.
  std::vector<int64_t> dims_, x_steps_, y_steps_;
  int64_t x_offset_, y_offset_;
};

class Fill final : public Step {
 public:
  Fill(int y, float value) : value_(value) { writes = y; }
  void run(const Frame& frame) const override { frame.device.fill(value_, frame.length(writes), frame.write(writes)); }

 private:
  float value_;
};

}  // namespace

std::unique_ptr<Step> read_move(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  std::vector<int64_t> dims = from.dims("the shape", 0, kMostElements);
  std::vector<int64_t> x_steps = from.dims("steps", -kMostStep, kMostStep);
  const int64_t x_offset = from.from.whole("offset", 0, kMostStep);
  std::vector<int64_t> y_steps = from.dims("steps", -kMostStep, kMostStep);
  const int64_t y_offset = from.from.whole("offset", 0, kMostStep);
  const int64_t rank = static_cast<int64_t>(dims.size());
  // Within a sample no step leaves either array, and none reaches an element twice.
  copy_nest({dims.data(), rank}, {x_steps.data(), static_cast<int64_t>(x_steps.size())}, x_offset, from.size(x),
            {y_steps.data(), static_cast<int64_t>(y_steps.size())}, y_offset, from.size(y));
  const bool everywhere = checked_product("the shape", {dims.data(), rank}) == from.size(y);
  dims.insert(dims.begin(), 1);
  x_steps.insert(x_steps.begin(), from.size(x));
  y_steps.insert(y_steps.begin(), from.size(y));
  return std::make_unique<Move>(x, y, std::move(dims), std::move(x_steps), x_offset, std::move(y_steps), y_offset,
                                everywhere);
}

std::unique_ptr<Step> read_fill(Blueprint& from) {
  const int y = from.result("y");
  return std::make_unique<Fill>(y, static_cast<float>(from.from.real("value")));
}

}  // namespace espalier::program
