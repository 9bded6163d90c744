import { wholeNumber } from '../../native/index.js'
import { checkedEvery } from './oneShot.js'
import type { Schedule } from './schedule.js'

export interface SoftOptions {
  /** Ticks between two prunings. Default 1. */
  frequency?: number
  /** What a tick is. Default 'epoch'. */
  every?: 'step' | 'epoch'
  /** Tick at which the masks stay. Default: none does. */
  harden?: number
}

/**
 * What falls is set to 0 and goes on learning without a mask, so that it may return; drawn anew each
 * `frequency` ticks. At the tick `harden`, as a rule the last, the masks stay. Soft filter pruning, He et al. 2018.
 */
export function soft({ frequency = 1, every = 'epoch', harden }: SoftOptions = {}): Schedule {
  wholeNumber('soft: frequency', frequency, 1)
  if (harden !== undefined) wholeNumber('soft: harden', harden, 1)
  return {
    name: `soft(${frequency})`,
    every: checkedEvery('soft', every),
    at({ tick }) {
      if (tick === harden) return { draw: 'anew' }
      return tick > 0 && tick % frequency === 0 && !(harden !== undefined && tick > harden) ? { draw: 'anew', soft: true } : null
    },
  }
}
