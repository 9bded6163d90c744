// Functions of single elements, one after the other. What is arithmetic alone, as batch norms and quantisers are, takes
// one sweep, in registers. All else goes by pieces of the values, of which what one function leaves in the processor's
// cache the next one finds there. (A GPU's pieces are everything: a launch a function.)
#include <algorithm>
#include <array>
#include <optional>

#include "program/step.h"

namespace espalier {
namespace {

enum class ChainFunction { kAdd, kSub, kMul, kDiv, kMaximum, kMinimum, kRelu, kClamp, kRound, kAbs, kNeg, kSquare };

// A function of a sweep, and its second operand: an element each, or one for all.
struct ChainLink {
  ChainFunction function;
  bool each = false;
  const float* by = nullptr;
  float low = 0, high = 0;  // kClamp's
};

}  // namespace
}  // namespace espalier
#define ESPALIER_KERNEL "program/chain.inl"
#include "simd/each_isa.h"

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

// The same as a function of a sweep; none where it is no plain arithmetic.
std::optional<ChainFunction> arithmetic(const Function& f) {
  if (f.link != Link::kUnary) {
    switch (static_cast<espalier_binary>(f.kind)) {
      case ESPALIER_BINARY_ADD: return ChainFunction::kAdd;
      case ESPALIER_BINARY_SUB: return ChainFunction::kSub;
      case ESPALIER_BINARY_MUL: return ChainFunction::kMul;
      case ESPALIER_BINARY_DIV: return ChainFunction::kDiv;
      case ESPALIER_BINARY_MAXIMUM: return ChainFunction::kMaximum;
      case ESPALIER_BINARY_MINIMUM: return ChainFunction::kMinimum;
      default: return std::nullopt;
    }
  }
  switch (static_cast<espalier_unary>(f.kind)) {
    case ESPALIER_UNARY_RELU: return ChainFunction::kRelu;
    case ESPALIER_UNARY_CLAMP: return ChainFunction::kClamp;
    case ESPALIER_UNARY_ROUND: return ChainFunction::kRound;
    case ESPALIER_UNARY_ABS: return ChainFunction::kAbs;
    case ESPALIER_UNARY_NEG: return ChainFunction::kNeg;
    case ESPALIER_UNARY_SQUARE: return ChainFunction::kSquare;
    default: return std::nullopt;
  }
}

// A chain of arithmetic as one sweep, on the processor.
class Sweep {
 public:
  // Functions of one; null for others.
  static std::unique_ptr<Sweep> of(int64_t size, const std::vector<Function>& functions) {
    if (size == 0 || functions.size() > kMostLinks) return nullptr;
    auto made = std::make_unique<Sweep>();
    made->size_ = size;
    int64_t run = size;  // that channels' operands are the same for
    for (const Function& f : functions) {
      const auto function = arithmetic(f);
      if (!function) return nullptr;
      ChainLink link{*function, f.link == Link::kValue};
      if (f.link == Link::kUnary) {
        link.low = static_cast<float>(f.p);
        link.high = static_cast<float>(f.q);
      } else if (f.link == Link::kScalar) link.low = static_cast<float>(f.p);
      else if (f.link == Link::kChannel && size > kMostSpread) {
        if (f.inner < kLeastRun || (run != size && run != f.inner)) return nullptr;
        run = f.inner;
      }
      made->links_.push_back({link, &f});
    }
    made->run_ = size <= kMostSpread ? size * ((kLeastSweep + size - 1) / size) : run;
    if (size <= kMostSpread) made->spread();
    return made;
  }

  // Of samples [first, last), which are whole.
  void run(const Frame& frame, int64_t first, int64_t last, const float* x, float* y) const {
    std::array<ChainLink, kMostLinks> now;
    for (size_t i = 0; i < links_.size(); ++i) {
      now[i] = links_[i].link;
      if (links_[i].function->link == Link::kScalar) now[i].by = &links_[i].link.low;
    }
    const int64_t count = static_cast<int64_t>(links_.size());
    for (int64_t at = first * size_, end = last * size_; at < end; at += run_) {
      for (size_t i = 0; i < links_.size(); ++i) {
        const Function& f = *links_[i].function;
        if (f.link == Link::kValue) now[i].by = frame.read(f.value) + at;
        else if (f.link == Link::kChannel && !now[i].each)
          now[i].by = f.channel->data.data() + at / f.inner % f.channel->size();
      }
      ESPALIER_ON_ISA(chain_of_links(now.data(), count, std::min(run_, end - at), x + at, y + at));
    }
  }

 private:
  // Small samples have the operands of channels written out, an element each, over as many samples as are worth a
  // sweep; in larger ones one is a channel's elements, if these are worth one.
  static constexpr int64_t kMostSpread = 4096, kLeastSweep = 512, kLeastRun = 32;
  static constexpr size_t kMostLinks = 32;

  struct Linked {
    ChainLink link;
    const Function* function;
  };

  void spread() {
    for (Linked& one : links_) {
      const Function& f = *one.function;
      if (f.link != Link::kChannel) continue;
      one.link.each = true;
      std::vector<float>& all = spread_.emplace_back(static_cast<size_t>(run_));
      const int64_t channels = f.channel->size();
      for (int64_t i = 0; i < run_; ++i)
        all[static_cast<size_t>(i)] = f.channel->data[static_cast<size_t>(i / f.inner % channels)];
      one.link.by = all.data();
    }
  }

  int64_t size_ = 0, run_ = 0;
  std::vector<Linked> links_;
  std::vector<std::vector<float>> spread_;
};

class Chain final : public Step {
 public:
  Chain(int x, int y, int64_t size, std::vector<Function> functions)
      : size_(size), functions_(std::move(functions)), sweep_(Sweep::of(size_, functions_)) {
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
          if (sweep_ != nullptr && frame.device.is_processor())
            return sweep_->run(frame, first, last, frame.read(reads[0]), frame.write(writes));
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

  const int64_t size_;
  const std::vector<Function> functions_;
  const std::unique_ptr<const Sweep> sweep_;  // null: function by function
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
