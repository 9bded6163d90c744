#include "kernels/conv.h"

#include <algorithm>
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

// The chooser: planes of unusual proportions by the definition; many small images side by side in the
// lanes; else the columns of a row.
template <class T>
bool correlate(const Correlation& c, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  const int64_t lanes = vector_lanes<T>();
  if (images_pay(c, lanes, sizeof(T))) {
    const Plan plan = plan_images(c, lanes);
    ESPALIER_ON_ISA(correlate_images<T>(c, plan, x, weight, bias, relu, y));
    return true;
  }
  const RowsPlan plan = plan_rows(c, lanes, sizeof(T));
  if (c.in * plan.channel() > kMostScratch) return false;
  ESPALIER_ON_ISA(correlate_rows<T>(c, plan, x, weight, bias, relu, y));
  return true;
}

}  // namespace

template <class T>
void conv2d_forward(const espalier_conv2d& s, const T* x, const T* weight, const T* bias, bool relu, T* y) {
  if (s.n == 0 || nothing_in(s, true)) return;
  if (nothing_in(s, false)) return fill_planes(s.n, s.out_channels, s.out_height * s.out_width, bias, relu, y);
  if (ordinary(s) && correlate(forward_of(s), x, weight, bias, relu, y)) return;
  plain::conv2d_forward(s, x, weight, bias, relu, y);
}

template <class T>
void conv2d_data_grad(const espalier_conv2d& s, const T* weight, const T* dy, const T* bias, T* dx) {
  if (s.n == 0 || nothing_in(s, false)) return;
  if (nothing_in(s, true)) return fill_planes(s.n, s.in_channels, s.in_height * s.in_width, bias, false, dx);
  if (ordinary(s) && correlate(data_grad_of(s), dy, weight, bias, false, dx)) return;
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
  if (ordinary(s)) {
    const Correlation c = forward_of(s);
    const GradPlan plan = plan_grad(c, vector_lanes<T>(), sizeof(T));
    if (plan.planes * plan.plane_size <= kMostScratch) {
      ESPALIER_ON_ISA(weight_grad<T>(c, plan, x, dy, dweight));
      return;
    }
  }
  plain::conv2d_weight_grad(s, x, dy, dweight);
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
