// Adds the time from its making to its end to a number of nanoseconds.
#pragma once

#include <chrono>

namespace espalier {

class Stopwatch {
 public:
  explicit Stopwatch(double& nanoseconds) : nanoseconds_(nanoseconds) {}
  ~Stopwatch() {
    nanoseconds_ += std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begun_).count();
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& nanoseconds_;
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace espalier
