#include "program/format.h"

namespace espalier::program {
namespace {

constexpr const Format* kFormats[] = {
    &kDenseLinear,   &kDenseConv,    &kDenseUnrolled, &kSparseLinear,
    &kSparseColumns, &kSparsePlanes, &kSparseStencil, &kSparseUnrolled,
};

}  // namespace

std::span<const Format* const> formats() { return kFormats; }

}  // namespace espalier::program
