import { describe, ensure } from '../../../native/index.js'
import { entropy } from './entropy.js'
import { meanSquare } from './meanSquare.js'
import { minMax } from './minMax.js'
import type { Observer } from './observer.js'
import { percentile } from './percentile.js'

export type { Observer } from './observer.js'
export { percentile } from './percentile.js'

/** The observers, by the names that options take. */
export const observers = {
  'min-max': minMax,
  percentile: percentile(),
  mse: meanSquare,
  entropy,
} satisfies Record<string, Observer>

export type ObserverName = keyof typeof observers

/** An observer, by its name or itself. */
export function observerOf(operation: string, wanted: ObserverName | Observer): Observer {
  if (typeof wanted === 'object' && typeof wanted?.threshold === 'function') return wanted
  ensure(
    typeof wanted === 'string' && Object.hasOwn(observers, wanted),
    'INVALID_ARGUMENT',
    () => `${operation} is ${describe(wanted)}, expected one of ${Object.keys(observers).join(', ')}, or an observer`,
  )
  return observers[wanted]
}
