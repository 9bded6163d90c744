#include "program/format.h"

namespace espalier::program {
namespace {

constexpr const Format* kFormats[] = {
    &kDenseLinear,   &kDenseConv,      &kDenseUnrolled, &kSparseLinear,   &kSparseColumns, &kSparsePlanes,
    &kSparseStencil, &kSparseUnrolled, &kIntegerLinear, &kIntegerColumns, &kIntegerPlanes, &kIntegerUnrolled,
};

}  // namespace

std::span<const Format* const> formats() { return kFormats; }

double expected_time(const Format& format, const Task& task, int64_t batch) {
  const bool exact =
      !task.codes || (format.integers ? task.codes->sums.fits_integers() : task.codes->sums.fits_float());
  return exact && (task.codes || !format.integers) ? format.nanoseconds(task, batch) : -1;
}

}  // namespace espalier::program
