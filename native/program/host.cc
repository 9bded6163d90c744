#include "program/host.h"

#include <algorithm>
#include <new>

#include "program/format.h"
#include "program/limit.h"
#include "simd/isa.h"

namespace espalier::program {
namespace {

// Bytes of working memory that samples run together may take: what the second-level cache holds. A multiple of the
// samples that stand side by side in registers. (Half as many, for cores with half such a cache, gain pooling nothing,
// and linear layers lose by fewer samples.)
constexpr int64_t kChunkBytes = 1 << 20;
constexpr int64_t kChunkStep = 16;
// Elements that stay in the first-level cache from one function to the next.
constexpr int64_t kPiece = 1 << 13;
constexpr size_t kMostSpare = 8;
// The length that memory is given back by which is not kept.
constexpr int64_t kForOnce = -1;

constexpr Operations kOperations{
    .unary_forward = espalier_unary_forward,
    .binary_forward = espalier_binary_forward,
    .binary_scalar = espalier_binary_scalar,
    .binary_middle = espalier_binary_middle,
    .binary_broadcast = espalier_binary_broadcast,
    .matmul = espalier_matmul,
    .conv2d_data_grad = espalier_conv2d_data_grad,
    .max_pool2d_forward = espalier_max_pool2d_forward,
    .avg_pool2d_forward = espalier_avg_pool2d_forward,
    .adaptive_max_pool2d_forward = espalier_adaptive_max_pool2d_forward,
    .adaptive_avg_pool2d_forward = espalier_adaptive_avg_pool2d_forward,
    .softmax_forward = espalier_softmax_forward,
    .log_softmax_forward = espalier_log_softmax_forward,
    .layer_norm_forward = espalier_layer_norm_forward,
    .sum = espalier_sum,
    .extreme = espalier_extreme,
    .copy_strided = espalier_copy_strided,
};

}  // namespace

Host::Host() : Device(kOperations, program::formats(), kPiece, true) {
  spare_.reserve(kMostSpare);  // giving back may not fail
}

std::string Host::isa() const { return isa_name(espalier::isa()); }
// (With AVX-512 it was not measured.)
bool Host::joins_maxima() const { return is_avx2(); }
double Host::peak() const { return measured_peak(); }

int64_t Host::together(int64_t batch, int64_t bytes) const {
  const int64_t most = std::max(kChunkStep, kChunkBytes / std::max<int64_t>(1, bytes) / kChunkStep * kChunkStep);
  // Nearly equal ones, so that the last is not a small one.
  const int64_t chunks = std::max<int64_t>(1, (batch + most - 1) / most);
  return std::max<int64_t>(1,
                           std::min(most, ((batch + chunks - 1) / chunks + kChunkStep - 1) / kChunkStep * kChunkStep));
}

void Host::copy(const float* from, int64_t count, float* to) { std::copy_n(from, count, to); }
void Host::fill(float value, int64_t count, float* to) { std::fill_n(to, count, value); }

Memory Host::lend(int64_t length, bool) {
  {
    const std::lock_guard<std::mutex> hold(lock_);
    for (size_t i = 0; i < spare_.size(); ++i)
      if (spare_[i].first >= length) {
        std::swap(spare_[i], spare_.back());
        Memory found(spare_.back().second.release(), {this, spare_.back().first});
        spare_.pop_back();
        return found;
      }
  }
  if (length > int64_t{1} << 40) throw std::bad_alloc();
  // Zeros, so that a program that reads what it has not written reads nothing of others'.
  return {new float[static_cast<size_t>(length)](), {this, length}};
}

Memory Host::allocate(int64_t length) { return {new float[static_cast<size_t>(length)], {this, kForOnce}}; }

void Host::take_back(float* memory, int64_t length) noexcept {
  std::unique_ptr<float[]> owned(memory);
  if (length == kForOnce) return;
  const std::lock_guard<std::mutex> hold(lock_);
  if (spare_.size() < kMostSpare) {
    spare_.emplace_back(length, std::move(owned));
    return;
  }
  // The smallest goes.
  const auto smallest =
      std::min_element(spare_.begin(), spare_.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  if (smallest->first < length) *smallest = {length, std::move(owned)};
}

}  // namespace espalier::program
