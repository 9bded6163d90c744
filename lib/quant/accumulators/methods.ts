import { ensure, wholeNumber } from '../../native/index.js'
import { type Module, maskOf, type WeightTransform } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { Quantiser } from '../quantiser.js'
import type { IntegerRange } from '../range.js'
import type { WeightQuantiserOptions } from '../weights.js'
import { type A2QMethod, A2QQuantiser } from './a2q.js'
import { BudgetQuantiser } from './budget.js'
import { keepFanIn } from './fanIn.js'
import { type Guard, guardOf, guardTransform } from './guard.js'
import { requireRoom } from './signBudgets.js'

/** What a layer asks of the method that keeps it within its accumulator. */
export interface AccumulatorWish extends WeightQuantiserOptions {
  accumulatorBits: number
  /** The most inputs a neuron may use. Default: as many as it has. */
  fanIn?: number
  /** Codes of an integer bias inside the accumulator; null where the layer has none there. */
  bias: IntegerRange | null
}

/** Puts on a layer's weight what keeps it within the accumulator. What learns something is returned, for a field of the layer. */
export type AccumulatorMethod = (layer: Module, wish: AccumulatorWish) => Guard | Quantiser | null

/** A method that is a weight quantiser of its own, made from the weight it starts from. */
const guarded =
  (make: (weight: Tensor, wish: AccumulatorWish) => Guard, transform = guardTransform): AccumulatorMethod =>
  (layer, wish) => {
    const { weightBits = 8, weightNarrow = true, powerOfTwo = false, weightScale, weightRounding, quantiser } = wish
    wholeNumber('weightBits within an accumulator', weightBits, 2, 8)
    ensure(
      weightNarrow && !powerOfTwo && (weightScale ?? weightRounding ?? quantiser) === undefined,
      'INVALID_ARGUMENT',
      () => 'with this accumulator method codes are narrow and scales learned; leave out weightNarrow, powerOfTwo, weightScale, weightRounding and quantiser',
    )
    const guard = make(layer.latentWeight('weight'), wish)
    layer.addTransform('weight', transform)
    return guard
  }

/** On the weight's way: the A2Q quantiser in the layer's field, told of the mask before it. */
const a2qTransform: WeightTransform = {
  ...guardTransform,
  apply(weight, layer) {
    ;(guardOf(layer) as A2QQuantiser).mask = maskOf(layer, 'weight')
    return guardTransform.apply(weight, layer)
  },
}

const a2q = (accumulator: A2QMethod): AccumulatorMethod =>
  guarded((weight, { bias, ...options }) => new A2QQuantiser(weight, { ...options, accumulator, bias: bias === null ? 0 : -bias.min }), a2qTransform)

/** The ways to keep a layer's weights within an accumulator, by the names that layers are given. */
export const accumulatorMethods = {
  budget: guarded((weight, { bias, ...options }) => {
    const { accumulatorBits } = options
    // (Between its ends every bias leaves room for more.)
    if (bias !== null) for (const end of [bias.min, bias.max]) requireRoom({ accumulatorBits, input: { min: 0, max: 1 }, bias: end })
    return new BudgetQuantiser(weight, options)
  }),
  a2q: a2q('a2q'),
  'a2q+': a2q('a2q+'),
  'fan-in': keepFanIn,
} satisfies Record<string, AccumulatorMethod>

export type AccumulatorMethodName = keyof typeof accumulatorMethods
