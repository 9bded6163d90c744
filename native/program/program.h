// A compiled network: its constants, its steps, and where their values lie.
#pragma once

#include <map>
#include <mutex>
#include <span>

#include "program/layer.h"
#include "program/memory.h"

namespace espalier::program {

class Program {
 public:
  // From the body of a file (see file.h, and docs/programs.md for the fields), which may come from anywhere.
  Program(const uint8_t* body, size_t size, std::unique_ptr<Device> device);
  ~Program();

  // Elements a sample, and the shapes of one: the input's, and the output's behind its first dimension, which is
  // `output_rows` times the batch size.
  int64_t input_size() const { return sizes_[0]; }
  int64_t output_size() const { return sizes_[static_cast<size_t>(output_)]; }
  const std::vector<int64_t>& input_shape() const { return input_shape_; }
  const std::vector<int64_t>& output_shape() const { return output_shape_; }
  int64_t output_rows() const { return output_rows_; }

  // Any number of threads may run it at once. y is written at last, when nothing can fail any more.
  void run(int64_t batch, const float* x, float* y);

  // The whole file, as it can be read again, with what `tune` found.
  std::vector<uint8_t> file() const;

  // Measures every format of every layer at a batch size, and keeps to the fastest from then on.
  void tune(int64_t batch);

  // The layer of a step that sums whole numbers; another step is an error.
  const Task& on_codes(int64_t step) const;

  // Text in JSON: what runs on what; with `repeats` above 0 it is measured, so often.
  std::string explain(int64_t batch, int64_t repeats);

 private:
  // A format that was found by measurement.
  struct Choice {
    int64_t step, batch;
    std::string format;
  };
  // What is decided for a batch size: samples that are run together, and a kernel for each step that is a layer.
  struct Plan {
    int64_t chunk;
    std::vector<const Kernel*> kernels;
  };

  void read_tensors(Reader& from);
  void read_choices(Reader& from);
  void join_maxima();
  // Samples that are run together.
  int64_t chunk(int64_t batch) const;
  std::shared_ptr<const Plan> plan(int64_t batch);
  void run_chunk(const Plan& plan, int64_t batch, const float* x, float* y);
  // Calls visit(step, frame) for every step of a run on a made-up batch; it has to run the step.
  template <class Visit>
  void walk(int64_t batch, Visit visit) {
    const std::shared_ptr<const Plan> how = plan(batch);
    std::vector<float> x(static_cast<size_t>(input_size() * batch));
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 17) / 16.0f - 0.5f;
    const Memory there = device_->allocate(input_size() * batch);
    device_->upload(x.data(), input_size() * batch, there.get());
    const Memory memory = device_->lend(placement_.total * batch, in_part_);
    const Frame frame(batch, *device_, there.get(), memory.get(), sizes_, placement_, how->kernels);
    device_->wait();
    for (const auto& step : steps_) visit(*step, frame);
  }

  const std::unique_ptr<Device> device_;
  std::vector<uint8_t> body_;  // without choices
  std::vector<Tensor> tensors_;
  std::vector<int64_t> sizes_, input_shape_, output_shape_;
  int64_t output_rows_ = 1;
  int output_ = 0;
  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<Choice> others_;  // of formats that other devices have
  Placement placement_;
  bool in_part_ = false;  // whether steps write some value in parts, which may leave gaps

  std::mutex lock_;
  std::map<int64_t, std::shared_ptr<const Plan>> plans_;  // by batch size
};

}  // namespace espalier::program
