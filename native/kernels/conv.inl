// The fast convolutions; conv_plan.h says how they see a convolution.
#include "simd/transpose.inl"
#include "kernels/conv_tile.inl"
#include "kernels/conv_forward.inl"
#include "kernels/conv_grad.inl"
#include "kernels/conv_channels.inl"
#include "kernels/channel_sum.inl"

// For those who plan outside: the vectors' width, and the places of a tile of the channels view.
template <class T>
void registers(int64_t* lanes, int64_t* tile) {
  *lanes = kLanes<T>;
  *tile = kChannelRows;
}
