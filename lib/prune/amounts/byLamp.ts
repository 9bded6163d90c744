import { native } from '../../native/index.js'
import { drawMasks } from '../drawMasks.js'
import { lamp } from '../scores/lamp.js'
import { element } from '../structures/element.js'
import type { Allocation } from './allocation.js'
import { type Amount, type Basis, fraction } from './amount.js'
import { inTotal } from './erk.js'
import { allocated, amountIn } from './global.js'

/**
 * An amount of all weights together, shared out as layer-adaptive magnitudes would: the sparsity of a
 * layer is what it loses when all weights are ranked by `lamp` together. Each layer then loses that share
 * of its units, ranked for itself by whatever score. Lee et al. 2021.
 */
export const byLamp = (amount: number | Amount, options: { of?: Basis } = {}): Amount => allocated(byMagnitudes, amountIn(amount, options.of))

const byMagnitudes: Allocation = {
  name: 'byLamp',
  pools(candidates, amount) {
    const total = candidates.reduce((sum, { units }) => sum + units, 0)
    const share = total === 0 ? 0 : 1 - inTotal(candidates, amount) / total
    const masks = drawMasks(
      candidates.map(({ weight }) => ({ weight, mask: null })),
      { score: lamp, structure: element, amount: fraction(share) },
    )
    return masks.map((mask, i) => ({
      members: [i],
      amount: fraction(mask.size === 0 ? 0 : 1 - native.countOnes(mask.data) / mask.size, { of: 'total' }),
    }))
  },
}
