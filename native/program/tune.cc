// Which format is the fastest, found by trying each.
#include <algorithm>
#include <chrono>

#include "program/program.h"

namespace espalier::program {
namespace {

// What the cost model finds so many times slower than the best is not tried.
constexpr double kHopeless = 20;
// Each is run until this much time has gone, and counted by its fastest run: whatever else the machine does only
// ever adds to one.
constexpr double kNanosecondsEach = 2e6;
constexpr int kFewestRuns = 3, kMostRuns = 200;

double fastest(const Kernel& kernel, int64_t batch, Device& device, const float* x, float* y) {
  kernel.run(batch, x, y);
  device.wait();
  double best = 0, total = 0;
  for (int run = 0; run < kFewestRuns || (total < kNanosecondsEach && run < kMostRuns); ++run) {
    const auto start = std::chrono::steady_clock::now();
    kernel.run(batch, x, y);
    device.wait();
    const double taken = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count();
    best = run == 0 ? taken : std::min(best, taken);
    total += taken;
  }
  return best;
}

}  // namespace

void Program::tune(int64_t batch) {
  const int64_t together = std::min(batch, chunk(batch));
  walk(together, [&](Step& step, const Frame& frame) {
    step.run(frame);
    Layer* const layer = step.layer();
    if (layer == nullptr) return;
    std::vector<double> predicted;
    double least = -1;
    const auto formats = layer->formats();
    for (size_t i = 0; i < formats.size(); ++i) {
      predicted.push_back(layer->expects(i, together));
      if (predicted.back() >= 0 && (least < 0 || predicted.back() < least)) least = predicted.back();
    }
    size_t best = formats.size();
    double time = 0;
    for (size_t i = 0; i < formats.size(); ++i) {
      if (predicted[i] < 0 || predicted[i] > kHopeless * least) continue;
      const std::unique_ptr<Kernel> kernel = formats[i]->prepare(layer->task());
      float* const y = frame.write(kernel->gives_maxima() ? step.maxima : step.writes);
      const double taken =
          fastest(*kernel, together, frame.device, frame.read(step.reads[0]), y) + layer->behind(i, together);
      if (best < formats.size() && taken >= time) continue;
      best = i;
      time = taken;
    }
    layer->remember(together, best);
  });
  const std::lock_guard<std::mutex> hold(lock_);
  plans_.clear();
}

}  // namespace espalier::program
