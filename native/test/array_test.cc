// What stands between a caller's arguments and the kernels.
#include "core/array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "core/scratch.h"

namespace espalier {
namespace {

template <class Body>
espalier_status status_of(Body body) {
  return guarded("espalier_test", body);
}

TEST(Array, LengthAndTypeAreChecked) {
  float values[4] = {1, 2, 3, 4};
  const espalier_in x{values, 4, ESPALIER_FLOAT32};
  EXPECT_EQ(elements<float>("x", x, 4), values);
  EXPECT_EQ(status_of([&] { elements<float>("x", x, 5); }), ESPALIER_SHAPE_MISMATCH);
  EXPECT_STREQ(last_error(), "test: x has 4 elements, expected 5");
  EXPECT_EQ(status_of([&] { elements<double>("x", x, 4); }), ESPALIER_DTYPE_MISMATCH);
  EXPECT_STREQ(last_error(), "test: x is float32, expected float64");
}

TEST(Array, MissingAndNegative) {
  const espalier_in missing{nullptr, 3, ESPALIER_FLOAT32}, negative{nullptr, -3, ESPALIER_FLOAT32};
  EXPECT_EQ(status_of([&] { elements<float>("x", missing, 3); }), ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(status_of([&] { elements<float>("x", negative, -3); }), ESPALIER_SHAPE_MISMATCH);
  const espalier_in absent{nullptr, 0, ESPALIER_FLOAT32};
  EXPECT_EQ(optional_elements<float>("x", absent, 7), nullptr);
}

TEST(Array, ProductsAreExactOrRefused) {
  EXPECT_EQ(checked_product("shape", {3, 4, 5}), 60);
  EXPECT_EQ(checked_product("shape", std::initializer_list<int64_t>{}), 1);
  EXPECT_EQ(checked_product("shape", {int64_t{1} << 40, 0}), 0);
  EXPECT_EQ(status_of([] {
              checked_product("shape", {int64_t{1} << 40, int64_t{1} << 40});
            }),
            ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(status_of([] {
              checked_product("shape", {int64_t{1} << 27, int64_t{1} << 27});
            }),
            ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(status_of([] { checked_product("shape", {2, -1}); }), ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(status_of([] { checked_product("shape", espalier_dims{nullptr, 2}); }), ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(status_of([] { checked_product("shape", espalier_dims{nullptr, -1}); }), ESPALIER_INVALID_ARGUMENT);
}

TEST(Array, Ranges) {
  EXPECT_EQ(status_of([] { require_range("p", 0.5, 0, 1); }), ESPALIER_OK);
  EXPECT_EQ(status_of([] { require_range("p", std::nan(""), 0, 1); }), ESPALIER_INVALID_ARGUMENT);
  EXPECT_EQ(status_of([] { require_range("n", int64_t{5}, int64_t{0}, int64_t{4}); }), ESPALIER_INVALID_ARGUMENT);
}

TEST(Failure, NothingIsThrownPastTheEdge) {
  EXPECT_EQ(status_of([] { throw std::bad_alloc(); }), ESPALIER_OUT_OF_MEMORY);
  EXPECT_EQ(status_of([] { throw std::exception(); }), ESPALIER_INTERNAL);
  EXPECT_EQ(status_of([] { throw 5; }), ESPALIER_INTERNAL);
  const std::string text(1000, 'x');
  EXPECT_EQ(status_of([&] { fail(ESPALIER_INVALID_ARGUMENT, "%s", text.c_str()); }), ESPALIER_INVALID_ARGUMENT);
  EXPECT_LT(std::string(last_error()).size(), 320u);
}

TEST(ScratchMemory, KeepsPiecesApartAndRefusesTheImpossible) {
  auto* a = scratch<float>(Scratch::kPackA, 100);
  auto* b = scratch<float>(Scratch::kPackB, 100);
  EXPECT_NE(a, b);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a) % 64, 0u);
  EXPECT_EQ(scratch<float>(Scratch::kPackA, 50), a);
  EXPECT_THROW(scratch<float>(Scratch::kPackA, std::numeric_limits<int64_t>::max()), std::bad_alloc);
  EXPECT_THROW(scratch<float>(Scratch::kPackA, -1), std::bad_alloc);
  EXPECT_EQ(scratch<float>(Scratch::kPackA, 100), a);
}

}  // namespace
}  // namespace espalier
