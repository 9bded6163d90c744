// Where a program runs: what its steps call, the formats its layers may have, and memory. One a program.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "espalier/conv.h"
#include "espalier/elementwise.h"
#include "espalier/gemm.h"
#include "espalier/norm.h"
#include "espalier/pool.h"
#include "espalier/reduce.h"
#include "espalier/shape.h"
#include "espalier/softmax.h"

namespace espalier::program {

// The functions of the C interface that steps call. Every device has them with the same arguments, on arrays of its
// own memory.
struct Operations {
  decltype(&espalier_unary_forward) unary_forward;
  decltype(&espalier_binary_forward) binary_forward;
  decltype(&espalier_binary_scalar) binary_scalar;
  decltype(&espalier_binary_middle) binary_middle;
  decltype(&espalier_binary_broadcast) binary_broadcast;
  decltype(&espalier_matmul) matmul;
  decltype(&espalier_conv2d_data_grad) conv2d_data_grad;
  decltype(&espalier_max_pool2d_forward) max_pool2d_forward;
  decltype(&espalier_avg_pool2d_forward) avg_pool2d_forward;
  decltype(&espalier_adaptive_max_pool2d_forward) adaptive_max_pool2d_forward;
  decltype(&espalier_adaptive_avg_pool2d_forward) adaptive_avg_pool2d_forward;
  decltype(&espalier_softmax_forward) softmax_forward;
  decltype(&espalier_log_softmax_forward) log_softmax_forward;
  decltype(&espalier_layer_norm_forward) layer_norm_forward;
  decltype(&espalier_sum) sum;
  decltype(&espalier_extreme) extreme;
  decltype(&espalier_copy_strided) copy_strided;
};

struct Format;
class Device;

// Memory of a device, given back to it at last.
struct GiveBack {
  Device* to;
  int64_t length;
  inline void operator()(float* memory) const noexcept;
};
using Memory = std::unique_ptr<float[], GiveBack>;

class Device {
 public:
  virtual ~Device() = default;

  const Operations& call;
  const std::span<const Format* const> formats;
  // Elements that functions of single elements take at a time.
  const int64_t piece;

  // The instruction set; and its operations a nanosecond at most, 0 where they are not known.
  virtual std::string isa() const = 0;
  virtual double peak() const = 0;

  // Samples of a batch that go through the network together, each with so many bytes of working memory.
  virtual int64_t together(int64_t batch, int64_t bytes) const = 0;
  // body(first, last) for parts of [0, count) of `grain`, the last one smaller: by threads, where the device has them.
  template <class Body>
  void in_parts(int64_t count, int64_t grain, Body body) const {
    if (threads_) return parallel_ranges(count, grain, body);
    for (int64_t first = 0; first < count; first += grain) body(first, std::min(count, first + grain));
  }

  // Whether its memory is the processor's own, where steps may compute for themselves.
  bool is_processor() const { return threads_; }

  // Whether layers may take the maxima behind them along.
  virtual bool joins_maxima() const { return false; }

  // Memory of the program's own, kept for its next run. None of it tells what others left there; where `clear` is
  // not set the program does not read what it has not written.
  virtual Memory lend(int64_t length, bool clear) = 0;
  // The same for once, to be written whole.
  virtual Memory allocate(int64_t length) = 0;
  // A constant as steps read it, on any thread: good as long as the device and as `values`.
  virtual const float* keep(const std::vector<float>& values) = 0;

  virtual void upload(const float* from, int64_t count, float* to) = 0;
  virtual void copy(const float* from, int64_t count, float* to) = 0;
  virtual void fill(float value, int64_t count, float* to) = 0;
  // Until what was asked for is done.
  virtual void wait() = 0;
  // Called before the program goes, whose runs may be under way.
  virtual void retire() noexcept = 0;

 protected:
  Device(const Operations& operations, std::span<const Format* const> formats, int64_t piece, bool threads)
      : call(operations), formats(formats), piece(piece), threads_(threads) {}

 private:
  friend struct GiveBack;
  virtual void take_back(float* memory, int64_t length) noexcept = 0;

  const bool threads_;
};

inline void GiveBack::operator()(float* memory) const noexcept { to->take_back(memory, length); }

}  // namespace espalier::program
