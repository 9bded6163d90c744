import { defineOp } from '../autograd/index.js'
import { type Conv2d, ensure, wholeNumber } from '../native/index.js'
import { formatShape, type Tensor } from '../tensor/index.js'
import { biasGradient, checkBias, checkGroups, checkOperands, dataGradient, forward, outputSize, paddingOf, weightGradient } from './convolution.js'

export interface Conv1dOptions {
  /** Steps between outputs. Default 1. */
  stride?: number
  /** Zeros at each end: a number, 'valid' (none) or 'same' (the output keeps the size; stride 1). Default 0. */
  padding?: number | 'same' | 'valid'
  /** Steps between the elements of the kernel. Default 1. */
  dilation?: number
  /** Channels are cut into this many groups that do not see each other. Default 1. */
  groups?: number
}

const defaults: Conv1dOptions = {}

/**
 * One-dimensional convolution (cross-correlation) of x [n, in, length] with weight
 * [out, in / groups, k] and an optional bias [out]: [n, out, length'], where
 * length' = ⌊(length + 2·padding − dilation·(k − 1) − 1) / stride⌋ + 1. float32 or float64.
 * It is the two-dimensional one on planes of height 1.
 *
 * @throws EspalierError SHAPE_MISMATCH where channels, groups or bias do not fit, or the kernel is
 * longer than the padded input.
 */
export const conv1d = defineOp({
  name: 'conv1d',
  forward(x: Tensor, weight: Tensor, bias: Tensor | null, options: Conv1dOptions = defaults) {
    checkOperands('conv1d', 3, 'length', x, weight, bias)
    const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options
    const [n, inChannels, length] = x.shape
    const [outChannels, seen, kernel] = weight.shape
    checkGroups('conv1d', groups, 'input', inChannels)
    ensure(
      inChannels === seen * groups,
      'SHAPE_MISMATCH',
      () => `conv1d: input has ${inChannels} channels, weight ${formatShape(weight.shape)} expects ${seen * groups}${groups > 1 ? ` in ${groups} groups` : ''}`,
    )
    checkGroups('conv1d', groups, 'output', outChannels)
    checkBias('conv1d', bias, outChannels)
    wholeNumber('conv1d: stride', stride, 1)
    wholeNumber('conv1d: dilation', dilation, 1)
    if (typeof padding === 'number') wholeNumber('conv1d: padding', padding)
    const [left, right] = paddingOf('conv1d', padding, kernel, stride, dilation)
    const outLength = outputSize('conv1d', length, left + right, kernel, stride, dilation)
    const geometry: Conv2d = [n, inChannels, 1, length, outChannels, 1, outLength, 1, kernel, 1, stride, 0, left, 1, dilation, groups]
    return { output: forward(geometry, x, weight, bias, false, [n, outChannels, outLength]), saved: geometry }
  },
  backward: (grad, { args: [x, weight, bias], saved, needs }) => [
    needs[0] ? dataGradient(saved, weight, grad, null, x.shape) : null,
    needs[1] ? weightGradient(saved, x, grad, weight.shape) : null,
    ...(bias !== null && needs[2] ? [biasGradient(grad)] : []),
  ],
  cases: (sample): [Tensor, Tensor, Tensor | null, Conv1dOptions?][] => [
    [sample([1, 1, 1]), sample([1, 1, 1]), sample([1])],
    [sample([2, 3, 7]), sample([4, 3, 3]), sample([4])],
    [sample([2, 3, 7]), sample([4, 3, 3]), null],
    [sample([1, 2, 9]), sample([3, 2, 3]), sample([3]), { padding: 1 }],
    [sample([1, 2, 9]), sample([3, 2, 3]), sample([3]), { stride: 2 }],
    [sample([1, 2, 9]), sample([3, 2, 3]), sample([3]), { dilation: 3 }],
    [sample([1, 4, 9]), sample([6, 2, 3]), sample([6]), { groups: 2 }],
    [sample([1, 4, 9]), sample([4, 1, 3]), sample([4]), { groups: 4, padding: 1 }],
    [sample([1, 3, 8]), sample([6, 1, 2]), null, { groups: 3, stride: 2 }],
    [sample([1, 2, 17]), sample([2, 2, 5]), sample([2]), { padding: 'same' }],
    [sample([1, 2, 17]), sample([2, 2, 4]), sample([2]), { padding: 'same' }],
    [sample([1, 2, 8]), sample([2, 2, 4]), sample([2]), { padding: 'valid' }],
    [sample([1, 1, 33]), sample([1, 1, 3]), null],
    [sample([17, 1, 4]), sample([2, 1, 2]), sample([2])],
    [sample([0, 2, 5]), sample([3, 2, 3]), sample([3])],
    [sample([2, 0, 5]), sample([3, 0, 3]), sample([3])],
    [sample([2, 2, 5]), sample([0, 2, 3]), sample([0])],
    [sample([1, 2, 0]), sample([2, 2, 3]), sample([2]), { padding: 2 }],
    [sample([1, 1, 2]), sample([2, 1, 5]), sample([2]), { padding: 3 }],
    [sample([2, 5, 6]), sample([7, 5, 1]), sample([7])],
    [sample([1, 2, 16]), sample([2, 2, 3]), sample([2]), { stride: 3, padding: 2, dilation: 2 }],
  ],
})
