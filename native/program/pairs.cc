// Steps of two operands of different shapes: stretched to a common one, or matrices multiplied. An operand is a
// value, whose first dimension grows with the batch, or a constant.
#include "program/step.h"

namespace espalier::program {
namespace {

struct Operand {
  int value = -1;  // -1: the constant
  const Tensor* constant = nullptr;
  std::vector<int64_t> dims;  // a sample's

  espalier_in array(const Frame& frame) const { return value >= 0 ? frame.in(value) : constant->array(); }
  std::vector<int64_t> at(int64_t batch) const {
    std::vector<int64_t> grown = dims;
    if (value >= 0) grown[0] *= batch;
    return grown;
  }
};

espalier_dims view(const std::vector<int64_t>& dims) { return {dims.data(), static_cast<int64_t>(dims.size())}; }

// `trailing`: elements of each entry of the dimensions.
Operand read_operand(Blueprint& from, int64_t trailing) {
  Operand made;
  if (from.from.flag("an operand's kind")) made.value = from.value("an operand");
  else made.constant = &from.tensor("an operand", -1);
  made.dims = from.dims("an operand's shape", 0, kMostElements);
  if (made.value >= 0 && made.dims.empty()) fail(ESPALIER_INVALID_ARGUMENT, "a value has no dimensions");
  require_same("an operand", made.value >= 0 ? from.size(made.value) : made.constant->size(),
               checked_product("an operand", {checked_product("an operand", view(made.dims)), trailing}));
  return made;
}

void reads_of(Step& step, const Operand& a, const Operand& b) {
  for (const Operand* operand : {&a, &b})
    if (operand->value >= 0) step.reads.push_back(operand->value);
    else step.takes.push_back(operand->constant);
}

class Broadcast final : public Step {
 public:
  Broadcast(espalier_binary kind, Operand a, Operand b, int y) : kind_(kind), a_(std::move(a)), b_(std::move(b)) {
    reads_of(*this, a_, b_);
    writes = y;
  }
  void run(const Frame& frame) const override {
    const std::vector<int64_t> a = a_.at(frame.batch), b = b_.at(frame.batch);
    require_ok(
        frame.call.binary_broadcast(kind_, view(a), view(b), a_.array(frame), b_.array(frame), frame.out(writes)));
  }

 private:
  espalier_binary kind_;
  Operand a_, b_;
};

class Matmul final : public Step {
 public:
  Matmul(int64_t m, int64_t n, int64_t k, Operand a, Operand b, std::vector<int64_t> batch, bool grows, int y)
      : m_(m), n_(n), k_(k), a_(std::move(a)), b_(std::move(b)), batch_(std::move(batch)), grows_(grows) {
    reads_of(*this, a_, b_);
    writes = y;
  }
  void run(const Frame& frame) const override {
    const std::vector<int64_t> a = a_.at(frame.batch), b = b_.at(frame.batch);
    std::vector<int64_t> c = batch_;
    if (grows_) c[0] *= frame.batch;
    require_ok(frame.call.matmul(m_, n_, k_, 0, 0, view(a), view(b), view(c), a_.array(frame), b_.array(frame),
                                 frame.out(writes)));
  }

 private:
  int64_t m_, n_, k_;
  Operand a_, b_;
  std::vector<int64_t> batch_;
  bool grows_;
};

}  // namespace

std::unique_ptr<Step> read_broadcast(Blueprint& from) {
  const int y = from.result("y");
  const auto kind =
      static_cast<espalier_binary>(from.from.whole("a function", ESPALIER_BINARY_ADD, ESPALIER_BINARY_GREATER));
  Operand a = read_operand(from, 1), b = read_operand(from, 1);
  return std::make_unique<Broadcast>(kind, std::move(a), std::move(b), y);
}

std::unique_ptr<Step> read_matmul(Blueprint& from) {
  const int y = from.result("y");
  const int64_t m = from.from.whole("m", 0, kMostElements), n = from.from.whole("n", 0, kMostElements),
                k = from.from.whole("k", 0, kMostElements);
  Operand a = read_operand(from, checked_product("a", {m, k})), b = read_operand(from, checked_product("b", {k, n}));
  std::vector<int64_t> batch = from.dims("the batch", 0, kMostElements);
  require_same("y", from.size(y),
               checked_product("y", {checked_product("y", view(batch)), checked_product("y", {m, n})}));
  const bool grows = (a.value >= 0 || b.value >= 0) && !batch.empty();
  return std::make_unique<Matmul>(m, n, k, std::move(a), std::move(b), std::move(batch), grows, y);
}

}  // namespace espalier::program
