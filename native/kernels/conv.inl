// The fast convolutions; conv_plan.h says how they see a convolution.
#include "simd/transpose.inl"
#include "kernels/conv_tile.inl"
#include "kernels/conv_forward.inl"
#include "kernels/conv_grad.inl"
#include "kernels/channel_sum.inl"

// The vectors' width, for those who plan outside.
template <class T>
void lanes_of(int64_t* lanes) {
  *lanes = kLanes<T>;
}
