import { asTensor, defineOp, noGrad } from '../autograd/index.js'
import { empty, type Tensor } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { div } from './div.js'
import { maximum } from './maximum.js'

/** The threshold of what has none, a tensor of zeros or a channel without weights: its scale would be 0. */
export const smallestThreshold = 1e-10

/** Elements in this process's memory; few of them, so that a loop here costs less than a call. */
function each(x: Tensor, f: (i: number) => number): Tensor {
  const y = empty(x.shape, x.dtype)
  for (let i = 0; i < y.size; i++) y.data[i] = f(i)
  return y
}

/** A scale, apart from the tape, and the code that its threshold stands for. */
export interface ThresholdScale {
  readonly scale: Tensor
  readonly top: number
}

/** The `thresholdScale` of a threshold, apart from the tape. */
export const findScale = (threshold: Tensor, top: number): ThresholdScale => ({ scale: scaleOf(threshold, top), top })

/** `scaleOf` in the thresholds' own storage, of which the caller keeps no hold. */
export function rescaled(threshold: Tensor, top: number): Tensor {
  if (threshold.device !== 'cpu') return scaleOf(threshold, top)
  for (let i = 0; i < threshold.size; i++) threshold.data[i] = Math.max(threshold.data[i], smallestThreshold) / top
  return threshold
}

/** max(threshold, 10⁻¹⁰) / top, apart from the tape. */
export function scaleOf(threshold: Tensor, top: number): Tensor {
  if (threshold.device === 'cpu') return each(threshold, (i) => Math.max(threshold.data[i], smallestThreshold) / top)
  return noGrad(() => div(maximum(threshold, smallestThreshold), top)).detach()
}

/** The gradient of a threshold from that of its scale. */
export function thresholdGradient(grad: Tensor, threshold: Tensor, top: number): Tensor {
  if (grad.device === 'cpu') return each(grad, (i) => (threshold.data[i] > smallestThreshold ? grad.data[i] / top : 0))
  const above = combine('thresholdScale', Binary.greater, threshold, smallestThreshold)
  return combine('thresholdScale', Binary.div, combine('thresholdScale', Binary.mul, grad, above), top)
}

/**
 * The scale that brings a threshold to the code `top`: threshold / top, elementwise, of a threshold no
 * smaller than 10⁻¹⁰. For few elements.
 *
 * @param found what `findScale` gave for the same threshold, where it is known already
 */
export const thresholdScale = defineOp({
  name: 'threshold_scale',
  forward: (threshold: Tensor, top: number, found?: ThresholdScale) =>
    found === undefined ? scaleOf(asTensor('thresholdScale', 'threshold', threshold), top) : found.scale.detach(),
  backward: (grad, { args: [threshold, top] }) => [thresholdGradient(grad, threshold, top)],
  cases: (sample) => elementwiseShapes.map((shape, i): [Tensor, number] => [sample(shape), 1 + i]),
})
