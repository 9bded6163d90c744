#include "quant/budget.h"

#include <atomic>

#include "core/failure.h"

#define ESPALIER_KERNEL "quant/budget.inl"
#include "simd/each_isa.h"

namespace espalier::quant {
namespace {

// Weights a thread takes at a time, at least.
constexpr int64_t kBudgetGrain = 1 << 12;

template <class T, class Body>
void each_rows(const Budgeted<T>& weights, const Body& body) {
  parallel_ranges(weights.rows, std::max<int64_t>(1, kBudgetGrain / weights.fan_in), body);
}

template <class T>
void require_finite(const Budgeted<T>& weights) {
  std::atomic<bool> bad = false;
  each_rows(weights, [&](int64_t begin, int64_t end) {
    bool finite = true;
    ESPALIER_ON_ISA(all_finite<T>(weights.v + begin * weights.fan_in, (end - begin) * weights.fan_in, &finite));
    if (!finite) bad = true;
  });
  if (bad) fail(ESPALIER_INVALID_ARGUMENT, "v holds a value that is not finite");
}

}  // namespace

template <class T>
void budget_codes(const Budgeted<T>& weights, T* codes) {
  require_finite(weights);
  each_rows(weights, [&](int64_t begin, int64_t end) { ESPALIER_ON_ISA(budget_codes<T>(weights, begin, end, codes)); });
}
template void budget_codes(const Budgeted<float>&, float*);
template void budget_codes(const Budgeted<double>&, double*);

template <class T>
void budget_project(const Budgeted<T>& weights, const T* mask, T* y) {
  require_finite(weights);
  each_rows(weights,
            [&](int64_t begin, int64_t end) { ESPALIER_ON_ISA(budget_project<T>(weights, mask, begin, end, y)); });
}
template void budget_project(const Budgeted<float>&, const float*, float*);
template void budget_project(const Budgeted<double>&, const double*, double*);

}  // namespace espalier::quant
