import type { Generator, Tensor } from '../../../tensor/index.js'
import { count } from '../../amounts/amount.js'
import { deltaIteration } from '../../amounts/deltaIteration.js'
import { drawMasks } from '../../drawMasks.js'
import { l1 } from '../../scores/l1.js'
import { random } from '../../scores/random.js'
import { element } from '../../structures/element.js'
import type { PruneFiller } from './parameters.js'

/** One weight tensor to draw a mask for. */
export interface Filling {
  /** As it is learned, without its mask. */
  readonly latent: Tensor
  readonly mask: Tensor
  /** Share of it that is to be 0. */
  readonly threshold: number
  readonly delta: number
  readonly generator: Generator
}

/** N2D2's fillers: the mask of one weight tensor, each for itself. */
export const fillers: Readonly<Record<PruneFiller, (filling: Filling) => Tensor>> = {
  None: ({ mask }) => mask,

  /** Zeros are added by lot until the share is reached, rounded up in float32; those that are there stay. */
  Random({ latent, mask, threshold, generator }) {
    const zeros = Math.min(latent.size, Math.ceil(Math.fround(threshold * latent.size)))
    const [filled] = drawMasks([{ weight: latent, mask }], { score: random({ generator }), structure: element, amount: count(zeros, { of: 'total' }) })
    return filled
  },

  /** Drawn anew from the weights as they are learned, so that what fell may return. */
  IterNonStruct({ latent, threshold, delta }) {
    const [filled] = drawMasks([{ weight: latent, mask: null }], { score: l1, structure: element, amount: deltaIteration(threshold, delta) })
    return filled
  },
}
