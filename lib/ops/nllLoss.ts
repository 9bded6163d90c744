import { defineOp } from '../autograd/index.js'
import { ensure, native, wholeNumber } from '../native/index.js'
import { empty, type Tensor, wideOf } from '../tensor/index.js'
import { type ClassLossOptions, classRows } from './classLoss.js'
import { lossTensor, reductionOf, reductions } from './lossReduction.js'

/**
 * Negative log-likelihood: −weight[t] · x[r, t] for each row r of log-probabilities x [N, C] with class
 * t = target[r] (int32 [N]). Reduction, weights and ignored rows as in `crossEntropy`.
 */
export const nllLoss = defineOp({
  name: 'nll_loss',
  forward(x: Tensor, target: Tensor, options: ClassLossOptions = {}) {
    const { weight = null, ignoreIndex = -100 } = options
    const shape = classRows('nll_loss', x, target, weight)
    ensure(target.dtype === 'int32', 'DTYPE_MISMATCH', () => `nll_loss: target is ${target.dtype}, expected int32`)
    wholeNumber('nll_loss: ignoreIndex', ignoreIndex, -(2 ** 31), 2 ** 31 - 1)
    const reduction = reductionOf('nll_loss', options)
    const output = lossTensor(reduction, [shape[0]], x)
    const divisor = empty([1], wideOf(x.dtype)).storage
    native.nllForward(x.storage, target.storage, weight?.storage ?? null, reduction, ignoreIndex, output.storage, divisor, ...shape)
    return { output, saved: { shape, reduction, ignoreIndex, divisor } }
  },
  backward(grad, { args: [x, target, options], saved: { shape, reduction, ignoreIndex, divisor } }) {
    const dx = empty(x.shape, x.dtype)
    native.nllBackward(grad.storage, target.storage, options?.weight?.storage ?? null, reduction, ignoreIndex, divisor, dx.storage, ...shape)
    return [dx, null]
  },
  cases(sample) {
    const cases: [Tensor, Tensor, ClassLossOptions][] = []
    for (const classes of [1, 2, 3, 7, 16, 17, 33])
      for (const reduction of reductions) {
        const weight = reduction === 'sum' ? null : sample([classes], { min: 0.2 }).detach()
        cases.push([sample([3, classes]), sample([3], { min: 0, max: classes, integer: true }), { reduction, weight }])
      }
    cases.push([sample([4, 3]), sample([4], { min: 0, max: 3, integer: true }), { ignoreIndex: 1, reduction: 'sum' }])
    cases.push([sample([0, 3]), sample([0], { integer: true }), { reduction: 'none' }])
    return cases
  },
})
