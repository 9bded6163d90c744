// Dense products and convolutions: in float32, and in float64 for sums of whole numbers that float32 does not hold.
#include "program/cuda/cost.h"
#include "program/cuda/formats.h"

namespace espalier::program::cuda {
namespace {

// Values as T holds them.
template <class T>
std::vector<T> converted(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

// What both have: the weight, the bias, and a way through T where that is not float.
template <class T>
class Dense : public Kernel {
 public:
  explicit Dense(const Task& task)
      : weight_(converted<T>(task.weight->data)), bias_(converted<T>(bias_of(task))), relu_(task.relu) {}

  int64_t bytes() const override { return weight_.bytes() + bias_.bytes(); }

 protected:
  // product(x, y) with both in T.
  template <class Product>
  void through(const float* x, int64_t x_length, float* y, int64_t y_length, Product product) const {
    const espalier_in given{x, x_length, ESPALIER_FLOAT32};
    const espalier_out wanted{y, y_length, ESPALIER_FLOAT32};
    if constexpr (std::is_same_v<T, float>) {
      product(given, wanted);
    } else {
      const Array from(x_length, dtype_of<T>()), to(y_length, dtype_of<T>());
      require_ok(espalier_cuda_cast(given, from.out()));
      product(from.in(), to.out());
      require_ok(espalier_cuda_cast(to.in(), wanted));
    }
  }

  const Array weight_, bias_;
  const bool relu_;
};

template <class T>
class Gemm final : public Dense<T> {
 public:
  explicit Gemm(const Task& task) : Dense<T>(task), rows_(task.rows), columns_(task.columns), vectors_(task.vectors) {}

  void run(int64_t batch, const float* x, float* y) const override {
    const int64_t n = batch * vectors_;
    const espalier_finish finish = this->relu_ ? ESPALIER_FINISH_RELU : ESPALIER_FINISH_NONE;
    const int64_t across = std::max<int64_t>(1, columns_), down = std::max<int64_t>(1, rows_);
    this->through(x, n * columns_, y, n * rows_, [&](espalier_in from, espalier_out to) {
      require_ok(espalier_cuda_gemm(1, from, this->weight_.in(), 0, {nullptr, 0, dtype_of<T>()}, this->bias_.in(),
                                    finish, to, {n, rows_, columns_, 0, 1, across, across, down}));
    });
  }
  std::string name(int64_t) const override { return std::is_same_v<T, float> ? "GEMM" : "GEMM in float64"; }

 private:
  const int64_t rows_, columns_, vectors_;
};

template <class T>
class Conv final : public Dense<T> {
 public:
  explicit Conv(const Task& task) : Dense<T>(task), shape_(*task.conv) {}

  void run(int64_t batch, const float* x, float* y) const override {
    espalier_conv2d s = shape_;
    s.n *= batch;
    this->through(
        x, s.n * s.in_channels * s.in_height * s.in_width, y, s.n * s.out_channels * s.out_height * s.out_width,
        [&](espalier_in from, espalier_out to) {
          require_ok(espalier_cuda_conv2d_forward(from, this->weight_.in(), this->bias_.in(), this->relu_, to, s));
        });
  }
  std::string name(int64_t) const override {
    return std::is_same_v<T, float> ? "implicit GEMM" : "implicit GEMM in float64";
  }

 private:
  const espalier_conv2d shape_;
};

double nanoseconds(const Task& task, int64_t batch) {
  return dense_time(sizes_of(task, batch), task.bias == nullptr && !task.relu);
}
double nanoseconds_conv(const Task& task, int64_t batch) {
  return product_time(task.dense_flops() * static_cast<double>(batch), kFlopsOwn,
                      4 * static_cast<double>(task.weight->size()), 1);
}
double nanoseconds_double(const Task& task, int64_t batch) {
  const Sizes sizes = sizes_of(task, batch);
  return product_time(task.dense_flops() * static_cast<double>(batch), kFlopsDouble,
                      8 * static_cast<double>(task.weight->size()), 3) +
         passing_time(sizes.in() + sizes.out(), 12);
}

template <double (*kTime)(const Task&, int64_t), bool kIsConv>
double only(const Task& task, int64_t batch) {
  return task.conv.has_value() == kIsConv ? kTime(task, batch) : -1;
}

}  // namespace

const Format kGemm{"gemm", only<nanoseconds, false>, made_ready<Gemm<float>>};
const Format kGemmDouble{"gemm float64", only<nanoseconds_double, false>, made_ready<Gemm<double>>, true};
const Format kConv{"implicit gemm", only<nanoseconds_conv, true>, made_ready<Conv<float>>};
const Format kConvDouble{"implicit gemm float64", only<nanoseconds_double, true>, made_ready<Conv<double>>, true};

}  // namespace espalier::program::cuda
