import { defineOp } from '../autograd/index.js'
import { type ConvSteps, geometryOf } from '../kernels/convGeometry.js'
import { ensure } from '../native/index.js'
import { formatShape, type Tensor } from '../tensor/index.js'
import { biasGradient, checkBias, checkGroups, checkOperands, dataGradient, forward, weightGradient } from './convolution.js'

export interface ConvOptions extends ConvSteps {
  /** Channels are cut into this many groups that do not see each other. Default 1. */
  groups?: number
}

const defaults: ConvOptions = {}

/**
 * Two-dimensional convolution (cross-correlation) of x [n, in, h, w] with weight
 * [out, in / groups, kh, kw] and an optional bias [out]: [n, out, h', w'], where
 * h' = ⌊(h + 2·padding − dilation·(kh − 1) − 1) / stride⌋ + 1. float32 or float64.
 *
 * @throws EspalierError SHAPE_MISMATCH where channels, groups or bias do not fit, or the kernel is
 * larger than the padded input.
 */
export const conv2d = defineOp({
  name: 'conv2d',
  forward(x: Tensor, weight: Tensor, bias: Tensor | null, options: ConvOptions = defaults) {
    checkOperands('conv2d', 4, 'height, width', x, weight, bias)
    const { groups = 1 } = options
    const [n, inChannels, height, width] = x.shape
    const [outChannels, seen, kernelHeight, kernelWidth] = weight.shape
    checkGroups('conv2d', groups, 'input', inChannels)
    ensure(
      inChannels === seen * groups,
      'SHAPE_MISMATCH',
      () => `conv2d: input has ${inChannels} channels, weight ${formatShape(weight.shape)} expects ${seen * groups}${groups > 1 ? ` in ${groups} groups` : ''}`,
    )
    checkGroups('conv2d', groups, 'output', outChannels)
    checkBias('conv2d', bias, outChannels)
    const geometry = geometryOf('conv2d', { inChannels, outChannels, kernelSize: [kernelHeight, kernelWidth], groups }, n, [height, width], options)
    const shape = [n, outChannels, geometry[5], geometry[6]]
    return { output: forward(geometry, x, weight, bias, false, shape), saved: geometry }
  },
  backward: (grad, { args: [x, weight, bias], saved, needs }) => [
    needs[0] ? dataGradient(saved, weight, grad, null, x.shape) : null,
    needs[1] ? weightGradient(saved, x, grad, weight.shape) : null,
    ...(bias !== null && needs[2] ? [biasGradient(grad)] : []),
  ],
  cases: (sample): [Tensor, Tensor, Tensor | null, ConvOptions?][] => [
    [sample([1, 1, 1, 1]), sample([1, 1, 1, 1]), sample([1])],
    [sample([2, 3, 4, 4]), sample([4, 3, 1, 1]), sample([4])],
    [sample([2, 2, 5, 5]), sample([3, 2, 3, 3]), sample([3]), { padding: 1 }],
    [sample([2, 3, 6, 6]), sample([4, 3, 3, 3]), null, { stride: 2 }],
    [sample([1, 2, 6, 6]), sample([2, 2, 5, 5]), sample([2]), { padding: 2 }],
    [sample([2, 3, 4, 5]), sample([3, 3, 2, 2]), sample([3])],
    [sample([2, 2, 6, 6]), sample([4, 2, 2, 2]), sample([4]), { stride: 2 }],
    [sample([1, 2, 7, 7]), sample([3, 2, 3, 3]), sample([3]), { dilation: 2 }],
    [sample([2, 4, 4, 4]), sample([6, 2, 3, 3]), sample([6]), { padding: 1, groups: 2 }],
    [sample([2, 4, 4, 4]), sample([4, 1, 3, 3]), sample([4]), { padding: 1, groups: 4 }],
    [sample([1, 3, 7, 7]), sample([6, 1, 3, 3]), null, { stride: 2, groups: 3 }],
    [sample([1, 2, 6, 5]), sample([3, 2, 3, 2]), sample([3]), { stride: [2, 1], padding: [1, 0] }],
    [sample([2, 4, 5, 5]), sample([3, 4, 1, 1]), sample([3]), { stride: 2 }],
    [sample([0, 2, 5, 5]), sample([3, 2, 3, 3]), sample([3])],
    [sample([2, 0, 5, 5]), sample([3, 0, 3, 3]), sample([3])],
    [sample([2, 2, 5, 5]), sample([0, 2, 3, 3]), sample([0])],
    [sample([1, 2, 0, 3]), sample([2, 2, 3, 3]), sample([2]), { padding: 2 }],
    [sample([1, 1, 2, 2]), sample([2, 1, 5, 5]), sample([2]), { padding: 3 }],
    [sample([1, 2, 5, 6]), sample([2, 2, 4, 2]), sample([2]), { padding: 'same' }],
    [sample([1, 2, 5, 6]), sample([2, 2, 2, 3]), sample([2]), { padding: 'valid' }],
    [sample([17, 1, 4, 4]), sample([3, 1, 3, 3]), sample([3])],
    [sample([1, 1, 3, 19]), sample([2, 1, 3, 3]), null, { padding: 1 }],
    [sample([1, 2, 3, 9]), sample([2, 2, 1, 3]), sample([2]), { stride: [1, 3], dilation: [1, 2], padding: [0, 4] }],
  ],
})
