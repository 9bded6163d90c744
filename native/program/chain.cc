// Functions of single elements, one after the other, on a piece of the values at a time: what one leaves in the
// processor's cache the next one finds there. (A GPU's pieces are everything: a launch a function.)
#include "program/step.h"

namespace espalier::program {
namespace {

enum class Link { kUnary, kScalar, kChannel, kValue };

struct Function {
  Link link;
  int64_t kind;
  double p = 0, q = 0;              // kUnary's parameters; p: kScalar's second operand
  const Tensor* channel = nullptr;  // kChannel's: an element for each of its length, every `inner` elements
  int64_t inner = 1;
  int value = 0;  // kValue's
};

class Chain final : public Step {
 public:
  Chain(int x, int y, int64_t size, std::vector<Function> functions) : size_(size), functions_(std::move(functions)) {
    reads = {x};
    writes = y;
    in_place = true;
    for (const Function& function : functions_)
      if (function.link == Link::kValue) reads.push_back(function.value);
      else if (function.link == Link::kChannel) takes.push_back(function.channel);
  }

  void run(const Frame& frame) const override {
    if (size_ == 0) return;
    // Whole samples, so that channels fall into place.
    frame.device.in_parts(
        frame.batch, std::max<int64_t>(1, frame.device.piece / size_), [&](int64_t first, int64_t last) {
          const int64_t at = first * size_, count = (last - first) * size_;
          const float* from = frame.read(reads[0]) + at;
          float* const to = frame.write(writes) + at;
          for (const Function& function : functions_) {
            apply(function, frame, at, {from, count, ESPALIER_FLOAT32}, {to, count, ESPALIER_FLOAT32});
            from = to;
          }
        });
  }

 private:
  static void apply(const Function& f, const Frame& frame, int64_t at, espalier_in x, espalier_out y) {
    const auto binary = static_cast<espalier_binary>(f.kind);
    switch (f.link) {
      case Link::kUnary:
        return require_ok(frame.call.unary_forward(static_cast<espalier_unary>(f.kind), f.p, f.q, x, y));
      case Link::kScalar: return require_ok(frame.call.binary_scalar(binary, x, f.p, y));
      case Link::kChannel: {
        const int64_t channels = f.channel->size();
        return require_ok(frame.call.binary_middle(binary, x.length / (channels * f.inner), channels, f.inner, x,
                                                   f.channel->array(), y));
      }
      case Link::kValue:
        return require_ok(
            frame.call.binary_forward(binary, x, {frame.read(f.value) + at, x.length, ESPALIER_FLOAT32}, y));
    }
  }

  int64_t size_;
  std::vector<Function> functions_;
};

Function read_function(Blueprint& from, int64_t size) {
  Function f{static_cast<Link>(from.from.whole("a function's form", 0, 3)), 0};
  f.kind = f.link == Link::kUnary ? from.from.whole("a function", ESPALIER_UNARY_RELU, ESPALIER_UNARY_SIGN)
                                  : from.from.whole("a function", ESPALIER_BINARY_ADD, ESPALIER_BINARY_GREATER);
  switch (f.link) {
    case Link::kUnary:
      f.p = from.from.real("p");
      f.q = from.from.real("q");
      break;
    case Link::kScalar: f.p = from.from.real("the second operand"); break;
    case Link::kChannel:
      f.channel = &from.tensor("the second operand", -1);
      f.inner = from.from.whole("inner", 1, kMostElements);
      multiple("x", size, checked_product("x", {f.channel->size(), f.inner}));
      break;
    case Link::kValue:
      f.value = from.value("the second operand");
      require_same("the second operand", from.size(f.value), size);
  }
  return f;
}

}  // namespace

std::unique_ptr<Step> read_chain(Blueprint& from) {
  const int x = from.value("x"), y = from.result("y");
  require_same("y", from.size(y), from.size(x));
  std::vector<Function> functions(static_cast<size_t>(from.from.count("functions", 256, 2 * sizeof(int64_t))));
  if (functions.empty()) fail(ESPALIER_INVALID_ARGUMENT, "a chain has no functions");
  for (Function& function : functions) function = read_function(from, from.size(x));
  return std::make_unique<Chain>(x, y, from.size(x), std::move(functions));
}

}  // namespace espalier::program
