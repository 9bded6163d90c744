#include "quant/fake_quant.h"

namespace espalier {
// Elements a thread takes at a time, and how many enter one partial sum.
constexpr int64_t kQuantGrain = 1 << 14;
}  // namespace espalier

#define ESPALIER_KERNEL "quant/fake_quant.inl"
#include "simd/each_isa.h"

namespace espalier::quant {

template <class T>
void fake_quant_forward(const Grid<T>& grid, T* y, int32_t* codes) {
  ESPALIER_ON_ISA(fake_quant_forward<T>(grid, y, codes));
}
template void fake_quant_forward(const Grid<float>&, float*, int32_t*);
template void fake_quant_forward(const Grid<double>&, double*, int32_t*);

template <class T>
void fake_quant_backward(const Grid<T>& grid, const T* gradient, espalier_rounding_gradient rule, T* gradient_x,
                         T* gradient_scale) {
  ESPALIER_ON_ISA(fake_quant_backward<T>(grid, gradient, rule, gradient_x, gradient_scale));
}
template void fake_quant_backward(const Grid<float>&, const float*, espalier_rounding_gradient, float*, float*);
template void fake_quant_backward(const Grid<double>&, const double*, espalier_rounding_gradient, double*, double*);

template <class T>
void abs_max(const Grid<T>& grid, T* value, int32_t* index) {
  ESPALIER_ON_ISA(abs_max<T>(grid, value, index));
}
template void abs_max(const Grid<float>&, float*, int32_t*);
template void abs_max(const Grid<double>&, double*, int32_t*);

}  // namespace espalier::quant
