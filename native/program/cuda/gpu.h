// A GPU as a program's device: a client of the C interface on device memory. Work is queued on the calling
// thread's current stream; working memory comes from the library's cache, in the order of that stream.
#pragma once

#include <mutex>
#include <set>

#include "program/cuda/memory.h"
#include "program/device.h"

namespace espalier::program::cuda {

class Gpu final : public Device {
 public:
  // The calling thread's current device.
  Gpu();

  int64_t number() const { return number_; }

  std::string isa() const override;
  double peak() const override { return 0; }
  int64_t together(int64_t batch, int64_t bytes) const override;
  Memory lend(int64_t length, bool clear) override;
  Memory allocate(int64_t length) override { return lend(length, false); }
  const float* keep(const std::vector<float>& values) override;
  void upload(const float* from, int64_t count, float* to) override;
  void copy(const float* from, int64_t count, float* to) override;
  void fill(float value, int64_t count, float* to) override;
  void wait() override;
  void retire() noexcept override;

 private:
  void take_back(float* memory, int64_t length) noexcept override;

  int64_t number_ = 0;
  std::vector<Array> kept_;
  std::mutex lock_;
  std::set<int64_t> streams_;  // that it ran on
};

}  // namespace espalier::program::cuda
