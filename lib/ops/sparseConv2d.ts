import { asTensor, defineOp } from '../autograd/index.js'
import { type ConvSteps, geometryOf } from '../kernels/convGeometry.js'
import { SparseConv2d } from '../kernels/index.js'
import { Pattern } from '../kernels/pattern.js'
import { type Conv2d, describe, ensure } from '../native/index.js'
import { empty, formatShape, type Shape, sameDtype, type Tensor } from '../tensor/index.js'
import { biasGradient, checkBias, dataGradient, forward, weightGradient } from './convolution.js'
import { keptOf, spread } from './keptEntries.js'
import { patternConvolution, patternDataGradient, patternWeightGradient } from './patternConvolution.js'

const defaults: ConvSteps = {}

/**
 * Two-dimensional convolution, as `conv2d`, by a sparse weight: `values` are those of its kept entries, in the order
 * of `convolution`, which says where they stand. x is [n, in, h, w], bias [out] or null; the result is
 * [n, out, h', w']. The gradient of `values` is that of the kept entries alone.
 *
 * On the CPU float32 costs what is kept; float64, for gradient checks, and a GPU multiply by a dense weight that is made
 * of the values, and make a dense gradient of it, where the values are. With a `Pattern` of the weight in place of the
 * convolution a GPU multiplies by the kept entries.
 *
 * @throws EspalierError SHAPE_MISMATCH where channels, values or bias do not fit, or the kernel is larger than the
 * padded input; DEVICE_MISMATCH for a pattern elsewhere
 */
export const sparseConv2d = defineOp({
  name: 'sparse_conv2d',
  forward(x: Tensor, values: Tensor, convolution: SparseConv2d | Pattern, bias: Tensor | null, steps: ConvSteps = defaults) {
    const geometry = checked(x, values, convolution, bias, steps)
    const [n, , , , channels, height, width] = geometry
    const shape = [n, channels, height, width]
    if (convolution instanceof Pattern) return { output: patternConvolution(geometry, x, values, convolution, bias, shape), saved: geometry }
    if (isDense(x)) {
      const weight = dense(values, convolution)
      const y = forward(geometry, x, weight, bias, false, shape)
      weight.release()
      return { output: y, saved: geometry }
    }
    const y = empty(shape, x.dtype)
    convolution.setValues(values.data as Float32Array)
    convolution.forward(x.data as Float32Array, geometry, { bias: (bias?.data ?? null) as Float32Array | null, out: y.data as Float32Array })
    return { output: y, saved: geometry }
  },
  backward(grad, { args: [x, values, convolution, bias], saved, needs }) {
    const gradients =
      convolution instanceof Pattern
        ? patternGradients(grad, x, values, convolution, saved, needs)
        : (isDense(x) ? denseGradients : sparseGradients)(grad, x, values, convolution, saved, needs)
    return bias === null ? gradients : [...gradients, needs[2] ? biasGradient(grad) : null]
  },
  cases: (sample): [Tensor, Tensor, SparseConv2d, Tensor | null, ConvSteps?][] => {
    const call = (
      x: readonly number[],
      [out, seen, height, width]: readonly [number, number, number, number],
      bias: boolean,
      steps: ConvSteps = {},
      groups = 1,
    ): [Tensor, Tensor, SparseConv2d, Tensor | null, ConvSteps] => {
      const mask = Uint8Array.from({ length: out * seen * height * width }, (_, i) => Number((i * 7 + out) % 3 === 0))
      const convolution = new SparseConv2d(new Float32Array(mask.length), seen * groups, out, [height, width], { groups, mask })
      return [sample(x), sample([convolution.count]), convolution, bias ? sample([out]) : null, steps]
    }
    return [
      call([1, 1, 1, 1], [1, 1, 1, 1], true),
      call([2, 3, 4, 4], [4, 3, 1, 1], true),
      call([2, 2, 5, 5], [3, 2, 3, 3], true, { padding: 1 }),
      call([2, 3, 6, 6], [4, 3, 3, 3], false, { stride: 2 }),
      call([1, 2, 6, 6], [2, 2, 5, 5], true, { padding: 2 }),
      call([2, 3, 4, 5], [3, 3, 2, 2], true),
      call([2, 2, 6, 6], [4, 2, 2, 2], true, { stride: 2 }),
      call([1, 2, 7, 7], [3, 2, 3, 3], true, { dilation: 2 }),
      call([2, 4, 4, 4], [6, 2, 3, 3], true, { padding: 1 }, 2),
      call([2, 4, 4, 4], [4, 1, 3, 3], true, { padding: 1 }, 4),
      call([1, 3, 7, 7], [6, 1, 3, 3], false, { stride: 2 }, 3),
      call([1, 2, 6, 5], [3, 2, 3, 2], true, { stride: [2, 1], padding: [1, 0] }),
      call([2, 4, 5, 5], [3, 4, 1, 1], true, { stride: 2 }),
      call([0, 2, 5, 5], [3, 2, 3, 3], true),
      call([2, 0, 5, 5], [3, 0, 3, 3], true),
      call([2, 2, 5, 5], [0, 2, 3, 3], true),
      call([1, 2, 5, 6], [2, 2, 4, 2], true, { padding: 'same' }),
      call([17, 1, 4, 4], [3, 1, 3, 3], true),
      call([1, 1, 3, 19], [2, 1, 3, 3], false, { padding: 1 }),
      call([1, 2, 3, 9], [2, 2, 1, 3], true, { stride: [1, 3], dilation: [1, 2], padding: [0, 4] }),
    ]
  },
})

type Gradients = (Tensor | null)[]

function sparseGradients(grad: Tensor, x: Tensor, values: Tensor, convolution: SparseConv2d, geometry: Conv2d, needs: readonly boolean[]): Gradients {
  const dy = grad.data as Float32Array
  const [dx, dw] = [x, values].map((operand, i) => (needs[i] ? empty(operand.shape, operand.dtype) : null))
  if (dx) {
    // Another layer of the same pattern may have been here since the forward pass.
    convolution.setValues(values.data as Float32Array)
    convolution.dataGradient(dy, geometry, { out: dx.data as Float32Array })
  }
  if (dw) convolution.weightGradient(x.data as Float32Array, dy, geometry, { out: dw.data as Float32Array })
  return [dx, dw]
}

function denseGradients(grad: Tensor, x: Tensor, values: Tensor, convolution: SparseConv2d, geometry: Conv2d, needs: readonly boolean[]): Gradients {
  const gradients: Gradients = [null, null]
  if (needs[0]) {
    const weight = dense(values, convolution)
    gradients[0] = dataGradient(geometry, weight, grad, null, x.shape)
    weight.release()
  }
  if (needs[1]) {
    const ofAll = weightGradient(geometry, x, grad, weightShape(convolution))
    gradients[1] = keptOf(ofAll, convolution)
    ofAll.release()
  }
  return gradients
}

const patternGradients = (grad: Tensor, x: Tensor, values: Tensor, pattern: Pattern, geometry: Conv2d, needs: readonly boolean[]): Gradients => [
  needs[0] ? patternDataGradient(geometry, grad, values, pattern, x.shape) : null,
  needs[1] ? patternWeightGradient(geometry, x, grad, pattern) : null,
]

/** Checks what belongs together, and returns the sizes that the kernels are told. */
function checked(x: Tensor, values: Tensor, convolution: SparseConv2d | Pattern, bias: Tensor | null, steps: ConvSteps): Conv2d {
  asTensor('sparse_conv2d', 'x', x)
  asTensor('sparse_conv2d', 'values', values)
  ensure(
    convolution instanceof SparseConv2d || convolution instanceof Pattern,
    'INVALID_ARGUMENT',
    () => `sparse_conv2d: convolution is ${describe(convolution)}, expected a kernels.SparseConv2d`,
  )
  const { inChannels, outChannels, count } = convolution
  ensure(
    x.rank === 4 && x.shape[1] === inChannels,
    'SHAPE_MISMATCH',
    () => `sparse_conv2d: x has shape ${formatShape(x.shape)}, the convolution expects [n, ${inChannels}, height, width]`,
  )
  ensure(
    values.rank === 1 && values.size === count,
    'SHAPE_MISMATCH',
    () => `sparse_conv2d: values have shape ${formatShape(values.shape)}, the convolution keeps ${count} weights`,
  )
  if (bias !== null) asTensor('sparse_conv2d', 'bias', bias)
  checkBias('sparse_conv2d', bias, outChannels)
  sameDtype('sparse_conv2d', x, values, bias)
  ensure(x.dtype === 'float32' || x.dtype === 'float64', 'DTYPE_MISMATCH', () => `sparse_conv2d: x is ${x.dtype}, expected float32 or float64`)
  return geometryOf('sparse_conv2d', convolution, x.shape[0], [x.shape[2], x.shape[3]], steps)
}

/** Whether the product goes through a dense weight: in float64, which is there for gradient checks, and on a GPU. */
const isDense = (x: Tensor): boolean => x.dtype === 'float64' || x.device !== 'cpu'

/** The shape of the weight of which a convolution or a pattern tells what is kept. */
export const weightShape = ({ inChannels, outChannels, kernelSize, groups }: SparseConv2d | Pattern): Shape => [outChannels, inChannels / groups, ...kernelSize]

const dense = (values: Tensor, convolution: SparseConv2d): Tensor => spread(values, convolution, weightShape(convolution))
