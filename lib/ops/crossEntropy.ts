import { defineOp } from '../autograd/index.js'
import { native, realNumber, wholeNumber } from '../native/index.js'
import { empty, sameDtype, type Tensor, wideOf } from '../tensor/index.js'
import { type ClassLossOptions, classRows } from './classLoss.js'
import { lossTensor, reductionOf, reductions } from './lossReduction.js'

export interface CrossEntropyOptions extends ClassLossOptions {
  /** ε in [0, 1]: this much of the target is spread evenly over the classes. Default 0. */
  labelSmoothing?: number
}

const checked = (x: Tensor, target: Tensor, options: CrossEntropyOptions) => {
  const { weight = null, ignoreIndex = -100, labelSmoothing = 0 } = options
  const shape = classRows('cross_entropy', x, target, weight)
  if (target.dtype !== 'int32') sameDtype('cross_entropy', x, target)
  return {
    shape,
    weight: weight?.storage ?? null,
    reduction: reductionOf('cross_entropy', options),
    ignoreIndex: wholeNumber('cross_entropy: ignoreIndex', ignoreIndex, -(2 ** 31), 2 ** 31 - 1),
    smoothing: realNumber('cross_entropy: labelSmoothing', labelSmoothing, 0, 1),
  }
}

/**
 * Cross entropy between the softmax of scores x [N, C] and the target: class numbers (int32 [N]), or a
 * probability per class ([N, C], of x's dtype). A scalar, or [N] with `reduction: 'none'`.
 *
 * With class numbers the mean divides by the sum of the targets' weights, rows of `ignoreIndex` left
 * out (all of them: NaN); with probabilities by N, and `ignoreIndex` has no meaning. A class number
 * outside 0…C−1 is an error.
 */
export const crossEntropy = defineOp({
  name: 'cross_entropy',
  forward(x: Tensor, target: Tensor, options: CrossEntropyOptions = {}) {
    const given = checked(x, target, options)
    const { shape, weight, reduction, ignoreIndex, smoothing } = given
    const output = lossTensor(reduction, [shape[0]], x)
    const kept = empty([2 * shape[0] + 1], wideOf(x.dtype)).storage
    if (target.dtype === 'int32')
      native.crossEntropyForward(x.storage, target.storage, weight, reduction, ignoreIndex, smoothing, output.storage, kept, ...shape)
    else native.softCrossEntropyForward(x.storage, target.storage, weight, reduction, smoothing, output.storage, kept, ...shape)
    return { output, saved: { ...given, kept } }
  },
  backward(grad, { args: [x, target], needs, saved: { shape, weight, reduction, ignoreIndex, smoothing, kept } }) {
    const dx = needs[0] ? empty(x.shape, x.dtype) : null
    if (target.dtype === 'int32') {
      if (dx) native.crossEntropyBackward(grad.storage, x.storage, target.storage, weight, reduction, ignoreIndex, smoothing, kept, dx.storage, ...shape)
      return [dx, null]
    }
    const dtarget = needs[1] ? empty(x.shape, x.dtype) : null
    native.softCrossEntropyBackward(
      grad.storage,
      x.storage,
      target.storage,
      weight,
      reduction,
      smoothing,
      kept,
      dx?.storage ?? null,
      dtarget?.storage ?? null,
      ...shape,
    )
    return [dx, dtarget]
  },
  cases(sample) {
    const cases: [Tensor, Tensor, CrossEntropyOptions][] = []
    for (const classes of [1, 2, 3, 7, 16, 17, 33])
      for (const reduction of reductions) {
        const x = sample([3, classes], { avoid: [] })
        const weight = reduction === 'sum' ? null : sample([classes], { min: 0.2 }).detach()
        const labelSmoothing = classes % 2 ? 0 : 0.1
        cases.push([x, sample([3], { min: 0, max: classes, integer: true }), { reduction, weight, labelSmoothing }])
        cases.push([sample([2, classes], { avoid: [] }), sample([2, classes], { min: 0 }), { reduction, weight, labelSmoothing }])
      }
    cases.push([sample([4, 3]), sample([4], { min: 0, max: 3, integer: true }), { ignoreIndex: 1, reduction: 'sum' }])
    cases.push([sample([0, 3]), sample([0], { integer: true }), { reduction: 'none' }])
    return cases
  },
})
