// Each row keeps as many entries (a neuron's inputs): the work is even over rows and threads, and no row has to say
// where it begins. Generated code where there is any, else rows of 2 bytes an entry. The transpose has no such
// regularity.
#include "sparse/format.h"
#include "sparse/rows.h"

namespace espalier::sparse {
namespace {

class FanIn final : public Format {
 public:
  std::string name() const override { return "fan-in"; }
  std::string fault(const Pattern& pattern) const override {
    for (int64_t r = 1; r < pattern.rows; ++r) {
      const int64_t here = pattern.end(r) - pattern.begin(r), first = pattern.end(0);
      if (here != first)
        return "row " + std::to_string(r) + " keeps " + std::to_string(here) + " entries, row 0 " +
               std::to_string(first);
    }
    return {};
  }
  double cost(const Pattern& pattern, int64_t samples, bool transposed) const override {
    return cost_of_code_or_rows(pattern, samples, transposed);
  }
  std::unique_ptr<Product> pack(Pattern pattern, std::vector<int32_t> origin, bool transposed) const override {
    if (auto generated = make_code_before_rows(pattern, origin); generated != nullptr) return generated;
    return transposed ? make_rows(std::move(pattern), std::move(origin))
                      : make_equal_rows(std::move(pattern), std::move(origin));
  }
};

}  // namespace

std::unique_ptr<Format> fan_in_format() { return std::make_unique<FanIn>(); }

}  // namespace espalier::sparse
