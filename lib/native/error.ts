/** What went wrong, stable across releases: test this, not the message. */
export type ErrorCode =
  | 'INVALID_ARGUMENT'
  | 'SHAPE_MISMATCH'
  | 'DTYPE_MISMATCH'
  | 'DEVICE_MISMATCH'
  | 'DEVICE_MISSING'
  | 'OUT_OF_MEMORY'
  | 'STATE'
  | 'FORMAT'
  | 'ADDON_MISSING'
  | 'INTERNAL'

/**
 * The one error of this library. Its message names the operation, the argument, what came and what
 * was expected. Nothing has changed behind a call that throws it.
 *
 * @example
 * ```ts
 * import { tensor, EspalierError } from 'espalier'
 * try {
 *   tensor([1, 2, 3]).reshape([2, 2])
 * } catch (error) {
 *   if (!(error instanceof EspalierError)) throw error
 *   console.log(error.code) // SHAPE_MISMATCH
 * }
 * ```
 */
export class EspalierError extends Error {
  override readonly name = 'EspalierError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Throws unless `condition` holds. The message is built only then. */
export function ensure(condition: boolean, code: ErrorCode, message: () => string): asserts condition {
  if (!condition) throw new EspalierError(code, message())
}

/** `value` as a whole number in [low, high], else an error that names it. */
export function wholeNumber(name: string, value: unknown, low = 0, high = Number.MAX_SAFE_INTEGER): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high)
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `${name} is ${describe(value)}, expected a whole number from ${low}${high === Number.MAX_SAFE_INTEGER ? '' : ` to ${high}`}`,
    )
  return value
}

/** `value` as a finite number in [low, high], else an error that names it. */
export function realNumber(name: string, value: unknown, low = -Number.MAX_VALUE, high = Number.MAX_VALUE): number {
  if (typeof value !== 'number' || !(value >= low && value <= high))
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `${name} is ${describe(value)}, expected a number${low === -Number.MAX_VALUE ? '' : ` from ${low}`}${high === Number.MAX_VALUE ? '' : ` to ${high}`}`,
    )
  return value
}

/** A value as error messages print it: short, and never throwing. */
export function describe(value: unknown, nested = false): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)
  if (Array.isArray(value)) return nested || value.length > 8 ? `an array of ${value.length}` : `[${value.map((item) => describe(item, true)).join(', ')}]`
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'object' && value !== null) return `a ${value.constructor?.name ?? 'object'}`
  return String(value)
}
