// Integer formats: weights of a byte times codes of a byte, summed exactly, through the products of native/sparse. How
// wide the sums are is proved there, from the weights and the range of the codes. Codes come and sums go as float32.
#include <string>
#include <type_traits>

#include "core/parallel.h"
#include "core/scratch.h"
#include "program/columns.h"
#include "program/cost.h"
#include "program/unrolled.h"

#define ESPALIER_KERNEL "program/integer.inl"
#include "simd/each_isa.h"

namespace espalier::program {
namespace {

std::vector<int32_t> whole(const std::vector<float>& bias) { return {bias.begin(), bias.end()}; }
std::vector<int32_t> start_of(const Task& task) {
  return task.bias == nullptr ? std::vector<int32_t>{} : whole(task.bias->data);
}

sparse::IntegerOptions options_of(const Task& task) { return {.range = task.codes->range}; }

std::unique_ptr<sparse::IntegerMatrix> matrix(int64_t rows, int64_t columns, const int8_t* weight, const Task& task) {
  return std::make_unique<sparse::IntegerMatrix>(rows, columns, weight, nullptr, options_of(task));
}

// (Of bytes, with codes: that was looked at when the program was read.)
std::vector<int8_t> bytes_of(const std::vector<float>& weight) {
  std::vector<int8_t> bytes(weight.size());
  std::transform(weight.begin(), weight.end(), bytes.begin(), [](float value) { return static_cast<int8_t>(value); });
  return bytes;
}

// A matrix a group; of a linear layer one.
std::shared_ptr<IntegerMatrices> by_group(const Task& task) {
  return task.matrices->integers.get([&] {
    const int64_t groups = task.conv ? task.conv->groups : 1, rows = task.rows / groups;
    auto made = std::make_shared<IntegerMatrices>();
    const std::vector<int8_t> weight = bytes_of(task.weight->data);
    for (int64_t g = 0; g < groups; ++g)
      made->push_back(matrix(rows, task.columns, weight.data() + g * rows * task.columns, task));
    return made;
  });
}
std::shared_ptr<IntegerMatrices> unrolled(const Task& task) {
  return task.matrices->unrolled_integers.get([&] {
    const Unrolled map(task);
    auto made = std::make_shared<IntegerMatrices>();
    made->push_back(matrix(map.rows(), map.columns(), map.matrix<int8_t>().data(), task));
    return made;
  });
}
// Of such a matrix each, before any is made: making one takes as long as many products.
double cost(const std::vector<int8_t>& weight, int64_t groups, int64_t rows, int64_t columns, const Task& task,
            int64_t samples) {
  double sum = 0;
  for (int64_t g = 0; g < groups; ++g)
    sum += without_call(
        sparse::IntegerMatrix::cost_of(rows, columns, weight.data() + g * rows * columns, options_of(task), samples)
            .nanoseconds);
  return sum * integer_slowness();
}

// Samples that kernels take at once.
constexpr int64_t kBlock = 64;
int64_t filled(int64_t samples) { return (samples + kBlock - 1) / kBlock * kBlock; }

// Of samples that stand as rows of float32: in blocks components are packed as bytes, and sums unpacked.
double cost_of_rows(const std::vector<int8_t>& weight, int64_t rows, int64_t columns, const Task& task,
                    int64_t samples) {
  const sparse::IntegerCost product =
      sparse::IntegerMatrix::cost_of(rows, columns, weight.data(), options_of(task), samples);
  const double taken = without_call(product.nanoseconds) * integer_slowness();
  if (product.vector) return taken;
  const double each =
      code_slowness() * (3 * static_cast<double>(filled(samples) / kBlock) + 0.11 * static_cast<double>(samples));
  return taken + each * static_cast<double>(rows + columns);
}

class Integers : public Kernel {
 public:
  Integers(std::shared_ptr<IntegerMatrices> matrices, std::vector<int32_t> start, bool relu)
      : matrices_(std::move(matrices)), start_(std::move(start)), relu_(relu) {}
  int64_t bytes() const override {
    int64_t sum = 0;
    for (const auto& matrix : *matrices_) sum += matrix->bytes();
    return sum;
  }

 protected:
  // Of so many samples.
  std::string name_of(int64_t samples) const {
    int bits = 0;
    for (const auto& matrix : *matrices_) bits = std::max(bits, matrix->sum_bits(samples));
    return "integer " + matrices_->front()->name(samples) + ", " + std::to_string(bits) + "-bit sums";
  }
  void make_for(int64_t samples) const {
    for (const auto& matrix : *matrices_) matrix->prepare(samples);
  }
  // Group g's sums, float32 where the codes are, else int32.
  template <class Code, class Sum>
  void multiply(int64_t g, const sparse::Samples& samples, const Code* x, Sum* y) const {
    const sparse::IntegerMatrix& matrix = *(*matrices_)[static_cast<size_t>(g)];
    matrix.multiply(samples, x, start_.empty() ? nullptr : start_.data() + g * matrix.rows(), relu_, y);
  }
  const std::shared_ptr<const IntegerMatrices> matrices_;

 private:
  const std::vector<int32_t> start_;
  const bool relu_;
};

// Vectors are rows of x and y.
class IntegerRows final : public Integers {
 public:
  IntegerRows(std::shared_ptr<IntegerMatrices> matrices, int64_t vectors, std::vector<int32_t> start, bool relu)
      : Integers(std::move(matrices), std::move(start), relu), vectors_(vectors) {}
  std::string name(int64_t batch) const override { return name_of(batch * vectors_); }
  void make_ready(int64_t batch) const override { make_for(batch * vectors_); }
  void run(int64_t batch, const float* x, float* y) const override {
    multiply(0, {batch * vectors_, ESPALIER_SPARSE_LAYOUT_ROWS}, x, y);
  }

 private:
  const int64_t vectors_;
};

// An image's patches as columns of bytes, [in·kh·kw, places]: gathered as such they are a fourth of what floats are.
class IntegerColumns final : public Integers {
 public:
  IntegerColumns(std::shared_ptr<IntegerMatrices> matrices, const Task& task)
      : Integers(std::move(matrices), start_of(task), task.relu),
        shape_(*task.conv),
        range_(task.codes->range),
        columns_(task.columns),
        used_(static_cast<size_t>(shape_.groups * columns_)) {
    // Columns that no entry reads need not be copied.
    const int64_t made = task.rows / shape_.groups;
    for (int64_t i = 0; i < task.weight->size(); ++i)
      if (task.weight->data[static_cast<size_t>(i)] != 0)
        used_[static_cast<size_t>(i / columns_ / made * columns_ + i % columns_)] = 1;
  }

  std::string name(int64_t) const override { return name_of(filled(shape_.out_height * shape_.out_width)); }
  void make_ready(int64_t) const override { make_for(filled(shape_.out_height * shape_.out_width)); }
  void run(int64_t batch, const float* x, float* y) const override {
    if (range_.low < 0) images<int8_t>(batch, x, y);
    else images<uint8_t>(batch, x, y);
  }

 private:
  template <class Byte>
  void images(int64_t batch, const float* x, float* y) const {
    const espalier_conv2d& s = shape_;
    const int64_t plane = s.out_height * s.out_width, pitch = filled(plane);
    const int64_t image_size = s.in_channels * s.in_height * s.in_width;
    const int64_t seen = s.in_channels / s.groups, made = s.out_channels / s.groups;
    // A column is filled up with places that nobody looks at.
    parallel_for(batch * s.n, [&](int64_t image) {
      Byte* const codes = scratch<Byte>(Scratch::kProgram, image_size + columns_ * pitch + 2 * kColumnsSlack);
      Byte* const columns = codes + image_size + kColumnsSlack;
      int32_t* const sums = scratch<int32_t>(Scratch::kOther, made * pitch);
      ESPALIER_ON_ISA(bytes_of_codes(x + image * image_size, image_size, static_cast<float>(range_.low),
                                     static_cast<float>(range_.high), codes));
      float* to = y + image * s.out_channels * plane;
      for (int64_t g = 0; g < s.groups; ++g) {
        spread_columns(s, seen, used_.data() + g * columns_, codes + g * seen * s.in_height * s.in_width, pitch,
                       columns);
        multiply(g, {pitch, ESPALIER_SPARSE_LAYOUT_COLUMNS}, columns, sums);
        for (int64_t r = 0; r < made; ++r, to += plane) std::copy_n(sums + r * pitch, plane, to);
      }
    });
  }

  const espalier_conv2d shape_;
  const CodeRange range_;
  const int64_t columns_;
  std::vector<uint8_t> used_;
};

}  // namespace

namespace integer_linear {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  return task.conv ? -1
                   : cost_of_rows(bytes_of(task.weight->data), task.rows, task.columns, task, task.vectors * batch);
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  return std::make_unique<IntegerRows>(by_group(task), task.vectors, start_of(task), task.relu);
}

}  // namespace
}  // namespace integer_linear
const Format kIntegerLinear{"integer", integer_linear::nanoseconds, integer_linear::prepare, true};

namespace integer_conv {
namespace {

// A matrix each, which takes more than its weights where these are few.
constexpr int64_t kMostGroups = 4096;

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv || task.conv->groups > kMostGroups) return -1;
  const espalier_conv2d& s = *task.conv;
  const double converted = 0.05 * static_cast<double>(s.in_channels * s.in_height * s.in_width);
  const double moved = (is_avx2() ? 2.5 : 1) * (converted + columns_time(s, 0.04));
  return static_cast<double>(batch * s.n) * (moved + cost(bytes_of(task.weight->data), s.groups, task.rows / s.groups,
                                                          task.columns, task, filled(s.out_height * s.out_width)));
}

std::unique_ptr<Kernel> prepare(const Task& task) { return std::make_unique<IntegerColumns>(by_group(task), task); }

}  // namespace
}  // namespace integer_conv
const Format kIntegerColumns{"integer columns", integer_conv::nanoseconds, integer_conv::prepare, true};

// As `sparse unrolled`: one matrix from image to output, and the lanes hold images.
namespace integer_unrolled {
namespace {

double nanoseconds(const Task& task, int64_t batch) {
  if (!task.conv) return -1;
  const Unrolled map(task);
  if (!map.is_small()) return -1;
  return cost_of_rows(map.matrix<int8_t>(), map.rows(), map.columns(), task, batch * task.conv->n);
}

std::unique_ptr<Kernel> prepare(const Task& task) {
  return std::make_unique<IntegerRows>(unrolled(task), task.conv->n, whole(Unrolled(task).bias()), task.relu);
}

}  // namespace
}  // namespace integer_unrolled
const Format kIntegerUnrolled{"integer unrolled", integer_unrolled::nanoseconds, integer_unrolled::prepare, true};
}  // namespace espalier::program
