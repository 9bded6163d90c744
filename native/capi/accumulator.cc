#include "espalier/accumulator.h"

#include <vector>

#include "core/array.h"
#include "core/conv_shape.h"
#include "quant/narrow.h"

using namespace espalier;

namespace {

// Codes of which every product fits beside a register of 31 bits.
const int32_t* checked_codes(const char* name, espalier_in array, int64_t length) {
  const int32_t* const codes = elements<int32_t>(name, array, length);
  constexpr int32_t kMost = 1 << 15;
  for (int64_t i = 0; i < length; ++i)
    if (codes[i] < -kMost || codes[i] > kMost)
      fail(ESPALIER_INVALID_ARGUMENT, "%s[%lld] is %d, expected a code within ±2^15", name, static_cast<long long>(i),
           codes[i]);
  return codes;
}

// Each index below `count` once.
const int32_t* checked_order(espalier_in array, int64_t count) {
  const int32_t* const order = optional_elements<int32_t>("order", array, count);
  if (order == nullptr) return nullptr;
  std::vector<bool> seen(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    if (order[i] < 0 || order[i] >= count || seen[static_cast<size_t>(order[i])])
      fail(ESPALIER_INVALID_ARGUMENT, "order[%lld] is %d, expected each index below %lld once",
           static_cast<long long>(i), order[i], static_cast<long long>(count));
    seen[static_cast<size_t>(order[i])] = true;
  }
  return order;
}

}  // namespace

espalier_status espalier_narrow_conv2d(espalier_in x, espalier_in weight, espalier_in bias, espalier_in order,
                                       espalier_summing summing, int64_t bits, espalier_overflow overflow, int64_t tile,
                                       int64_t tile_bits, espalier_out y, espalier_out first, espalier_conv2d shape) {
  return guarded(__func__, [&] {
    const ConvLengths length = checked_conv(shape);
    require_range("summing", static_cast<int64_t>(summing), ESPALIER_SUMMING_LISTED, ESPALIER_SUMMING_WORST);
    require_range("overflow", static_cast<int64_t>(overflow), ESPALIER_OVERFLOW_WRAP, ESPALIER_OVERFLOW_SATURATE);
    require_range("bits", bits, 2, 32);
    require_range("tile", tile, 0, (int64_t{1} << 31) - 1);
    if (tile > 0) require_range("tile_bits", tile_bits, 2, 32);
    quant::NarrowConv conv{};
    conv.shape = shape;
    // Places in the order of summation are told in int32, and an overflow is counted in sums of 2^30 each.
    const int64_t fan_in =
        checked_product("fan-in", {shape.in_channels / shape.groups, shape.kernel_height, shape.kernel_width});
    require_range("fan_in", fan_in, 0, (int64_t{1} << 31) - 1);
    conv.x = checked_codes("x", x, length.x);
    conv.weight = checked_codes("weight", weight, length.weight);
    conv.bias = optional_elements<int32_t>("bias", bias, shape.out_channels);
    conv.order = checked_order(order, fan_in);
    conv.worst = summing == ESPALIER_SUMMING_WORST;
    if (conv.worst && conv.order != nullptr)
      fail(ESPALIER_INVALID_ARGUMENT, "order is given, expected none: the worst order is each sum's own");
    conv.saturate = overflow == ESPALIER_OVERFLOW_SATURATE;
    conv.bits = static_cast<int>(bits);
    conv.tile_bits = static_cast<int>(tile_bits);
    conv.tiled = tile > 0;
    conv.tile = tile > 0 ? tile : std::max<int64_t>(1, fan_in);
    conv.y = elements<int32_t>("y", y, length.y);
    conv.first = optional_elements<int32_t>("first", first, length.y);
    if (length.y > 0) quant::narrow_conv2d(conv);
  });
}
