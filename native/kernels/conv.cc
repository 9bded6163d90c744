#include "kernels/conv.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "core/parallel.h"
#include "kernels/conv_plan.h"

namespace espalier {
using kernels::Correlation;
using kernels::GradPlan;
using kernels::Part;
using kernels::Plan;
using kernels::RowsPlan;
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

// Elements of a copied input beyond which the copy is not made.
constexpr int64_t kMostScratch = int64_t{1} << 24;

template <class T>
int64_t vector_lanes() {
  int64_t lanes = 1;
  ESPALIER_ON_ISA(lanes_of<T>(&lanes));
  return lanes;
}

// What is decided about a shape before its data is touched.
struct Prepared {
  bool possible = false;  // else by the definition
  bool by_images = false;
  Correlation correlation{};
  Plan images;
  RowsPlan rows;
  GradPlan grad{};

  size_t size() const {
    return images.steps.size() + images.from.size() + rows.steps.size() + rows.from.size() + grad.from.size() +
           grad.offsets.size();
  }
};

enum class Pass { kForward, kDataGrad, kWeightGrad };

// The chooser: planes of unusual proportions by the definition; many small images side by side in the
// lanes; else the columns of a row.
Prepared prepare(Pass pass, const espalier_conv2d& shape, int64_t lanes, int64_t bytes) {
  Prepared made;
  if (!ordinary(shape)) return made;
  made.correlation = pass == Pass::kDataGrad ? data_grad_of(shape) : forward_of(shape);
  const Correlation& c = made.correlation;
  if (pass == Pass::kWeightGrad) {
    made.grad = plan_grad(c, lanes, bytes);
    made.possible = made.grad.planes * made.grad.plane_size <= kMostScratch;
  } else if (images_pay(c, lanes, bytes)) {
    made.possible = made.by_images = true;
    made.images = plan_images(c, lanes);
  } else {
    made.rows = plan_rows(c, lanes, bytes);
    made.possible = c.in * made.rows.channel() <= kMostScratch;
  }
  return made;
}

// The same from memory: a network calls with the same few shapes over and over, and for a small layer
// deciding takes a third of the time. Valid until the thread's next call.
const Prepared& prepared(Pass pass, const espalier_conv2d& shape, int64_t lanes, int64_t bytes) {
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
  auto fresh = std::make_unique<Entry>(Entry{key, prepare(pass, shape, lanes, bytes)});
  std::unique_ptr<Entry>& place = fresh->made.size() > kLong ? large : entry;
  place = std::move(fresh);
  return place->made;
}

template <class T>
void correlate(const Prepared& made, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  if (made.by_images) ESPALIER_ON_ISA(correlate_images<T>(made.correlation, made.images, x, weight, bias, relu, y));
  else ESPALIER_ON_ISA(correlate_rows<T>(made.correlation, made.rows, x, weight, bias, relu, y));
}

}  // namespace

template <class T>
void conv2d_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  if (s.n == 0 || nothing_in(s, true)) return;
  if (nothing_in(s, false)) return fill_planes(s.n, s.out_channels, s.out_height * s.out_width, bias, relu, y);
  const Prepared& made = prepared(Pass::kForward, s, vector_lanes<T>(), sizeof(T));
  if (made.possible) return correlate(made, x, weight, bias, relu, y);
  plain::conv2d_forward(s, x, weight, bias, relu, y);
}

template <class T>
void conv2d_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* bias, T* dx) {
  if (s.n == 0 || nothing_in(s, false)) return;
  if (nothing_in(s, true)) return fill_planes(s.n, s.in_channels, s.in_height * s.in_width, bias, false, dx);
  const Prepared& made = prepared(Pass::kDataGrad, s, vector_lanes<T>(), sizeof(T));
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
  const Prepared& made = prepared(Pass::kWeightGrad, s, vector_lanes<T>(), sizeof(T));
  if (made.possible) ESPALIER_ON_ISA(weight_grad<T>(made.correlation, made.grad, x, dy, dweight));
  else plain::conv2d_weight_grad(s, x, dy, dweight);
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
