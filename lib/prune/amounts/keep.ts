import { wholeNumber } from '../../native/index.js'
import type { Amount } from './amount.js'

/** As many as leave `n`: with the structure `perNeuron` a cap on the fan-in. A schedule that leads up to it starts from `initial` units, not from 0. */
export function keep(n: number): Amount {
  wholeNumber('keep: n', n)
  return {
    name: `keep(${n})`,
    value: n,
    at: (value) => keep(Math.round(value)),
    of: ({ remaining }) => Math.max(0, remaining - n),
  }
}
