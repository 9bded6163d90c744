import { realNumber } from '../../native/index.js'
import type { Amount } from './amount.js'

/** Every unit whose score is at most `limit`, or with `strictly` below it. */
export function threshold(limit: number, { strictly = false }: { strictly?: boolean } = {}): Amount {
  realNumber('threshold: limit', limit)
  return {
    name: `threshold(${limit})`,
    value: limit,
    at: (value) => threshold(value, { strictly }),
    of: ({ atMost }) => atMost(limit, { strictly }),
  }
}
