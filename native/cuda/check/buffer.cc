#include "cuda/check/buffer.h"

#include <algorithm>

namespace espalier::check {

namespace {
int64_t bytes_of(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 8;
    case ESPALIER_FLOAT16:
    case ESPALIER_BFLOAT16: return 2;
    case ESPALIER_UINT8: return 1;
    default: return 4;
  }
}
}  // namespace

Buffer::Buffer(int64_t length, espalier_dtype dtype) : length_(length), dtype_(dtype) {
  ok(espalier_cuda_allocate(length * bytes_of(dtype), &data_), "allocate");
}
espalier_out Buffer::part(int64_t begin, int64_t length) const {
  return {static_cast<char*>(data_) + begin * bytes_of(dtype_), length, dtype_};
}
void Buffer::upload(const std::vector<double>& values) const {
  const Buffer staged(length_, ESPALIER_FLOAT64);
  ok(espalier_cuda_upload(values.data(), staged.data_, 8 * length_), "upload");
  ok(espalier_cuda_cast(staged.in(), out()), "cast");
}
std::vector<double> Buffer::fetch() const {
  const Buffer staged(length_, ESPALIER_FLOAT64);
  std::vector<double> values(static_cast<size_t>(length_));
  ok(espalier_cuda_cast(in(), staged.out()), "cast");
  ok(espalier_cuda_download(staged.data_, values.data(), 8 * length_), "download");
  return values;
}
void Buffer::randomise() const {
  Array some = random(std::min<int64_t>(length_, 1 << 20), -1, 1, dtype_);
  for (int64_t begin = 0; begin < length_; begin += some.size()) {
    const int64_t count = std::min(some.size(), length_ - begin);
    ok(espalier_cuda_copy(some.device<void>(), part(begin, count).data, count * bytes_of(dtype_)), "copy");
  }
}

}  // namespace espalier::check
