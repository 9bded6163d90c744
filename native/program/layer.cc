#include "program/layer.h"

#include "core/stopwatch.h"
#include "program/cost.h"

namespace espalier::program {

size_t Layer::choose(int64_t batch) const {
  const std::lock_guard<std::mutex> hold(lock_);
  if (!measured_.empty()) {
    // Nearest by ratio.
    const auto above = measured_.lower_bound(batch);
    if (above == measured_.end()) return measured_.rbegin()->second;
    if (above == measured_.begin()) return above->second;
    const auto below = std::prev(above);
    const double to_above = static_cast<double>(above->first) / static_cast<double>(batch);
    return static_cast<double>(batch) / static_cast<double>(below->first) < to_above ? below->second : above->second;
  }
  size_t best = formats_.size();
  double least = 0;
  for (size_t i = 0; i < formats_.size(); ++i) {
    double time = expects(i, batch);
    if (time < 0) continue;
    time += behind(i, batch);
    if (best < formats_.size() && time >= least) continue;
    best = i;
    least = time;
  }
  return best;
}

double Layer::behind(size_t format, int64_t batch) const {
  if (!task_.maxima || formats_[format]->maxima) return 0;
  return maxima_time(static_cast<double>(task_.rows * task_.vectors) * static_cast<double>(batch));
}

const Kernel& Layer::kernel(size_t format) {
  const std::lock_guard<std::mutex> hold(lock_);
  std::unique_ptr<Kernel>& made = prepared_[format];
  if (made == nullptr) {
    const Stopwatch making(making_times_[format]);
    made = formats_[format]->prepare(task_);
  }
  return *made;
}

const Kernel& Layer::ready(size_t format, int64_t batch) {
  const Kernel& made = kernel(format);
  double taken = 0;
  {
    const Stopwatch making(taken);
    made.make_ready(batch);
  }
  const std::lock_guard<std::mutex> hold(lock_);
  making_times_[format] += taken;
  return made;
}

double Layer::making_time(size_t format) const {
  const std::lock_guard<std::mutex> hold(lock_);
  return making_times_[format];
}

std::map<int64_t, size_t> Layer::measured() const {
  const std::lock_guard<std::mutex> hold(lock_);
  return measured_;
}

void Layer::remember(int64_t batch, size_t format) {
  const std::lock_guard<std::mutex> hold(lock_);
  measured_[batch] = format;
}

}  // namespace espalier::program
