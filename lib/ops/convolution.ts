// What the convolutions share: reading their options, and calling the kernels.
import { asTensor } from '../autograd/index.js'
import { type Conv2d, ensure, native, wholeNumber } from '../native/index.js'

export { outputSize, type Pair, paddingOf, pairOf } from '../kernels/convGeometry.js'

import { empty, formatShape, isFloat, type Shape, sameDtype, type Tensor } from '../tensor/index.js'

/** Checks what every convolution asks of its operands: float tensors of one dtype and of `rank` dimensions. */
export function checkOperands(operation: string, rank: number, axes: string, x: Tensor, weight: Tensor, bias: Tensor | null): void {
  asTensor(operation, 'x', x)
  asTensor(operation, 'weight', weight)
  ensure(isFloat(x.dtype), 'DTYPE_MISMATCH', () => `${operation}: input is ${x.dtype}, expected float32 or float64`)
  ensure(x.rank === rank, 'SHAPE_MISMATCH', () => `${operation}: input has shape ${formatShape(x.shape)}, expected [n, channels, ${axes}]`)
  ensure(
    weight.rank === rank,
    'SHAPE_MISMATCH',
    () => `${operation}: weight has shape ${formatShape(weight.shape)}, expected ${rank} dimensions: out and in channels, ${axes}`,
  )
  sameDtype(operation, x, weight)
  if (bias !== null) {
    asTensor(operation, 'bias', bias)
    sameDtype(operation, x, bias)
  }
}

/** Checks the bias of a layer with `channels` outputs. */
export function checkBias(operation: string, bias: Tensor | null, channels: number): void {
  ensure(
    bias === null || (bias.rank === 1 && bias.shape[0] === channels),
    'SHAPE_MISMATCH',
    () => `${operation}: bias has shape ${formatShape((bias as Tensor).shape)}, expected [${channels}]`,
  )
}

/** Checks that channels divide into groups. */
export function checkGroups(operation: string, groups: number, name: string, channels: number): void {
  wholeNumber(`${operation}: groups`, groups, 1)
  ensure(channels % groups === 0, 'SHAPE_MISMATCH', () => `${operation}: ${channels} ${name} channels do not divide into ${groups} groups`)
}

/** The convolution of `x` by `weight`, of output `shape`. */
export function forward(geometry: Conv2d, x: Tensor, weight: Tensor, bias: Tensor | null, relu: boolean, shape: Shape): Tensor {
  const y = empty(shape, x.dtype)
  native.conv2dForward(x.storage, weight.storage, bias === null ? null : bias.storage, relu ? 1 : 0, y.storage, ...geometry)
  return y
}

/** Its gradient for the input, which is the transposed convolution of `dy`. */
export function dataGradient(geometry: Conv2d, weight: Tensor, dy: Tensor, bias: Tensor | null, shape: Shape): Tensor {
  const dx = empty(shape, dy.dtype)
  native.conv2dDataGrad(weight.storage, dy.storage, bias === null ? null : bias.storage, dx.storage, ...geometry)
  return dx
}

/** Its gradient for the weight. */
export function weightGradient(geometry: Conv2d, x: Tensor, dy: Tensor, shape: Shape): Tensor {
  const dweight = empty(shape, dy.dtype)
  native.conv2dWeightGrad(x.storage, dy.storage, dweight.storage, ...geometry)
  return dweight
}

/** The gradient of a bias per channel: the sum of `dy` over everything but its second axis. */
export function biasGradient(dy: Tensor): Tensor {
  const [n, channels] = dy.shape
  let plane = 1
  for (let axis = 2; axis < dy.rank; axis++) plane *= dy.shape[axis]
  const sums = empty([channels], dy.dtype)
  native.channelSum(n, channels, plane, dy.storage, sums.storage)
  return sums
}
