// Arrays for benches: a small one over and over, so that what becomes of the large one can be held against what
// becomes of the small one, up to the last element.
#pragma once

#include "cuda/check/check.h"

namespace espalier::check {

class Large {
 public:
  Large(const Array& piece, int64_t times) : piece_(piece.size()), times_(times), dtype_(piece.dtype()) {
    ok(espalier_cuda_allocate(bytes() * times, &data_), "allocate");
    for (int64_t i = 0; i < times; ++i) ok(espalier_cuda_copy(piece.device<char>(), at(i), bytes()), "copy");
  }
  Large(const Large&) = delete;
  ~Large() { espalier_cuda_free(data_); }

  int64_t size() const { return piece_ * times_; }
  espalier_in in() const { return {data_, size(), dtype_}; }
  espalier_out out() const { return {data_, size(), dtype_}; }
  // The last piece.
  std::vector<double> tail() const {
    Array copy = result(piece_, dtype_);
    ok(espalier_cuda_copy(at(times_ - 1), copy.device<char>(), bytes()), "copy");
    return copy.fetch();
  }

 private:
  int64_t bytes() const {
    return piece_ * (dtype_ == ESPALIER_FLOAT64                               ? 8
                     : dtype_ == ESPALIER_FLOAT32 || dtype_ == ESPALIER_INT32 ? 4
                     : dtype_ == ESPALIER_INT8 || dtype_ == ESPALIER_UINT8    ? 1
                                                                              : 2);
  }
  char* at(int64_t i) const { return static_cast<char*>(data_) + i * bytes(); }

  int64_t piece_, times_;
  espalier_dtype dtype_;
  void* data_ = nullptr;
};

}  // namespace espalier::check
