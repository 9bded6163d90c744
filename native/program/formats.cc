#include "program/format.h"

namespace espalier::program {
namespace {

constexpr Format kFormats[] = {
    {"dense", dense_linear::nanoseconds, dense_linear::prepare},
    {"direct", dense_conv::nanoseconds, dense_conv::prepare},
    {"unrolled", dense_unrolled::nanoseconds, dense_unrolled::prepare},
    {"sparse", sparse_linear::nanoseconds, sparse_linear::prepare},
    {"sparse columns", sparse_conv::nanoseconds, sparse_conv::prepare},
    {"sparse planes", sparse_planes::nanoseconds, sparse_planes::prepare},
    {"sparse stencil", sparse_stencil::nanoseconds, sparse_stencil::prepare},
    {"sparse unrolled", sparse_unrolled::nanoseconds, sparse_unrolled::prepare},
};

}  // namespace

std::span<const Format> formats() { return kFormats; }

}  // namespace espalier::program
