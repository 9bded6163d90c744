// The processor as a program's device.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "program/device.h"

namespace espalier::program {

class Host final : public Device {
 public:
  Host();

  std::string isa() const override;
  double peak() const override;
  bool joins_maxima() const override;
  int64_t together(int64_t batch, int64_t bytes) const override;
  Memory lend(int64_t length, bool clear) override;
  Memory allocate(int64_t length) override;
  const float* keep(const std::vector<float>& values) override { return values.data(); }
  void upload(const float* from, int64_t count, float* to) override { copy(from, count, to); }
  void copy(const float* from, int64_t count, float* to) override;
  void fill(float value, int64_t count, float* to) override;
  void wait() override {}
  void retire() noexcept override {}

 private:
  void take_back(float* memory, int64_t length) noexcept override;

  std::mutex lock_;
  std::vector<std::pair<int64_t, std::unique_ptr<float[]>>> spare_;  // working memory of runs that are over
};

}  // namespace espalier::program
