// At most N of each M neighbours in a row are kept, as graphics processors have it for 2:4. Generated code where there
// is any; else, where exactly N are kept, rows of a byte an entry. The transpose has no such regularity.
#include <algorithm>

#include "core/failure.h"
#include "sparse/format.h"
#include "sparse/rows.h"

namespace espalier::sparse {
namespace {

class NOfM final : public Format {
 public:
  NOfM(int64_t n, int64_t m) : n_(n), m_(m) {}
  std::string name() const override { return std::to_string(n_) + ":" + std::to_string(m_); }
  std::string fault(const Pattern& pattern) const override {
    for (int64_t r = 0; r < pattern.rows; ++r)
      for (int64_t i = pattern.begin(r); i + n_ < pattern.end(r); ++i)
        // More than N in a group: the N-th after one of them is of the same group.
        if (pattern.at(i) / m_ == pattern.at(i + n_) / m_)
          return "row " + std::to_string(r) + " keeps more than " + std::to_string(n_) + " of the " +
                 std::to_string(m_) + " columns from " + std::to_string(pattern.at(i) / m_ * m_) + " on";
    return {};
  }
  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    return cost_of_code_or_rows(pattern, samples, transposed);
  }
  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool transposed) const override {
    if (auto generated = make_code_before_rows(pattern, origin); generated != nullptr) return generated;
    if (!transposed && pattern.columns % m_ == 0 && pattern.entries() == pattern.rows * pattern.columns / m_ * n_)
      return make_grouped_rows(pattern, std::move(origin), n_, m_);
    return make_rows(std::move(pattern), std::move(origin));
  }

 private:
  int64_t n_, m_;
};

}  // namespace

std::unique_ptr<Format> n_of_m_format(int64_t n, int64_t m) {
  if (m < 2 || m > 256 || n < 1 || n >= m)
    fail(ESPALIER_INVALID_ARGUMENT, "parameters are %lld of %lld, expected 1 ≤ N < M ≤ 256", static_cast<long long>(n),
         static_cast<long long>(m));
  return std::make_unique<NOfM>(n, m);
}

}  // namespace espalier::sparse
