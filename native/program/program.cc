#include "program/program.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "program/file.h"

namespace espalier::program {
namespace {

constexpr int64_t kMostThings = 4096;  // values, steps
constexpr int64_t kMostTensors = 1 << 14;
constexpr int64_t kMostTensorElements = (int64_t{1} << 31) - 1;
// Batch sizes of which the choice of formats is kept.
constexpr size_t kMostPlans = 64;

// How a tensor's elements are stored, in any combination: those that are 0 as bits alone; as whole numbers of 8 bits.
constexpr int64_t kPacked = 1, kBytes = 2;

Tensor read_tensor(Reader& from) {
  Tensor made;
  const int64_t length = from.whole("a constant's length", 0, kMostTensorElements);
  const int64_t encoding = from.whole("a constant's encoding", 0, kPacked | kBytes);
  const size_t size = static_cast<size_t>(length), each = encoding & kBytes ? 1 : sizeof(float);
  const uint8_t* present = nullptr;
  size_t stored = size;
  if (encoding & kPacked) {
    present = from.bytes("a constant", (size + 7) / 8);
    stored = 0;
    for (size_t i = 0; i < (size + 7) / 8; ++i) stored += static_cast<size_t>(std::popcount(present[i]));
    if (size % 8 != 0 && present[size / 8] >> size % 8 != 0)
      fail(ESPALIER_INVALID_ARGUMENT, "a constant has elements behind its end");
  }
  if (stored > from.left() / each) from.bytes("a constant", from.left() + 1);
  const uint8_t* at = from.bytes("a constant", stored * each);
  made.data.resize(size);
  for (size_t i = 0; i < size; ++i) {
    if (present != nullptr && !(present[i / 8] >> i % 8 & 1)) continue;
    if (encoding & kBytes) made.data[i] = static_cast<float>(static_cast<int8_t>(*at));
    else std::memcpy(&made.data[i], at, sizeof(float));
    at += each;
    made.kept += made.data[i] != 0;
  }
  return made;
}

}  // namespace

Program::Program(const uint8_t* body, size_t size, std::unique_ptr<Device> device) : device_(std::move(device)) {
  Reader from(body, size);
  read_tensors(from);

  sizes_.resize(static_cast<size_t>(from.count("values", kMostThings, sizeof(int64_t))));
  if (sizes_.empty()) fail(ESPALIER_INVALID_ARGUMENT, "there are no values");
  for (int64_t& elements : sizes_) elements = from.whole("a value's size", 0, kMostElements);
  Blueprint blueprint(from, sizes_, tensors_, device_->formats);
  output_ = blueprint.result("the output");
  input_shape_ = blueprint.dims("the input's shape", 0, kMostElements);
  output_rows_ = from.whole("the output's rows", 1, kMostElements);
  output_shape_ = blueprint.dims("the output's shape", 0, kMostElements);
  const auto elements = [](const std::vector<int64_t>& shape) {
    return checked_product("a shape", {shape.data(), static_cast<int64_t>(shape.size())});
  };
  require_same("the input", input_size(), elements(input_shape_));
  require_same("the output", output_size(), checked_product("the output", {output_rows_, elements(output_shape_)}));

  steps_.resize(static_cast<size_t>(from.count("steps", kMostThings, 3 * sizeof(int64_t))));
  for (size_t i = 0; i < steps_.size(); ++i) {
    steps_[i] = read_step(blueprint);
    steps_[i]->index = static_cast<int>(i);
  }
  if (device_->joins_maxima()) join_maxima();
  placement_ = place(sizes_, steps_, output_);
  require_range("working memory of a sample", placement_.total, int64_t{0}, kMostElements);
  std::vector<char> begun(sizes_.size(), 0);
  for (const auto& step : steps_) {
    char& written = begun[static_cast<size_t>(step->writes)];
    if (!written && !step->whole) in_part_ = true;
    written = 1;
  }

  body_.assign(body, body + from.position());
  read_choices(from);
  if (from.left() > 0) fail(ESPALIER_INVALID_ARGUMENT, "%zu bytes stand behind the program", from.left());
  // At last: a file that is refused leaves the device alone.
  for (const auto& step : steps_)
    for (const Tensor* const constant : step->takes) {
      Tensor& own = tensors_[static_cast<size_t>(constant - tensors_.data())];
      if (own.placed == nullptr) own.placed = device_->keep(own.data);
    }
}

Program::~Program() { device_->retire(); }

void Program::read_tensors(Reader& from) {
  tensors_.reserve(static_cast<size_t>(from.count("constants", kMostTensors, 2 * sizeof(int64_t))));
  for (size_t i = 0, count = tensors_.capacity(); i < count; ++i) tensors_.push_back(read_tensor(from));
}

// Tells convolutions whose results go to largest values of windows of 2×2, and nowhere else, of these.
void Program::join_maxima() {
  std::vector<int> readers(sizes_.size()), writers(sizes_.size());
  std::vector<Step*> maker(sizes_.size());
  ++readers[static_cast<size_t>(output_)];
  for (const auto& step : steps_) {
    for (const int value : step->reads) ++readers[static_cast<size_t>(value)];
    ++writers[static_cast<size_t>(step->writes)];
  }
  for (const auto& step : steps_) {
    const espalier_pool2d* const windows = step->squares();
    Step* const before = windows == nullptr ? nullptr : maker[static_cast<size_t>(step->reads[0])];
    if (Layer* const layer = before == nullptr ? nullptr : before->layer()) {
      const auto from = static_cast<size_t>(before->writes), to = static_cast<size_t>(step->writes);
      const auto& conv = layer->task().conv;
      if (conv && conv->out_height == windows->height && conv->out_width == windows->width && readers[from] == 1 &&
          writers[from] == 1 && writers[to] == 1) {
        before->maxima = step->writes;
        step->maker = before->index;
        layer->set_maxima({windows->out_height, windows->out_width});
      }
    }
    maker[static_cast<size_t>(step->writes)] = step.get();
  }
}

// Formats that were found by measurement; where one does not take the layer, the choice is made anew. Those of names
// that are not known here are another device's: they stay in the file.
void Program::read_choices(Reader& from) {
  for (int64_t left = from.count("choices", kMostThings * 16, 3 * sizeof(int64_t)); left > 0; --left) {
    const int64_t step = from.whole("a choice's step", 0, static_cast<int64_t>(steps_.size()) - 1);
    const int64_t batch = from.whole("a choice's batch size", 1, int64_t{1} << 31);
    const std::string name = from.text("a choice's format", 64);
    Layer* const layer = steps_[static_cast<size_t>(step)]->layer();
    if (layer == nullptr)
      fail(ESPALIER_INVALID_ARGUMENT, "a format is chosen for step %lld, which has none", static_cast<long long>(step));
    const auto formats = layer->formats();
    const auto known =
        std::find_if(formats.begin(), formats.end(), [&](const Format* one) { return name == one->name; });
    if (known == formats.end()) others_.push_back({step, batch, name});
    else if (const auto i = static_cast<size_t>(known - formats.begin()); layer->takes(i)) layer->remember(batch, i);
  }
}

std::vector<uint8_t> Program::file() const {
  std::vector<Choice> all = others_;
  for (const auto& step : steps_)
    if (Layer* const layer = step->layer())
      for (const auto& [batch, format] : layer->measured())
        all.push_back({step->index, batch, layer->formats()[format]->name});
  std::string choices;
  const auto put = [&](int64_t number) { choices.append(reinterpret_cast<const char*>(&number), sizeof number); };
  put(static_cast<int64_t>(all.size()));
  for (const auto& [step, batch, format] : all) {
    put(step);
    put(batch);
    put(static_cast<int64_t>(format.size()));
    choices.append(format);
  }
  std::vector<uint8_t> made(kHeaderBytes + body_.size() + choices.size());
  const auto behind = std::copy(body_.begin(), body_.end(), made.begin() + kHeaderBytes);
  std::copy(choices.begin(), choices.end(), behind);
  seal(made.data(), made.size());
  return made;
}

const Task& Program::on_codes(int64_t step) const {
  require_range("step", step, int64_t{0}, static_cast<int64_t>(steps_.size()) - 1);
  Layer* const layer = steps_[static_cast<size_t>(step)]->layer();
  if (layer == nullptr || !layer->task().codes)
    fail(ESPALIER_INVALID_ARGUMENT, "step %lld is no layer that sums whole numbers", static_cast<long long>(step));
  return layer->task();
}

int64_t Program::chunk(int64_t batch) const {
  return device_->together(batch, (placement_.total + input_size()) * static_cast<int64_t>(sizeof(float)));
}

std::shared_ptr<const Program::Plan> Program::plan(int64_t batch) {
  {
    const std::lock_guard<std::mutex> hold(lock_);
    const auto found = plans_.find(batch);
    if (found != plans_.end()) return found->second;
  }
  Plan made{chunk(batch), std::vector<const Kernel*>(steps_.size())};
  const int64_t together = std::min(batch, made.chunk);
  for (const auto& step : steps_)
    if (Layer* const layer = step->layer()) {
      const Kernel& kernel = layer->ready(layer->choose(together), together);
      made.kernels[static_cast<size_t>(step->index)] = &kernel;
    }
  const auto kept = std::make_shared<const Plan>(std::move(made));
  const std::lock_guard<std::mutex> hold(lock_);
  if (plans_.size() >= kMostPlans) plans_.clear();
  plans_[batch] = kept;
  return kept;
}

void Program::run_chunk(const Plan& plan, int64_t batch, const float* x, float* y) {
  const Memory memory = device_->lend(placement_.total * batch, in_part_);
  const Frame frame(batch, *device_, x, memory.get(), sizes_, placement_, plan.kernels);
  for (const auto& step : steps_) step->run(frame);
  device_->copy(frame.read(output_), frame.length(output_), y);
}

void Program::run(int64_t batch, const float* x, float* y) {
  if (batch == 0) return;
  const std::shared_ptr<const Plan> how = plan(batch);
  if (batch <= how->chunk) return run_chunk(*how, batch, x, y);
  // A later chunk may fail: only then are the earlier ones' results told.
  const int64_t size = output_size();
  const Memory made = device_->allocate(size * batch);
  device_->in_parts(batch, how->chunk, [&](int64_t first, int64_t last) {
    run_chunk(*how, last - first, x + first * input_size(), made.get() + first * size);
  });
  device_->copy(made.get(), size * batch, y);
}

}  // namespace espalier::program
