// Layers of which single weights are kept, wherever they stand: linear ones, and convolutions of small planes as the
// matrix from an image to its output.
#include "program/cuda/cost.h"
#include "program/cuda/formats.h"
#include "program/unrolled.h"

namespace espalier::program::cuda {
namespace {

// Kept elements of a matrix: how many, how many a row where that is the same for all (else 0), where, and which.
struct Kept {
  int64_t rows, columns, fan_in = 0;
  std::vector<uint8_t> mask;
  std::vector<float> values;  // row by row
};

void note_fan_in(Kept& kept) {
  const int64_t each = kept.rows == 0 ? 0 : static_cast<int64_t>(kept.values.size()) / kept.rows;
  const uint8_t* row = kept.mask.data();
  for (int64_t i = 0; i < kept.rows; ++i, row += kept.columns)
    if (std::count_if(row, row + kept.columns, [](uint8_t one) { return one != 0; }) != each) return;
  kept.fan_in = each;
}

Kept of_weight(const Task& task) {
  Kept made{task.rows, task.columns, 0, {}, {}};
  for (const float value : task.weight->data) {
    made.mask.push_back(value != 0);
    if (value != 0) made.values.push_back(value);
  }
  note_fan_in(made);
  return made;
}

Kept of_unrolled(const Task& task) {
  const Unrolled map(task);
  Kept made{map.rows(), map.columns(), 0, {}, {}};
  made.mask.resize(static_cast<size_t>(made.rows * made.columns));
  auto [pattern, values] = map.kept();
  for (int64_t row = 0; row < made.rows; ++row)
    for (int64_t i = pattern.row_start[static_cast<size_t>(row)]; i < pattern.row_start[static_cast<size_t>(row) + 1];
         ++i)
      made.mask[static_cast<size_t>(row * made.columns + pattern.column[static_cast<size_t>(i)])] = 1;
  made.values = std::move(values);
  note_fan_in(made);
  return made;
}

class ElementProduct : public Kernel {
 public:
  void run(int64_t batch, const float* x, float* y) const override {
    espalier_cuda_sparse shape = shape_;
    shape.n *= batch;
    const int64_t length = shape.n * shape.m;
    require_ok(espalier_cuda_sparse_forward(values_.in(), pattern_.in(), {x, shape.n * shape.k, ESPALIER_FLOAT32},
                                            bias_.in(), {y, length, ESPALIER_FLOAT32}, shape));
    if (relu_) relu(y, length);
  }
  std::string name(int64_t) const override {
    return shape_.fan_in > 0 ? "sparse product, fixed fan-in" : "sparse product";
  }
  int64_t bytes() const override { return values_.bytes() + pattern_.bytes() + bias_.bytes(); }

 protected:
  ElementProduct(const Kept& kept, const std::vector<float>& bias, int64_t vectors, bool relu)
      : shape_{kept.rows, kept.columns, vectors, 1, kept.fan_in},
        values_(kept.values),
        bias_(bias),
        pattern_(pattern_size(), ESPALIER_INT32),
        relu_(relu) {
    const Array mask(kept.mask);
    require_ok(espalier_cuda_sparse_pattern(mask.in(), values_.length(), pattern_.out(), shape_));
  }

 private:
  int64_t pattern_size() const {
    int64_t length = 0;
    require_ok(espalier_cuda_sparse_pattern_size(values_.length(), shape_, &length));
    return length;
  }

  const espalier_cuda_sparse shape_;  // n: vectors a sample
  const Array values_, bias_, pattern_;
  const bool relu_;
};

struct LinearElements final : ElementProduct {
  explicit LinearElements(const Task& task) : ElementProduct(of_weight(task), bias_of(task), task.vectors, task.relu) {}
};
struct UnrolledElements final : ElementProduct {
  explicit UnrolledElements(const Task& task)
      : ElementProduct(of_unrolled(task), Unrolled(task).bias(), task.conv->n, task.relu) {}
};

double nanoseconds(const Task& task, int64_t batch) {
  if (task.conv || task.weight->kept == 0) return -1;
  return elements_time(sizes_of(task, batch), static_cast<double>(task.weight->kept)) + relu_time(task, batch);
}

double nanoseconds_unrolled(const Task& task, int64_t batch) {
  if (!task.conv || task.weight->kept == 0) return -1;
  const Unrolled map(task);
  if (!map.is_small()) return -1;
  const espalier_conv2d& s = *task.conv;
  const Sizes sizes{static_cast<double>(map.rows()), static_cast<double>(map.columns()),
                    static_cast<double>(batch) * static_cast<double>(s.n)};
  return elements_time(sizes,
                       static_cast<double>(task.weight->kept) * static_cast<double>(s.out_height * s.out_width)) +
         relu_time(task, batch);
}

}  // namespace

const Format kElements{"elements", nanoseconds, made_ready<LinearElements>};
const Format kElementsUnrolled{"unrolled elements", nanoseconds_unrolled, made_ready<UnrolledElements>};

}  // namespace espalier::program::cuda
