#include "program/layer.h"

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
    const double time = expects(i, batch);
    if (time < 0 || (best < formats_.size() && time >= least)) continue;
    best = i;
    least = time;
  }
  return best;
}

const Kernel& Layer::kernel(size_t format) {
  const std::lock_guard<std::mutex> hold(lock_);
  std::unique_ptr<Kernel>& made = prepared_[format];
  if (made == nullptr) made = formats_[format]->prepare(task_);
  return *made;
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
