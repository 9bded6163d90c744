// A layer with weights: which format it runs in at which batch size.
#pragma once

#include <map>
#include <mutex>

#include "program/format.h"

namespace espalier::program {

class Layer {
 public:
  Layer(const Task& task, std::span<const Format* const> formats)
      : task_(task), formats_(formats), prepared_(formats.size()), making_times_(formats.size()) {}

  const Task& task() const { return task_; }
  // Those it chooses among.
  std::span<const Format* const> formats() const { return formats_; }

  // The format for a batch size: the one measured at the nearest size, where any was, else the one that the cost
  // model finds fastest.
  size_t choose(int64_t batch) const;
  // Before any format is asked for.
  void set_maxima(Maxima maxima) { task_.maxima = maxima; }

  // What a format is expected to take; negative where it does not take the layer.
  double expects(size_t format, int64_t batch) const { return expected_time(*formats_[format], task_, batch); }
  // What the step behind a format's kernels then takes, where they might have done its work.
  double behind(size_t format, int64_t batch) const;
  bool takes(size_t format) const { return expects(format, 1) >= 0; }
  bool is_taken() const {
    for (size_t i = 0; i < formats().size(); ++i)
      if (takes(i)) return true;
    return false;
  }
  // Weights in a format, prepared at the first call, with all that runs of such a batch need; and the nanoseconds that
  // were spent so far on making the format so.
  const Kernel& ready(size_t format, int64_t batch);
  double making_time(size_t format) const;

  // Formats found by measurement, by batch size.
  std::map<int64_t, size_t> measured() const;
  void remember(int64_t batch, size_t format);

 private:
  const Kernel& kernel(size_t format);

  Task task_;
  const std::span<const Format* const> formats_;
  mutable std::mutex lock_;
  std::vector<std::unique_ptr<Kernel>> prepared_;
  std::vector<double> making_times_;
  std::map<int64_t, size_t> measured_;
};

}  // namespace espalier::program
