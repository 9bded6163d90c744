import { asTensor, defineOp, noGrad } from '../autograd/index.js'
import { native, RoundingGradient, Unary } from '../native/index.js'
import { empty, type Tensor, wideOf, zeros } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { ceilPowerOfTwo } from './ceilPowerOfTwo.js'
import { magnitudeGradient } from './magnitude.js'
import { maximum } from './maximum.js'
import { rescaled, smallestThreshold } from './thresholdScale.js'
import { forward } from './unary.js'

// A scale taken from the very tensor that it serves, as weights have it. By `absMax`, `thresholdScale` and
// `fakeQuant` the same comes about; but the gradient of the maximum, one number, would then be brought to the size
// of the tensor and added to the other: for large weights more work than all the rest.

export interface LargestScaleOptions {
  /** The code that the largest |x| becomes. */
  top: number
  /** A scale for each index of the first dimension instead of one for all. Default false. */
  perChannel?: boolean
  /** Bring the largest |x| up to a power of two first. Default false. */
  powerOfTwo?: boolean
}

/** Scales, apart from the tape, and where in x the elements are that they were taken from, int32. */
export interface FoundScale {
  scale: Tensor
  readonly at: Tensor
}

/** Room for the scales of x. */
function roomFor(x: Tensor, perChannel: boolean): FoundScale {
  const scale = empty(perChannel ? x.shape.map((dimension, axis) => (axis === 0 ? dimension : 1)) : [], wideOf(x.dtype), x.device)
  return { scale, at: empty([scale.size], 'int32', x.device) }
}

/** The elements of each channel. */
const innerOf = (x: Tensor, { at }: FoundScale): number => (at.size === 0 ? 0 : x.size / at.size)

/** The largest magnitudes of x and the scales that follow from them, apart from the tape. */
export function findLargest(x: Tensor, { top, perChannel = false, powerOfTwo = false }: LargestScaleOptions): FoundScale {
  const found = roomFor(x, perChannel)
  const { scale: largest, at } = found
  native.absMax(x.storage, null, 1, at.size, innerOf(x, found), largest.storage, at.storage)
  found.scale = rescaled(powerOfTwo ? noGrad(() => ceilPowerOfTwo(maximum(largest, smallestThreshold))) : largest, top)
  return found
}

/** The gradient of x from that of its scales: to the largest alone, times scale / largest; that is 1 / top, or for a power of two straight through. */
function throughLargest(grad: Tensor, x: Tensor, { scale, at }: FoundScale): Tensor {
  if (x.size === 0) return zeros(x.shape, { dtype: x.dtype })
  const largest = empty(scale.shape, x.dtype)
  native.take(1, x.size, 1, x.storage, at.storage, largest.storage)
  const size = forward('largestScale', Unary.abs, largest)
  const slope = combine('largestScale', Binary.div, scale, combine('largestScale', Binary.maximum, size, smallestThreshold))
  const above = combine('largestScale', Binary.greater, size, smallestThreshold)
  return magnitudeGradient(combine('largestScale', Binary.mul, grad, combine('largestScale', Binary.mul, slope, above)), x, at)
}

/**
 * max |x| / top, the scale that lets codes up to `top` reach all of x: a scalar, or with `perChannel` of
 * shape [channels, 1, …], to broadcast over x. The gradient goes to the element it was taken from, the
 * first of equals; with `powerOfTwo` it passes straight through the rounding of the maximum.
 *
 * @param found what `findLargest` gave for the same x, where it is known already
 */
export const largestScale = defineOp({
  name: 'largest_scale',
  forward(x: Tensor, options: LargestScaleOptions, found?: FoundScale) {
    asTensor('largestScale', 'x', x)
    const saved = found ?? findLargest(x, options)
    return { output: saved.scale.detach(), saved }
  },
  backward: (grad, { args: [x], saved }) => [throughLargest(grad, x, saved)],
  cases: (sample) =>
    elementwiseShapes.map((shape, i): [Tensor, LargestScaleOptions] => [
      sample(shape, { distinct: true, min: 0.1, max: 3 }),
      { top: 1 + i, perChannel: shape.length > 0 && i % 2 === 1 },
    ]),
})

/**
 * x on the grid of its own `largestScale`: `fakeQuant` with that scale, straight-through, the gradient of
 * the scale among that of x.
 *
 * @returns the values, and the scale for those who want it
 */
export function fakeQuantByLargest(x: Tensor, min: number, max: number, options: LargestScaleOptions): { y: Tensor; found: FoundScale } {
  asTensor('fakeQuantByLargest', 'x', x)
  const found = inOneCall(x, options) ? roomFor(x, options.perChannel ?? false) : findLargest(x, options)
  return { y: roundByLargest(x, min, max, options, found), found }
}

/** Whether a kernel finds the scale and rounds to it: there is none on a GPU. */
const inOneCall = (x: Tensor, { powerOfTwo = false }: LargestScaleOptions): boolean => x.device === 'cpu' && !powerOfTwo

const roundByLargest = defineOp({
  name: 'fake_quant_by_largest',
  forward(x: Tensor, min: number, max: number, options: LargestScaleOptions, found: FoundScale) {
    const y = empty(x.shape, x.dtype)
    const { scale, at } = found
    if (inOneCall(x, options))
      native.fakeQuantLargestForward(x.storage, at.size, innerOf(x, found), options.top, smallestThreshold, min, max, y.storage, scale.storage, at.storage)
    else native.fakeQuantForward(x.storage, scale.storage, null, null, 1, at.size, innerOf(x, found), min, max, y.storage, null)
    return y
  },
  backward(grad, { args: [x, min, max, , found] }, own = false) {
    const { scale, at } = found
    const inner = innerOf(x, found)
    // Straight through: the gradient of x is that of y, but for the elements that the scale was taken from.
    const gradX = own ? grad : empty(x.shape, x.dtype)
    if (x.device === 'cpu') {
      native.fakeQuantLargestBackward(grad.storage, x.storage, scale.storage, at.storage, at.size, inner, smallestThreshold, min, max, gradX.storage)
      return [gradX]
    }
    const gradScale = empty(scale.shape, scale.dtype)
    native.fakeQuantBackward(
      grad.storage,
      x.storage,
      scale.storage,
      null,
      null,
      1,
      at.size,
      inner,
      min,
      max,
      RoundingGradient.clampSte,
      own ? null : gradX.storage,
      gradScale.storage,
    )
    native.accumulate(throughLargest(gradScale, x, found).storage, gradX.storage)
    return [gradX]
  },
  // Rounding has no useful derivative: see test/quant/quantisers.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) =>
    elementwiseShapes.map((shape, i): [Tensor, number, number, LargestScaleOptions, FoundScale] => {
      const x = sample(shape)
      const options = { top: 3, perChannel: shape.length > 0 && i % 2 === 1 }
      return [x, -3, 3, options, findLargest(x, options)]
    }),
})
