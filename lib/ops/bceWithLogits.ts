import { asTensor, defineOp } from '../autograd/index.js'
import { ensure, native } from '../native/index.js'
import { empty, formatShape, sameShape, type Tensor, widerDtype } from '../tensor/index.js'
import { pairCases, samePair } from './distanceLoss.js'
import { type LossOptions, lossTensor, reductionOf } from './lossReduction.js'

export interface BceWithLogitsOptions extends LossOptions {
  /** A factor per element: of x's shape, or of its last dimensions. It gets no gradient. */
  weight?: Tensor | null
  /** A factor for the positive part of the loss, likewise: one a class where x is [N, C]. */
  posWeight?: Tensor | null
}

/** The values of a factor that repeats over the leading dimensions of x. */
function factor(name: string, values: Tensor | null | undefined, x: Tensor) {
  if (values === null || values === undefined) return null
  widerDtype('bce_with_logits', x, asTensor('bce_with_logits', name, values))
  ensure(
    values.rank <= x.rank && sameShape(values.shape, x.shape.slice(x.rank - values.rank)),
    'SHAPE_MISMATCH',
    () => `bce_with_logits: ${name} has shape ${formatShape(values.shape)}, expected the last dimensions of x, ${formatShape(x.shape)}`,
  )
  return values.storage
}

/**
 * Binary cross entropy between the logistic function of x and targets in [0, 1] of the same shape:
 * weight · [(1 − t) x + (1 + (posWeight − 1) t) ln(1 + e^−x)]. A scalar, or x's shape with
 * `reduction: 'none'`. Exact for large |x|, where the logistic function itself is 0 or 1.
 */
export const bceWithLogits = defineOp({
  name: 'bce_with_logits',
  forward(x: Tensor, target: Tensor, options: BceWithLogitsOptions = {}) {
    samePair('bce_with_logits', x, target)
    const reduction = reductionOf('bce_with_logits', options)
    const factors = [factor('weight', options.weight, x), factor('posWeight', options.posWeight, x)] as const
    const output = lossTensor(reduction, x.shape, x)
    native.bceWithLogitsForward(x.storage, target.storage, ...factors, reduction, output.storage)
    return { output, saved: { factors, reduction } }
  },
  backward(grad, { args: [x, target], needs, saved: { factors, reduction } }) {
    const [dx, dtarget] = [x, target].map((input, i) => (needs[i] ? empty(input.shape, input.dtype) : null))
    native.bceWithLogitsBackward(grad.storage, x.storage, target.storage, ...factors, reduction, dx?.storage ?? null, dtarget?.storage ?? null)
    return [dx, dtarget]
  },
  cases: (sample) =>
    pairCases(sample).map(([x, target, options], i) => {
      const last = x.shape.slice(-1)
      const weight = i % 3 === 0 ? sample(x.shape, { min: 0.2 }).detach() : null
      const posWeight = i % 2 ? sample(last, { min: 0.2 }).detach() : null
      return [x, target, { ...options, weight, posWeight }]
    }),
})
