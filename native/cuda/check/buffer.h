// Arrays that are on the device alone, for benches: `Array` keeps a copy in float64 beside.
#pragma once

#include "cuda/check/check.h"

namespace espalier::check {

// Device memory from the library's cache.
class Buffer {
 public:
  Buffer() = default;
  Buffer(int64_t length, espalier_dtype dtype);
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_), std::swap(length_, other.length_), std::swap(dtype_, other.dtype_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) espalier_cuda_free(data_);
  }
  espalier_in in() const { return {data_, length_, dtype_}; }
  espalier_out out() const { return {data_, length_, dtype_}; }
  // `length` elements from element `begin` on.
  espalier_out part(int64_t begin, int64_t length) const;
  void upload(const std::vector<double>& values) const;
  std::vector<double> fetch() const;
  // Values between −1 and 1, a random million of them over and over: quick where there are many.
  void randomise() const;

 private:
  void* data_ = nullptr;
  int64_t length_ = 0;
  espalier_dtype dtype_ = ESPALIER_FLOAT32;
};

}  // namespace espalier::check
