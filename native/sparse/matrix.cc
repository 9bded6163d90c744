#include "sparse/matrix.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "core/failure.h"

namespace espalier::sparse {
namespace {

// Numbers are never used twice, so that one kept too long names nothing.
struct Registry {
  std::mutex lock;
  std::unordered_map<int64_t, std::shared_ptr<Matrix>> matrices;
  int64_t next = 1;
};
// Never destroyed: threads may hold matrices when the process ends.
Registry& registry() {
  static Registry* const made = new Registry;
  return *made;
}

// The pattern of the transpose, and for each of its entries which one of the matrix it is.
Pattern transposed(const Pattern& of, std::vector<int64_t>& origin) {
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
    for (int64_t i = of.row_start[static_cast<size_t>(r)]; i < of.row_start[static_cast<size_t>(r) + 1]; ++i) {
      const size_t at = static_cast<size_t>(next[static_cast<size_t>(of.column[static_cast<size_t>(i)])]++);
      made.column[at] = static_cast<int32_t>(r);
      origin[at] = i;
    }
  return made;
}

}  // namespace

void Matrix::set_values(const float* values) {
  std::copy_n(values, values_.size(), values_.begin());
  for (const auto& made : products_)
    if (made != nullptr) made->set_values(values_.data());
}

int64_t Matrix::code_size() const {
  int64_t bytes = 0;
  for (const auto& made : products_)
    if (made != nullptr) bytes += made->code_size();
  return bytes;
}

Product& Matrix::product(bool transpose) {
  const std::lock_guard<std::mutex> hold(making_);
  std::unique_ptr<Product>& made = products_[transpose ? 1 : 0];
  if (made == nullptr) {
    std::vector<int64_t> origin;
    if (transpose) {
      Pattern pattern = transposed(pattern_, origin);
      made = make_product(std::move(pattern), std::move(origin), kernel_);
    } else {
      origin.resize(values_.size());
      std::iota(origin.begin(), origin.end(), int64_t{0});
      made = make_product(pattern_, std::move(origin), kernel_);
    }
    made->set_values(values_.data());
  }
  return *made;
}

void Matrix::multiply(bool transpose, const Samples& samples, const float* x, const float* bias, bool relu, float* y) {
  product(transpose).multiply(samples, x, bias, relu, y);
}

std::shared_ptr<Matrix> find(int64_t number) {
  Registry& all = registry();
  const std::lock_guard<std::mutex> hold(all.lock);
  const auto found = all.matrices.find(number);
  if (found == all.matrices.end())
    fail(ESPALIER_INVALID_ARGUMENT, "there is no sparse matrix %lld", static_cast<long long>(number));
  return found->second;
}

int64_t keep(std::shared_ptr<Matrix> matrix) {
  Registry& all = registry();
  const std::lock_guard<std::mutex> hold(all.lock);
  all.matrices.emplace(all.next, std::move(matrix));
  return all.next++;
}

void forget(int64_t number) {
  std::shared_ptr<Matrix> gone = find(number);
  Registry& all = registry();
  const std::lock_guard<std::mutex> hold(all.lock);
  all.matrices.erase(number);
}

}  // namespace espalier::sparse
