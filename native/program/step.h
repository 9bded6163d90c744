// A compiled network is steps over values. A value is an array of `size` elements a sample; value 0 is the input.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "program/device.h"
#include "program/reader.h"

namespace espalier::program {

// A constant of the network.
struct Tensor {
  std::vector<float> data;
  int64_t kept = 0;               // elements other than 0
  const float* placed = nullptr;  // on the device, where a step takes it as it is

  int64_t size() const { return static_cast<int64_t>(data.size()); }
  espalier_in array() const { return {placed, size(), ESPALIER_FLOAT32}; }
};

class Kernel;

// Where values lie in the working memory of a run.
struct Placement {
  std::vector<int64_t> offsets;     // of each value, in elements a sample; the input has none
  std::vector<int64_t> workspaces;  // of each step's
  int64_t total = 0;                // elements a sample
  int64_t separate = 0;             // what it would be if nothing were shared
};

// What the steps of one run work on.
class Frame {
 public:
  Frame(int64_t batch, Device& device, const float* input, float* arena, const std::vector<int64_t>& sizes,
        const Placement& placement, const std::vector<const Kernel*>& kernels)
      : batch(batch),
        device(device),
        call(device.call),
        input_(input),
        arena_(arena),
        sizes_(sizes),
        placement_(placement),
        kernels_(kernels) {}

  const int64_t batch;
  Device& device;
  const Operations& call;

  const float* read(int value) const { return value == 0 ? input_ : at(value); }
  float* write(int value) const { return at(value); }
  int64_t length(int value) const { return sizes_[static_cast<size_t>(value)] * batch; }
  espalier_in in(int value) const { return {read(value), length(value), ESPALIER_FLOAT32}; }
  espalier_out out(int value) const { return {write(value), length(value), ESPALIER_FLOAT32}; }
  // Memory that a step asked for as its workspace.
  espalier_out workspace(int step, int64_t first, int64_t size) const {
    return {arena_ + (placement_.workspaces[static_cast<size_t>(step)] + first) * batch, size * batch,
            ESPALIER_FLOAT32};
  }
  // The kernel chosen for a step at this batch size; only layers have one.
  const Kernel& kernel(int step) const { return *kernels_[static_cast<size_t>(step)]; }

 private:
  float* at(int value) const { return arena_ + placement_.offsets[static_cast<size_t>(value)] * batch; }

  const float* input_;
  float* arena_;
  const std::vector<int64_t>& sizes_;
  const Placement& placement_;
  const std::vector<const Kernel*>& kernels_;
};

class Layer;

class Step {
 public:
  virtual ~Step() = default;
  virtual void run(const Frame& frame) const = 0;
  // What chooses among formats; null where the step has one way alone.
  virtual Layer* layer() { return nullptr; }
  // Of a step that takes the largest of windows of 2×2, side by side: its sizes.
  virtual const espalier_pool2d* squares() const { return nullptr; }

  std::string name;        // of the layer it comes from; may be empty
  std::string operation;   // as the graph names it
  std::vector<int> reads;  // values
  int writes = 0;
  int index = 0;  // among the network's steps
  // Whether the result may stand where reads[0] stood.
  bool in_place = false;
  // Whether it writes every element of the result.
  bool whole = true;
  // Elements a sample that it needs for itself.
  int64_t workspace = 0;
  // Of a layer whose result goes to largest values of windows alone: the value that these are, which its kernel may
  // write in the place of `writes`; 0 for none. And of the step that takes them: the layer's place.
  int maxima = 0, maker = -1;
  // Constants that it takes as they are: they have to be on the device.
  std::vector<const Tensor*> takes;
};

// What a step is read from: its fields, and what they may name.
class Blueprint {
 public:
  Blueprint(Reader& from, const std::vector<int64_t>& sizes, const std::vector<Tensor>& tensors,
            std::span<const Format* const> formats)
      : from(from), sizes(sizes), tensors(tensors), formats(formats) {}

  int value(const char* what) { return static_cast<int>(from.whole(what, 0, static_cast<int64_t>(sizes.size()) - 1)); }
  // A value that is written: any but the input.
  int result(const char* what) { return static_cast<int>(from.whole(what, 1, static_cast<int64_t>(sizes.size()) - 1)); }
  int64_t size(int value) const { return sizes[static_cast<size_t>(value)]; }
  // A constant of `length` elements, or of any length where that is -1.
  const Tensor& tensor(const char* what, int64_t length) {
    const Tensor& found = tensors[static_cast<size_t>(from.whole(what, 0, static_cast<int64_t>(tensors.size()) - 1))];
    if (length >= 0 && found.size() != length)
      fail(ESPALIER_SHAPE_MISMATCH, "%s has %lld elements, expected %lld", what, static_cast<long long>(found.size()),
           static_cast<long long>(length));
    return found;
  }
  const Tensor* optional_tensor(const char* what, int64_t length) {
    return from.flag(what) ? &tensor(what, length) : nullptr;
  }
  std::vector<int64_t> dims(const char* what, int64_t low, int64_t high) {
    std::vector<int64_t> made(static_cast<size_t>(from.count(what, 32, sizeof(int64_t))));
    for (int64_t& dimension : made) dimension = from.whole(what, low, high);
    return made;
  }

  Reader& from;
  const std::vector<int64_t>& sizes;
  const std::vector<Tensor>& tensors;
  const std::span<const Format* const> formats;  // that layers choose among
};

// Reads a step of a kind, which is a place in the table of steps.cc.
std::unique_ptr<Step> read_step(Blueprint& from);

using ReadStep = std::unique_ptr<Step> (*)(Blueprint&);
std::unique_ptr<Step> read_linear(Blueprint&);
std::unique_ptr<Step> read_conv(Blueprint&);
std::unique_ptr<Step> read_conv_transpose(Blueprint&);
std::unique_ptr<Step> read_chain(Blueprint&);
std::unique_ptr<Step> read_broadcast(Blueprint&);
std::unique_ptr<Step> read_pool(Blueprint&);
std::unique_ptr<Step> read_adaptive_pool(Blueprint&);
std::unique_ptr<Step> read_softmax(Blueprint&);
std::unique_ptr<Step> read_layer_norm(Blueprint&);
std::unique_ptr<Step> read_sum(Blueprint&);
std::unique_ptr<Step> read_extreme(Blueprint&);
std::unique_ptr<Step> read_move(Blueprint&);
std::unique_ptr<Step> read_fill(Blueprint&);
std::unique_ptr<Step> read_matmul(Blueprint&);

// Steps call the functions of the C interface, which check every length again.
void require_ok(espalier_status status);
// Sizes a sample that must agree.
void require_same(const char* what, int64_t size, int64_t expected);
// How often `part` goes into a value's size.
int64_t multiple(const char* what, int64_t size, int64_t part);

// Dimensions of a sample, and elements a sample, beyond which nothing is run.
constexpr int64_t kMostElements = int64_t{1} << 28;

}  // namespace espalier::program
