#include "program/cuda/gpu.h"

#include <algorithm>

#include "program/cuda/formats.h"

namespace espalier::program::cuda {
namespace {

// Working memory that samples run together may take. Any GPU is busy with as much, and the smallest have it.
constexpr int64_t kChunkBytes = int64_t{1} << 30;
// Everything: a launch a function.
constexpr int64_t kPiece = int64_t{1} << 40;

constexpr Operations kOperations{
    .unary_forward = espalier_cuda_unary_forward,
    .binary_forward = espalier_cuda_binary_forward,
    .binary_scalar = espalier_cuda_binary_scalar,
    .binary_middle = espalier_cuda_binary_middle,
    .binary_broadcast = espalier_cuda_binary_broadcast,
    .matmul = espalier_cuda_matmul,
    .conv2d_data_grad = espalier_cuda_conv2d_data_grad,
    .max_pool2d_forward = espalier_cuda_max_pool2d_forward,
    .avg_pool2d_forward = espalier_cuda_avg_pool2d_forward,
    .adaptive_max_pool2d_forward = espalier_cuda_adaptive_max_pool2d_forward,
    .adaptive_avg_pool2d_forward = espalier_cuda_adaptive_avg_pool2d_forward,
    .softmax_forward = espalier_cuda_softmax_forward,
    .log_softmax_forward = espalier_cuda_log_softmax_forward,
    .layer_norm_forward = espalier_cuda_layer_norm_forward,
    .sum = espalier_cuda_sum,
    .extreme = espalier_cuda_extreme,
    .copy_strided = espalier_cuda_copy_strided,
};

int64_t size_of(int64_t count) { return count * static_cast<int64_t>(sizeof(float)); }

}  // namespace

Gpu::Gpu() : Device(kOperations, cuda::formats(), kPiece, false) { require_ok(espalier_cuda_device(&number_)); }

std::string Gpu::isa() const {
  espalier_cuda_properties properties{};
  require_ok(espalier_cuda_describe(number_, &properties));
  return "sm_" + std::to_string(properties.capability);
}

int64_t Gpu::together(int64_t batch, int64_t bytes) const {
  const int64_t most = std::max<int64_t>(1, kChunkBytes / std::max<int64_t>(1, bytes));
  // Nearly equal ones, so that the last is not a small one.
  const int64_t chunks = std::max<int64_t>(1, (batch + most - 1) / most);
  return std::max<int64_t>(1, (batch + chunks - 1) / chunks);
}

Memory Gpu::lend(int64_t length, bool clear) {
  int64_t stream = 0;
  require_ok(espalier_cuda_stream(&stream));
  if (stream != 0) {
    const std::lock_guard<std::mutex> hold(lock_);
    streams_.insert(stream);
  }
  void* address = nullptr;
  require_ok(espalier_cuda_allocate(size_of(length), &address));
  Memory made(static_cast<float*>(address), {this, length});
  // The cache holds what all of the process left there.
  if (clear) require_ok(espalier_cuda_fill_bytes(address, 0, size_of(length)));
  return made;
}

void Gpu::take_back(float* memory, int64_t) noexcept { espalier_cuda_free(memory); }

const float* Gpu::keep(const std::vector<float>& values) {
  const OnFirstStream here;
  kept_.emplace_back(values);
  wait();
  return static_cast<const float*>(kept_.back().in().data);
}

void Gpu::upload(const float* from, int64_t count, float* to) {
  require_ok(espalier_cuda_upload(from, to, size_of(count)));
}
void Gpu::copy(const float* from, int64_t count, float* to) {
  require_ok(espalier_cuda_copy(from, to, size_of(count)));
}
void Gpu::fill(float value, int64_t count, float* to) {
  require_ok(espalier_cuda_fill_bytes(to, 0, size_of(count)));
  const espalier_out all{to, count, ESPALIER_FLOAT32};
  if (value != 0)
    require_ok(espalier_cuda_binary_scalar(ESPALIER_BINARY_ADD, {to, count, ESPALIER_FLOAT32}, value, all));
}
void Gpu::wait() { require_ok(espalier_cuda_synchronize()); }

// What the program kept goes back to stream 0, whose later work may have it again: it waits for the runs of others.
// Nothing can be done about a failure here; a stream that is no more was waited for when it went.
void Gpu::retire() noexcept {
  int64_t device = 0, stream = 0;
  if (streams_.empty() || espalier_cuda_device(&device) != ESPALIER_OK) return;
  espalier_cuda_set_device(number_);
  espalier_cuda_stream(&stream);
  espalier_cuda_set_stream(0);
  for (const int64_t other : streams_) espalier_cuda_wait_stream(other);
  espalier_cuda_set_stream(stream);
  espalier_cuda_set_device(device);
}

}  // namespace espalier::program::cuda
