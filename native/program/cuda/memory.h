// Memory of a GPU, and where a thread's calls go, for as long as a scope lasts.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "espalier_cuda.h"
#include "program/step.h"

namespace espalier::program::cuda {

constexpr int64_t bytes_of(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 8;
    case ESPALIER_INT8:
    case ESPALIER_UINT8: return 1;
    default: return 4;
  }
}

// An array on the thread's current device. One of no elements is an absent one.
class Array {
 public:
  Array(int64_t length, espalier_dtype dtype) : length_(length), dtype_(dtype) {
    if (length > 0) require_ok(espalier_cuda_allocate(length * bytes_of(dtype), &data_));
  }
  template <class T>
  explicit Array(const std::vector<T>& values) : Array(static_cast<int64_t>(values.size()), dtype_of<T>()) {
    if (length_ > 0) require_ok(espalier_cuda_upload(values.data(), data_, bytes()));
  }
  Array(Array&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), length_(other.length_), dtype_(other.dtype_) {}
  Array& operator=(Array&&) = delete;
  ~Array() {
    if (data_ != nullptr) espalier_cuda_free(data_);
  }

  espalier_in in() const { return {data_, length_, dtype_}; }
  espalier_out out() const { return {data_, length_, dtype_}; }
  int64_t length() const { return length_; }
  int64_t bytes() const { return length_ * bytes_of(dtype_); }

 private:
  void* data_ = nullptr;
  int64_t length_;
  espalier_dtype dtype_;
};

// The calling thread's device, and back.
class OnDevice {
 public:
  explicit OnDevice(int64_t device) {
    require_ok(espalier_cuda_device(&before_));
    if (before_ != device) require_ok(espalier_cuda_set_device(device));
  }
  ~OnDevice() { espalier_cuda_set_device(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int64_t before_ = 0;
};

// Stream 0 as the current one, and back. What a program keeps is made there, whichever stream it runs on.
class OnFirstStream {
 public:
  OnFirstStream() {
    require_ok(espalier_cuda_stream(&before_));
    if (before_ != 0) require_ok(espalier_cuda_set_stream(0));
  }
  ~OnFirstStream() {
    if (before_ != 0) espalier_cuda_set_stream(before_);
  }
  OnFirstStream(const OnFirstStream&) = delete;
  OnFirstStream& operator=(const OnFirstStream&) = delete;

 private:
  int64_t before_ = 0;
};

}  // namespace espalier::program::cuda
