import { describe, ensure } from '../native/index.js'
import { type MaskGradient, setMasks } from '../nn/index.js'
import { type Amount, amountOf, type Basis } from './amounts/amount.js'
import { drawMasks } from './drawMasks.js'
import { l1 } from './scores/l1.js'
import { type ScoreLike, scoreOf } from './scores/scoreOf.js'
import { element } from './structures/element.js'
import type { Structure } from './structures/structure.js'
import { checkedOptions, checkedPairs, type Pair, weightOf } from './weightOf.js'

export interface PruneWeightsOptions {
  /** A score, or a function of the weight. Default `l1`. */
  score?: ScoreLike
  /** Default `element`. */
  structure?: Structure
  /** How many units of all the weights together: a whole number is a count, one below 1 a fraction. */
  amount: number | Amount
  /** What a number is counted against. Default: what remains. */
  of?: Basis
  /** How gradients pass the masks. Default: masked weights receive none. */
  gradient?: MaskGradient
}

/**
 * Prunes parameters by parts of your choice: of all their units together those of the lowest score fall.
 * All or nothing: on an error every module is as it was.
 *
 * @throws EspalierError INVALID_ARGUMENT for an amount out of range, an unknown parameter, one listed twice,
 *   NaN among the scores; SHAPE_MISMATCH for a score of another shape than its weight
 * @example
 * ```ts
 * import { nn, ops, prune } from 'espalier'
 * const [a, b] = [new nn.Conv2d(3, 8, 3), new nn.Conv2d(8, 8, 3)]
 * const squares: prune.Score = { name: 'squares', of: (weight) => ops.square(weight), magnitude: false }
 * prune.pruneWeights([[a, 'weight'], [b, 'weight']], { score: squares, structure: prune.slice(0), amount: 0.25 })
 * ```
 */
export function pruneWeights(pairs: Iterable<Pair>, options: PruneWeightsOptions): void {
  const { score = l1, structure = element, amount, of, gradient } = checkedOptions('pruneWeights', options)
  ensure(
    typeof structure?.units === 'function',
    'INVALID_ARGUMENT',
    () => `pruneWeights: the structure is ${describe(structure)}, expected one such as element`,
  )
  const list = checkedPairs('pruneWeights', pairs)
  const weights = list.map(([module, name]) => weightOf('pruneWeights', module, name))
  const masks = drawMasks(weights, { score: scoreOf('pruneWeights', score), structure, amount: amountOf(amount, of) })
  setMasks(
    list.map(([module, name], i) => ({ module, name, mask: masks[i], gradient })),
    { handOver: true },
  )
}
