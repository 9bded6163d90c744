// Sparse formats: the kept weights alone, through the products of native/sparse.
#include <string>

#include "core/parallel.h"
#include "core/scratch.h"
#include "program/columns.h"
#include "program/cost.h"
#include "program/unrolled.h"

namespace espalier::program {
namespace {

// What is used of native/sparse: a matrix of the weights that are not 0, and samples as rows or as columns.
std::shared_ptr<sparse::Matrix> compressed(const Task& task) {
  return task.matrices->rows.get([&] {
    const float* const weight = task.weight->data.data();
    return std::make_shared<sparse::Matrix>(task.rows, task.columns, weight, nullptr,
                                            [=](int64_t i) { return weight[i] != 0; });
  });
}
std::shared_ptr<sparse::Matrix> unrolled(const Task& task) {
  return task.matrices->unrolled.get([&] {
    const Unrolled map(task);
    auto [pattern, values] = map.kept();
    return std::make_shared<sparse::Matrix>(std::move(pattern), std::move(values), nullptr);
  });
}
// Beyond this the dense formats are the faster ones, and no second copy of the weights is made to find out.
constexpr double kMostDensity = 0.9;
double cost(const sparse::Matrix& matrix, int64_t samples) { return without_call(matrix.cost(samples)); }
sparse::Samples rows_of(int64_t samples) { return {samples, ESPALIER_SPARSE_LAYOUT_ROWS}; }
sparse::Samples columns_of(int64_t samples) { return {samples, ESPALIER_SPARSE_LAYOUT_COLUMNS}; }

class Sparse : public Kernel {
 public:
  Sparse(std::shared_ptr<sparse::Matrix> matrix, std::vector<float> bias, bool relu)
      : matrix_(std::move(matrix)), bias_(std::move(bias)), relu_(relu) {}

  void make_ready(int64_t batch) const override { matrix_->prepare(samples(batch)); }
  std::string name(int64_t batch) const override { return matrix_->format(samples(batch)).name(); }
  int64_t bytes() const override { return matrix_->bytes(); }

 protected:
  void multiply(const sparse::Samples& samples, const float* x, float* y) const {
    matrix_->multiply(false, samples, x, bias_.empty() ? nullptr : bias_.data(), relu_, y);
  }
  // Of one product, for a batch.
  virtual int64_t samples(int64_t batch) const = 0;
  // The matrix guards what it prepares.
  const std::shared_ptr<sparse::Matrix> matrix_;

 private:
  const std::vector<float> bias_;
  const bool relu_;
};

// Vectors are rows of x and y.
class SparseRows final : public Sparse {
 public:
  SparseRows(std::shared_ptr<sparse::Matrix> matrix, int64_t vectors, std::vector<float> bias, bool relu)
      : Sparse(std::move(matrix), std::move(bias), relu), vectors_(vectors) {}
  void run(int64_t batch, const float* x, float* y) const override { multiply(rows_of(samples(batch)), x, y); }

 private:
  int64_t samples(int64_t batch) const override { return batch * vectors_; }

  const int64_t vectors_;
};

// An image's patches as columns, [in·kh·kw, places].
class SparseColumns final : public Sparse {
 public:
  SparseColumns(std::shared_ptr<sparse::Matrix> matrix, const espalier_conv2d& shape, std::vector<float> bias,
                bool relu)
      : Sparse(std::move(matrix), std::move(bias), relu), shape_(shape) {
    // Columns that no entry of the matrix reads need not be copied.
    used_.resize(static_cast<size_t>(matrix_->pattern().columns));
    for (const int32_t column : matrix_->pattern().column) used_[static_cast<size_t>(column)] = 1;
  }

  void run(int64_t batch, const float* x, float* y) const override {
    const espalier_conv2d& s = shape_;
    const int64_t plane = samples(batch), in = s.in_channels * s.in_height * s.in_width;
    parallel_for(batch * s.n, [&](int64_t image) {
      const float* from = x + image * in;
      if (!columns_are_image(s)) {
        float* const columns = scratch<float>(Scratch::kProgram, matrix_->pattern().columns * plane);
        spread_columns(s, s.in_channels, used_.data(), from, plane, columns);
        from = columns;
      }
      multiply(columns_of(plane), from, y + image * s.out_channels * plane);
    });
  }

 private:
  int64_t samples(int64_t) const override { return shape_.out_height * shape_.out_width; }

  const espalier_conv2d shape_;
  std::vector<uint8_t> used_;
};

std::vector<float> bias_of(const Task& task) { return task.bias == nullptr ? std::vector<float>{} : task.bias->data; }

}  // namespace

namespace sparse_linear {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  return task.conv || task.density() > kMostDensity ? -1 : cost(*compressed(task), task.vectors * batch);
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  return std::make_unique<SparseRows>(compressed(task), task.vectors, bias_of(task), task.relu);
}

}  // namespace
}  // namespace sparse_linear
const Format kSparseLinear{"sparse", sparse_linear::nanoseconds, sparse_linear::prepare};

namespace sparse_conv {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv || task.conv->groups != 1 || task.density() > kMostDensity) return -1;
  const espalier_conv2d& s = *task.conv;
  return static_cast<double>(batch * s.n) *
         (columns_time(s, 0.1) + cost(*compressed(task), s.out_height * s.out_width));
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  return std::make_unique<SparseColumns>(compressed(task), *task.conv, bias_of(task), task.relu);
}

}  // namespace
}  // namespace sparse_conv
const Format kSparseColumns{"sparse columns", sparse_conv::nanoseconds, sparse_conv::prepare};

// A pruned convolution of small planes as one sparse matrix from image to output: an entry a weight and place, and
// the lanes hold images. It copies nothing and meets no border.
namespace sparse_unrolled {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  return task.conv && Unrolled(task).is_small() ? cost(*unrolled(task), batch * task.conv->n) : -1;
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  return std::make_unique<SparseRows>(unrolled(task), task.conv->n, Unrolled(task).bias(), task.relu);
}

}  // namespace
}  // namespace sparse_unrolled
const Format kSparseUnrolled{"sparse unrolled", sparse_unrolled::nanoseconds, sparse_unrolled::prepare};
}  // namespace espalier::program
