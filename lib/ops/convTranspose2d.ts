import { defineOp } from '../autograd/index.js'
import { type Conv2d, ensure } from '../native/index.js'
import { formatShape, type Tensor } from '../tensor/index.js'
import { biasGradient, checkBias, checkGroups, checkOperands, dataGradient, forward, type Pair, pairOf, weightGradient } from './convolution.js'

export interface ConvTransposeOptions {
  /** Steps between inputs in the output. Default 1. */
  stride?: Pair
  /** Rows and columns cut off each side of the output. Default 0. */
  padding?: Pair
  /** Rows and columns added at the bottom and right; less than the stride or the dilation. Default 0. */
  outputPadding?: Pair
  /** Steps between the elements of the kernel. Default 1. */
  dilation?: Pair
  /** Channels are cut into this many groups that do not see each other. Default 1. */
  groups?: number
}

const name = 'convTranspose2d'
const defaults: ConvTransposeOptions = {}

/** The output's size along an axis. */
function enlarged(axis: string, size: number, kernel: number, stride: number, padding: number, extra: number, dilation: number): number {
  ensure(kernel >= 1, 'SHAPE_MISMATCH', () => `${name}: the kernel has no elements`)
  ensure(
    extra < stride || extra < dilation,
    'INVALID_ARGUMENT',
    () => `${name}: outputPadding is ${extra} along the ${axis}, expected less than the stride ${stride} or the dilation ${dilation}`,
  )
  const result = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1
  ensure(result >= 0, 'SHAPE_MISMATCH', () => `${name}: padding ${padding} leaves an output ${axis} of ${result}`)
  return result
}

/**
 * Transposed two-dimensional convolution, the adjoint of `conv2d`: x [n, in, h, w], weight
 * [in, out / groups, kh, kw] and an optional bias [out] give [n, out, h', w'], where
 * h' = (h − 1)·stride − 2·padding + dilation·(kh − 1) + outputPadding + 1. float32 or float64.
 *
 * @throws EspalierError SHAPE_MISMATCH where channels, groups or bias do not fit, or the padding
 * removes more than there is.
 */
export const convTranspose2d = defineOp({
  name: 'conv_transpose2d',
  forward(x: Tensor, weight: Tensor, bias: Tensor | null, options: ConvTransposeOptions = defaults) {
    checkOperands(name, 4, 'height, width', x, weight, bias)
    const { groups = 1 } = options
    const [n, inChannels, height, width] = x.shape
    const [taken, outGroup, kernelHeight, kernelWidth] = weight.shape
    ensure(inChannels === taken, 'SHAPE_MISMATCH', () => `${name}: input has ${inChannels} channels, weight ${formatShape(weight.shape)} expects ${taken}`)
    checkGroups(name, groups, 'input', inChannels)
    const outChannels = outGroup * groups
    checkBias(name, bias, outChannels)
    const [strideHeight, strideWidth] = pairOf(name, 'stride', options.stride ?? 1, 1)
    const [dilationHeight, dilationWidth] = pairOf(name, 'dilation', options.dilation ?? 1, 1)
    const [top, left] = pairOf(name, 'padding', options.padding ?? 0, 0)
    const [extraHeight, extraWidth] = pairOf(name, 'outputPadding', options.outputPadding ?? 0, 0)
    const outHeight = enlarged('height', height, kernelHeight, strideHeight, top, extraHeight, dilationHeight)
    const outWidth = enlarged('width', width, kernelWidth, strideWidth, left, extraWidth, dilationWidth)
    // Of the convolution this is the adjoint of: it reads our output and writes our input.
    const adjoint: Conv2d = [
      ...[n, outChannels, outHeight, outWidth, inChannels, height, width, kernelHeight, kernelWidth],
      ...[strideHeight, strideWidth, top, left, dilationHeight, dilationWidth, groups],
    ] as unknown as Conv2d
    return { output: dataGradient(adjoint, weight, x, bias, [n, outChannels, outHeight, outWidth]), saved: adjoint }
  },
  backward: (grad, { args: [x, weight, bias], saved, needs }) => [
    needs[0] ? forward(saved, grad, weight, null, false, x.shape) : null,
    needs[1] ? weightGradient(saved, grad, x, weight.shape) : null,
    ...(bias !== null && needs[2] ? [biasGradient(grad)] : []),
  ],
  cases: (sample): [Tensor, Tensor, Tensor | null, ConvTransposeOptions?][] => [
    [sample([1, 1, 1, 1]), sample([1, 1, 1, 1]), sample([1])],
    [sample([1, 3, 3, 3]), sample([3, 2, 3, 3]), sample([2])],
    [sample([2, 2, 3, 3]), sample([2, 3, 2, 2]), sample([3]), { stride: 2 }],
    [sample([1, 2, 4, 4]), sample([2, 3, 3, 3]), null, { stride: 2, padding: 1, outputPadding: 1 }],
    [sample([1, 4, 3, 3]), sample([4, 2, 3, 3]), sample([4]), { groups: 2 }],
    [sample([1, 4, 3, 3]), sample([4, 1, 3, 3]), sample([4]), { groups: 4, padding: 1 }],
    [sample([1, 2, 3, 4]), sample([2, 2, 2, 3]), sample([2]), { stride: [2, 1], padding: [1, 0] }],
    [sample([1, 2, 3, 3]), sample([2, 2, 3, 3]), sample([2]), { dilation: 2 }],
    [sample([1, 2, 3, 3]), sample([2, 2, 3, 3]), sample([2]), { dilation: 2, outputPadding: 1 }],
    [sample([1, 2, 3, 3]), sample([2, 2, 1, 1]), sample([2]), { stride: 3, outputPadding: 2 }],
    [sample([0, 2, 3, 3]), sample([2, 2, 3, 3]), sample([2])],
    [sample([2, 0, 3, 3]), sample([0, 2, 3, 3]), sample([2])],
    [sample([2, 2, 3, 3]), sample([2, 0, 3, 3]), sample([0])],
    [sample([1, 2, 1, 1]), sample([2, 2, 2, 2]), sample([2]), { padding: 1 }],
    [sample([1, 1, 1, 17]), sample([1, 2, 1, 3]), sample([2])],
    [sample([1, 1, 5, 9]), sample([1, 2, 3, 3]), sample([2]), { padding: 1 }],
    [sample([17, 1, 2, 2]), sample([1, 2, 3, 3]), null],
    [sample([1, 5, 2, 3]), sample([5, 7, 2, 2]), sample([7])],
    [sample([2, 3, 3, 2]), sample([3, 1, 4, 2]), sample([1]), { stride: [3, 2], padding: [2, 0] }],
    [sample([1, 2, 2, 2]), sample([2, 1, 5, 5]), null, { padding: 2 }],
    [sample([1, 6, 2, 2]), sample([6, 2, 2, 2]), sample([6]), { groups: 3, stride: 2 }],
  ],
})
