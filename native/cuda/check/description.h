// Descriptions of compiled networks (docs/programs.md), put together by hand: checks have no compiler at hand.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace espalier::check {

// Whole numbers, real ones and lists, as a file has them.
class Fields {
 public:
  Fields() = default;
  Fields(std::initializer_list<int64_t> numbers) { whole(numbers); }

  Fields& whole(std::initializer_list<int64_t> numbers) {
    for (const int64_t number : numbers) put(&number, sizeof number);
    return *this;
  }
  Fields& real(double number) {
    put(&number, sizeof number);
    return *this;
  }
  Fields& list(const std::vector<int64_t>& numbers) {
    whole({static_cast<int64_t>(numbers.size())});
    for (const int64_t number : numbers) whole({number});
    return *this;
  }
  Fields& text(const std::string& of) {
    whole({static_cast<int64_t>(of.size())});
    put(of.data(), of.size());
    return *this;
  }
  Fields& floats(const std::vector<float>& of) {
    put(of.data(), of.size() * sizeof(float));
    return *this;
  }
  Fields& append(const Fields& other) {
    bytes_ += other.bytes_;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void put(const void* from, size_t size) { bytes_.append(static_cast<const char*>(from), size); }
  std::string bytes_;
};

// The kinds of steps, in the order of native/program/steps.cc.
enum class Kind : int64_t {
  kLinear,
  kConv,
  kConvTranspose,
  kChain,
  kBroadcast,
  kPool,
  kAdaptivePool,
  kSoftmax,
  kLayerNorm,
  kSum,
  kExtreme,
  kMove,
  kFill,
  kMatmul,
};

class Description {
 public:
  explicit Description(std::vector<int64_t> input) : input_(std::move(input)) { value(product(input_)); }

  // Numbers of a new constant and of a new value, the input being value 0.
  int64_t constant(const std::vector<float>& data) {
    constants_.whole({static_cast<int64_t>(data.size()), 0}).floats(data);
    return constant_count_++;
  }
  int64_t value(int64_t size) {
    values_.push_back(size);
    return static_cast<int64_t>(values_.size()) - 1;
  }
  void step(Kind kind, const Fields& fields) {
    steps_.whole({static_cast<int64_t>(kind)}).text("").text("step").append(fields);
    ++step_count_;
  }
  // A format for a step, as if it had been measured.
  void choose(int64_t step, const std::string& format) {
    choices_.whole({step, 1}).text(format);
    ++choice_count_;
  }
  // All of it, the last value being the output.
  std::string bytes() const {
    const int64_t output = static_cast<int64_t>(values_.size()) - 1;
    Fields made{constant_count_};
    made.append(constants_).list(values_).whole({output}).list(input_).whole({1}).list({values_.back()});
    made.whole({step_count_}).append(steps_).whole({choice_count_}).append(choices_);
    return made.bytes();
  }

 private:
  static int64_t product(const std::vector<int64_t>& dims) {
    int64_t all = 1;
    for (const int64_t dimension : dims) all *= dimension;
    return all;
  }

  std::vector<int64_t> input_, values_;
  Fields constants_, steps_, choices_;
  int64_t constant_count_ = 0, step_count_ = 0, choice_count_ = 0;
};

}  // namespace espalier::check
