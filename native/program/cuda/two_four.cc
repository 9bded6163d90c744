// Linear layers on whole numbers of which no four neighbouring weights have more than two left, on the sparse tensor
// cores: bytes times bytes, summed in 32 bits, exact. (Layers on real numbers would have to round x and y to 16 bits
// for them, which float32 programs do not do.)
#include "program/cuda/cost.h"
#include "program/cuda/formats.h"

namespace espalier::program::cuda {
namespace {

class TwoFour final : public Kernel {
 public:
  explicit TwoFour(const Task& task)
      : shape_{task.rows, task.columns, task.vectors, 1},
        values_(task.rows * task.columns / 2, ESPALIER_INT8),
        places_(places_size(), ESPALIER_INT32),
        bias_(whole<int32_t>(bias_of(task))),
        range_(task.codes->range),
        relu_(task.relu) {
    const Array weight(whole<int8_t>(task.weight->data));
    require_ok(espalier_cuda_two_four_compress(weight.in(), values_.out(), places_.out(), shape_));
  }

  void run(int64_t batch, const float* x, float* y) const override {
    espalier_cuda_two_four shape = shape_;
    shape.n *= batch;
    const int64_t length = shape.n * shape.m;
    const Array codes(shape.n * shape.k, ESPALIER_INT8), sums(length, ESPALIER_INT32);
    {
      // Values outside of the range count as its ends, as in the processor's integer formats.
      const Array kept(codes.length(), ESPALIER_FLOAT32);
      require_ok(espalier_cuda_unary_forward(ESPALIER_UNARY_CLAMP, range_.low, range_.high,
                                             {x, codes.length(), ESPALIER_FLOAT32}, kept.out()));
      require_ok(espalier_cuda_cast(kept.in(), codes.out()));
    }
    require_ok(espalier_cuda_two_four_forward(values_.in(), places_.in(), codes.in(), bias_.in(), sums.out(), shape));
    require_ok(espalier_cuda_cast(sums.in(), {y, length, ESPALIER_FLOAT32}));
    if (relu_) relu(y, length);
  }
  std::string name(int64_t) const override { return "2:4 sparse tensor cores, int8"; }
  int64_t bytes() const override { return values_.bytes() + places_.bytes() + bias_.bytes(); }

 private:
  // Whole numbers, which a layer on codes was found to have.
  template <class T>
  static std::vector<T> whole(const std::vector<float>& values) {
    std::vector<T> made;
    for (const float value : values) made.push_back(static_cast<T>(value));
    return made;
  }
  int64_t places_size() const {
    int64_t length = 0;
    require_ok(espalier_cuda_two_four_places_size(shape_, &length));
    return length;
  }

  const espalier_cuda_two_four shape_;  // n: vectors a sample
  const Array values_, places_, bias_;
  const CodeRange range_;
  const bool relu_;
};

double nanoseconds(const Task& task, int64_t batch) {
  if (task.conv || task.weight->size() == 0 || task.columns % 32 != 0 || !task.codes || task.codes->range.high > 127 ||
      !tiles_of(task).two_of_four)
    return -1;
  return two_four_time(sizes_of(task, batch)) + relu_time(task, batch);
}

}  // namespace

const Format kTwoFour{"2:4", nanoseconds, made_ready<TwoFour>, true};

}  // namespace espalier::program::cuda
