#include "kernels/conv.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "core/parallel.h"
#include "kernels/conv_plan.h"

namespace espalier {
using kernels::Band;
using kernels::ChannelsPlan;
using kernels::Correlation;
using kernels::GradPlan;
using kernels::Part;
using kernels::Plan;
using kernels::RowsPlan;
using kernels::Run;
using kernels::Step;
// Vector products below which a piece of work is not worth a thread's waking.
constexpr int64_t kConvGrain = 1 << 16;
}  // namespace espalier

#define ESPALIER_KERNEL "kernels/conv.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

bool nothing_in(const espalier_conv2d& s, bool output_side) {
  return output_side ? s.out_channels == 0 || s.out_height == 0 || s.out_width == 0
                     : s.in_channels == 0 || s.in_height == 0 || s.in_width == 0;
}

// Every plane of [n, channels, plane] set to its channel's bias, or 0.
template <class T>
void fill_planes(int64_t n, int64_t channels, int64_t plane, const T* bias, bool relu, T* y) {
  if (plane == 0) return;
  for (int64_t i = 0; i < n * channels; ++i) {
    const T value = bias ? bias[i % channels] : T{0};
    std::fill_n(y + i * plane, plane, relu && value < 0 ? T{0} : value);
  }
}

// Elements of a piece of working memory beyond which the definition does without.
constexpr int64_t kMostScratch = int64_t{1} << 24;

// What plans depend on of the instruction set in use.
struct Registers {
  int64_t lanes, tile;  // of a vector; most places of a tile of the channels view
};
template <class T>
Registers registers() {
  Registers found{};
  ESPALIER_ON_ISA(registers<T>(&found.lanes, &found.tile));
  return found;
}

// What is decided about a shape before its data is touched.
struct Prepared {
  bool possible = false;  // else by the definition
  View view = View::kRows;
  Correlation correlation{};
  // The view's own, or for a weight's gradient by rows or images, `grad`.
  ChannelsPlan channels{};
  Plan images;
  RowsPlan rows;
  GradPlan grad{};

  size_t size() const {
    return channels.runs.size() + images.steps.size() + images.from.size() + rows.steps.size() + rows.from.size() +
           grad.from.size() + grad.offsets.size();
  }
};

enum class Pass { kForward, kDataGrad, kWeightGrad };

// The chooser: planes of unusual proportions by the definition; the others by the view that suits them.
Prepared prepare(Pass pass, const espalier_conv2d& shape, const Registers& registers, int64_t bytes) {
  const int64_t lanes = registers.lanes;
  Prepared made;
  if (!ordinary(shape)) return made;
  made.correlation = pass == Pass::kDataGrad ? data_grad_of(shape) : forward_of(shape);
  const Correlation& c = made.correlation;
  made.view = pass == Pass::kWeightGrad ? grad_view_of(c, lanes, bytes) : view_of(c, lanes, bytes, registers.tile);
  int64_t copied = 0;  // elements of the largest piece of working memory
  if (made.view == View::kChannels) {
    made.channels = plan_channels(c, lanes, bytes);
    const Band& band = made.channels.band;
    copied = std::max(c.in * band.channel(), c.columns.lattice(0) * 4 * lanes);
    if (pass == Pass::kWeightGrad) copied = std::max(copied, band.band * c.columns.out * (c.out + lanes));
  } else if (pass == Pass::kWeightGrad) {
    made.grad = plan_grad(c, made.view == View::kImages, lanes, bytes);
    copied = made.grad.planes * made.grad.plane_size;
  } else if (made.view == View::kImages) {
    made.images = plan_images(c, lanes);
  } else {
    made.rows = plan_rows(c, lanes, bytes);
    copied = c.in * made.rows.channel();
  }
  made.possible = copied <= kMostScratch;
  return made;
}

// The same from memory: a network calls with the same few shapes over and over, and for a small layer
// deciding takes a third of the time. Valid until the thread's next call.
const Prepared& prepared(Pass pass, const espalier_conv2d& shape, const Registers& registers, int64_t bytes) {
  struct Key {
    espalier_conv2d shape;
    int64_t pass, bytes;
  };
  struct Entry {
    Key key;
    Prepared made;
  };
  constexpr size_t kEntries = 64;
  thread_local std::unique_ptr<Entry> entries[kEntries];
  const Key key{shape, static_cast<int64_t>(pass), bytes};
  int64_t numbers[sizeof key / sizeof(int64_t)];
  std::memcpy(numbers, &key, sizeof key);
  uint64_t hash = 0;
  for (const int64_t number : numbers) hash = (hash ^ static_cast<uint64_t>(number)) * 0x9E3779B97F4A7C15u;
  std::unique_ptr<Entry>& entry = entries[hash >> 58];
  // Long tables belong to large layers, which do not notice the making; one of those is kept.
  constexpr size_t kLong = 1 << 16;
  thread_local std::unique_ptr<Entry> large;
  for (const Entry* kept : {entry.get(), large.get()})
    if (kept && std::memcmp(&kept->key, &key, sizeof key) == 0) return kept->made;
  auto fresh = std::make_unique<Entry>(Entry{key, prepare(pass, shape, registers, bytes)});
  std::unique_ptr<Entry>& place = fresh->made.size() > kLong ? large : entry;
  place = std::move(fresh);
  return place->made;
}

template <class T>
void correlate(const Prepared& made, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  switch (made.view) {
    case View::kRows: ESPALIER_ON_ISA(correlate_rows<T>(made.correlation, made.rows, x, weight, bias, relu, y)); break;
    case View::kImages:
      ESPALIER_ON_ISA(correlate_images<T>(made.correlation, made.images, x, weight, bias, relu, y));
      break;
    case View::kChannels:
      ESPALIER_ON_ISA(correlate_channels<T>(made.correlation, made.channels, x, weight, bias, relu, y));
      break;
  }
}

}  // namespace

template <class T>
void conv2d_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  if (s.n == 0 || nothing_in(s, true)) return;
  if (nothing_in(s, false)) return fill_planes(s.n, s.out_channels, s.out_height * s.out_width, bias, relu, y);
  const Prepared& made = prepared(Pass::kForward, s, registers<T>(), sizeof(T));
  if (made.possible) return correlate(made, x, weight, bias, relu, y);
  plain::conv2d_forward(s, x, weight, bias, relu, y);
}

template <class T>
void conv2d_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* bias, T* dx) {
  if (s.n == 0 || nothing_in(s, false)) return;
  if (nothing_in(s, true)) return fill_planes(s.n, s.in_channels, s.in_height * s.in_width, bias, false, dx);
  const Prepared& made = prepared(Pass::kDataGrad, s, registers<T>(), sizeof(T));
  if (made.possible) return correlate<T>(made, dy, weight, bias, false, dx);
  plain::conv2d_data_grad(s, weight, dy, bias, dx);
}

template <class T>
void conv2d_weight_grad(const espalier_conv2d& s, const T* x, const T* dy, T* dweight) {
  const int64_t length = s.out_channels == 0 || s.in_channels == 0
                             ? 0
                             : s.out_channels * (s.in_channels / s.groups) * s.kernel_height * s.kernel_width;
  if (length == 0) return;
  if (s.n == 0 || nothing_in(s, false) || nothing_in(s, true)) {
    std::fill_n(dweight, length, T{0});
    return;
  }
  const Prepared& made = prepared(Pass::kWeightGrad, s, registers<T>(), sizeof(T));
  if (!made.possible) return plain::conv2d_weight_grad(s, x, dy, dweight);
  if (made.view == View::kChannels)
    ESPALIER_ON_ISA(weight_grad_channels<T>(made.correlation, made.channels, x, dy, dweight));
  else ESPALIER_ON_ISA(weight_grad<T>(made.correlation, made.grad, x, dy, dweight));
}

template <class T>
void channel_sum(int64_t n, int64_t channels, int64_t plane, const T* x, T* sums) {
  if (channels == 0) return;
  if (n == 0 || plane == 0) {
    std::fill_n(sums, channels, T{0});
    return;
  }
  ESPALIER_ON_ISA(channel_sum<T>(n, channels, plane, x, sums));
}

#define ESPALIER_INSTANTIATE(T)                                                                 \
  template void conv2d_forward(const espalier_conv2d&, const T*, const T*, const T*, bool, T*); \
  template void conv2d_data_grad(const espalier_conv2d&, const T*, const T*, const T*, T*);     \
  template void conv2d_weight_grad(const espalier_conv2d&, const T*, const T*, T*);             \
  template void channel_sum(int64_t, int64_t, int64_t, const T*, T*);
ESPALIER_INSTANTIATE(float)
ESPALIER_INSTANTIATE(double)
#undef ESPALIER_INSTANTIATE

}  // namespace espalier::kernels
