#include "sparse/matrix.h"

#include <algorithm>
#include <numeric>

#include "core/failure.h"

namespace espalier::sparse {
namespace {

// The pattern of the transpose, and for each of its entries which one of the matrix it is.
Pattern transposed(const Pattern& of, std::vector<int32_t>& origin) {
  Pattern made;
  made.rows = of.columns;
  made.columns = of.rows;
  made.row_start.assign(static_cast<size_t>(of.columns) + 1, 0);
  for (const int32_t c : of.column) ++made.row_start[static_cast<size_t>(c) + 1];
  std::partial_sum(made.row_start.begin(), made.row_start.end(), made.row_start.begin());
  made.column.resize(of.column.size());
  origin.resize(of.column.size());
  std::vector<int64_t> next(made.row_start.begin(), made.row_start.end() - 1);
  for (int64_t r = 0; r < of.rows; ++r)
    for (int64_t i = of.begin(r); i < of.end(r); ++i) {
      const size_t at = static_cast<size_t>(next[static_cast<size_t>(of.at(i))]++);
      made.column[at] = static_cast<int32_t>(r);
      origin[at] = static_cast<int32_t>(i);
    }
  return made;
}

}  // namespace

void Matrix::settle(std::shared_ptr<const Format> format) {
  if (format == nullptr) {
    for (const auto& candidate : candidates())
      if (candidate->fault(pattern_).empty()) formats_.push_back(candidate);
    return;
  }
  if (const std::string fault = format->fault(pattern_); !fault.empty())
    fail(ESPALIER_INVALID_ARGUMENT, "the mask is not %s: %s", format->name().c_str(), fault.c_str());
  formats_.push_back(std::move(format));
}

void Matrix::set_values(const float* values) {
  std::copy_n(values, values_.size(), values_.begin());
  ++version_;
}

void Matrix::unpack(float* weight) const {
  std::fill_n(weight, pattern_.rows * pattern_.columns, 0.0f);
  for (int64_t r = 0; r < pattern_.rows; ++r)
    for (int64_t i = pattern_.begin(r); i < pattern_.end(r); ++i)
      weight[r * pattern_.columns + pattern_.at(i)] = values_[static_cast<size_t>(i)];
}

int64_t Matrix::code_size() const {
  const std::lock_guard<std::mutex> hold(making_);
  int64_t bytes = 0;
  for (const auto& [key, made] : made_) bytes += made.product->code_size();
  return bytes;
}

double Matrix::making_time() const {
  const std::lock_guard<std::mutex> hold(making_);
  return making_time_ + sampled_.making_time();
}

int64_t Matrix::bytes() const {
  const std::lock_guard<std::mutex> hold(making_);
  int64_t bytes = static_cast<int64_t>(values_.size() * sizeof(float) + transposed_origin_.size() * sizeof(int32_t));
  bytes += sampled_.bytes();
  for (const Pattern* of : {&pattern_, &transposed_})
    bytes += static_cast<int64_t>(of->column.size() * sizeof(int32_t) + of->row_start.size() * sizeof(int64_t));
  for (const auto& [key, made] : made_) bytes += made.product->bytes();
  return bytes;
}

// The cheapest of those that can be had. Looked up, after the first time.
const Format& Matrix::choose(int64_t samples, bool transpose) const {
  const int64_t as = std::min(samples, kMany);
  const Format*& chosen = choices_[transpose ? 1 : 0][static_cast<size_t>(as)];
  if (chosen == nullptr) {
    double least = Format::kNever;
    for (const auto& format : formats_) {
      const double cost = format->cost(pattern_, as == kMany ? kAsMany : as, transpose);
      if (chosen == nullptr || cost < least) chosen = format.get(), least = cost;
    }
  }
  return *chosen;
}

const Format& Matrix::format(int64_t samples, bool transpose) const {
  const std::lock_guard<std::mutex> hold(making_);
  return choose(samples, transpose);
}

double Matrix::cost(int64_t samples, bool transpose) const {
  return format(samples, transpose).cost(pattern_, samples, transpose);
}

const Product& Matrix::product(int64_t samples, bool transpose) {
  const std::lock_guard<std::mutex> hold(making_);
  Made* made = nullptr;
  while (made == nullptr) {
    const Format& format = choose(samples, transpose);
    made = &made_[{&format, transpose}];
    if (made->product != nullptr) break;
    const Stopwatch making(making_time_);
    std::vector<int32_t> origin(values_.size());
    if (transpose && transposed_.row_start.empty()) transposed_ = transposed(pattern_, transposed_origin_);
    if (transpose) origin = transposed_origin_;
    else std::iota(origin.begin(), origin.end(), 0);
    made->product = format.pack(transpose ? transposed_ : pattern_, std::move(origin), transpose);
    if (made->product != nullptr) break;
    // The system gives no executable memory, say: then the next best.
    if (formats_.size() == 1)
      fail(ESPALIER_INVALID_ARGUMENT,
           "%s: code cannot be generated here: no emitter for this instruction set, ESPALIER_JIT=0, no executable "
           "memory, or too many entries",
           format.name().c_str());
    made_.erase({&format, transpose});
    std::erase_if(formats_, [&](const auto& one) { return one.get() == &format; });
    choices_ = {};
    made = nullptr;
  }
  if (made->version != version_) {
    made->product->set_values(values_.data());
    made->version = version_;
  }
  return *made->product;
}

void Matrix::multiply(bool transpose, const Samples& samples, const float* x, const float* bias, bool relu, float* y) {
  product(samples.count, transpose).multiply(samples, x, bias, relu, y);
}

}  // namespace espalier::sparse
