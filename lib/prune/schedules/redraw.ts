import { wholeNumber } from '../../native/index.js'
import { checkedEvery } from './oneShot.js'
import type { Schedule } from './schedule.js'

/**
 * The same amount again and again, each `frequency` ticks, from the latent weights as if nothing had fallen.
 * With a gradient rule by which fallen weights go on learning (`straightThrough`, `srSte`) they come and go.
 */
export function redraw({
  every = 'step',
  frequency = 1,
  end = Number.POSITIVE_INFINITY,
}: {
  every?: 'step' | 'epoch'
  frequency?: number
  end?: number
} = {}): Schedule {
  wholeNumber('redraw: frequency', frequency, 1)
  if (end !== Number.POSITIVE_INFINITY) wholeNumber('redraw: end', end)
  return {
    name: `redraw(${frequency})`,
    every: checkedEvery('redraw', every),
    at: ({ tick }) => (tick % frequency === 0 && tick <= end ? { draw: 'anew' } : null),
  }
}
