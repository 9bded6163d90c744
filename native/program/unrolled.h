// A convolution as the matrix it is: from all elements of an image to all elements of its output.
#pragma once

#include <utility>

#include "program/format.h"

namespace espalier::program {

class Unrolled {
 public:
  explicit Unrolled(const Task& task) : task_(task), shape_(*task.conv) {}

  int64_t rows() const { return shape_.out_channels * shape_.out_height * shape_.out_width; }
  int64_t columns() const { return shape_.in_channels * shape_.in_height * shape_.in_width; }

  // Whether its kept entries are few enough to be worth their place. (In double: hostile sizes do not overflow here.)
  bool is_small() const {
    const double entries =
        static_cast<double>(task_.weight->kept) * static_cast<double>(shape_.out_height * shape_.out_width);
    return entries <= kMostEntries && static_cast<double>(rows()) * static_cast<double>(columns()) <= kMostElements;
  }

  // visit(row, column, place of the weight) for every entry, row by row; a row's columns ascend.
  template <class Visit>
  void each(Visit visit) const {
    const espalier_conv2d& s = shape_;
    const int64_t seen = s.in_channels / s.groups, made = s.out_channels / s.groups;
    int64_t row = 0;
    for (int64_t o = 0; o < s.out_channels; ++o)
      for (int64_t i = 0; i < s.out_height; ++i)
        for (int64_t j = 0; j < s.out_width; ++j, ++row)
          for (int64_t c = 0; c < seen; ++c)
            for (int64_t p = 0; p < s.kernel_height; ++p) {
              const int64_t y = i * s.stride_height + p * s.dilation_height - s.padding_top;
              if (y < 0 || y >= s.in_height) continue;
              for (int64_t q = 0; q < s.kernel_width; ++q) {
                const int64_t x = j * s.stride_width + q * s.dilation_width - s.padding_left;
                if (x < 0 || x >= s.in_width) continue;
                const int64_t channel = o / made * seen + c;
                visit(row, (channel * s.in_height + y) * s.in_width + x,
                      ((o * seen + c) * s.kernel_height + p) * s.kernel_width + q);
              }
            }
  }

  // Of int8 where weights are that.
  template <class T>
  std::vector<T> matrix() const {
    std::vector<T> made(static_cast<size_t>(rows() * columns()));
    each([&](int64_t row, int64_t column, int64_t weight) {
      made[static_cast<size_t>(row * columns() + column)] =
          static_cast<T>(task_.weight->data[static_cast<size_t>(weight)]);
    });
    return made;
  }

  // The entries that are not 0 alone.
  std::pair<sparse::Pattern, std::vector<float>> kept() const {
    sparse::Pattern pattern{rows(), columns(), {0}, {}};
    std::vector<float> values;
    const std::vector<float>& weight = task_.weight->data;
    each([&](int64_t row, int64_t column, int64_t at) {
      pattern.row_start.resize(static_cast<size_t>(row) + 1, pattern.entries());
      if (weight[static_cast<size_t>(at)] == 0) return;
      pattern.column.push_back(static_cast<int32_t>(column));
      values.push_back(weight[static_cast<size_t>(at)]);
    });
    pattern.row_start.resize(static_cast<size_t>(rows()) + 1, pattern.entries());
    return {std::move(pattern), std::move(values)};
  }

  // The bias of every row.
  std::vector<float> bias() const {
    if (task_.bias == nullptr) return {};
    const int64_t plane = shape_.out_height * shape_.out_width;
    std::vector<float> made;
    made.reserve(static_cast<size_t>(rows()));
    for (const float value : task_.bias->data) made.insert(made.end(), static_cast<size_t>(plane), value);
    return made;
  }

 private:
  static constexpr double kMostEntries = 1 << 19, kMostElements = 1 << 23;

  const Task& task_;
  const espalier_conv2d shape_;
};

}  // namespace espalier::program
