import { asTensor, defineOp } from '../autograd/index.js'
import { native } from '../native/index.js'
import { empty, type Tensor, widerDtype } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { channelsOf, type FakeQuantOptions, rules } from './fakeQuant.js'
import { findScale, type ThresholdScale, thresholdGradient } from './thresholdScale.js'

/**
 * x on the grid of a threshold's scale: `fakeQuant` with `thresholdScale`, in one step.
 *
 * @param found what `findScale` gave for this threshold
 */
export const fakeQuantByThreshold = defineOp({
  name: 'fake_quant_by_threshold',
  forward(x: Tensor, threshold: Tensor, { scale }: ThresholdScale, { min, max }: FakeQuantOptions) {
    asTensor('fakeQuantByThreshold', 'x', x)
    widerDtype('fakeQuantByThreshold', x, asTensor('fakeQuantByThreshold', 'threshold', threshold))
    const y = empty(x.shape, x.dtype)
    native.fakeQuantForward(x.storage, scale.storage, null, null, ...channelsOf('fakeQuantByThreshold', x, scale), min, max, y.storage, null)
    return y
  },
  backward(grad, { args: [x, threshold, { scale, top }, { min, max, gradient }], needs }) {
    // Not in the storage of `grad`: that serves the next step, which otherwise would touch fresh memory in its place.
    const gradX = needs[0] ? empty(x.shape, x.dtype) : null
    const gradScale = needs[1] ? empty(scale.shape, scale.dtype) : null
    native.fakeQuantBackward(
      grad.storage,
      x.storage,
      scale.storage,
      null,
      null,
      ...channelsOf('fakeQuantByThreshold', x, scale),
      min,
      max,
      rules[gradient],
      gradX?.storage ?? null,
      gradScale?.storage ?? null,
    )
    return [gradX, gradScale && thresholdGradient(gradScale, threshold, top)]
  },
  // Rounding has no useful derivative: see test/ops/fakeQuant.test.ts for what the rules must give.
  estimator: true,
  cases: (sample): [Tensor, Tensor, ThresholdScale, FakeQuantOptions][] =>
    elementwiseShapes.map((shape) => {
      const threshold = sample([], { min: 0.5, max: 2 })
      return [sample(shape), threshold, findScale(threshold, 3), { min: -3, max: 3, gradient: 'clamped' }]
    }),
})
