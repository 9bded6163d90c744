import { realNumber } from '../native/index.js'
import { abs, add, clamp, div, fakeQuant, floor, maximum, minimum, mul, neg, relu, roundToZero, sign, bipolar as signOf, sub } from '../ops/index.js'
import type { Tensor } from '../tensor/index.js'
import type { IntegerRange } from './range.js'

/**
 * Which x receive a gradient. `clamped`: those whose rounded code is in range (learned scales);
 * `rectified`: the same of max(x, 0), in place of which x is given; `straight-through`: all.
 */
export type Gradient = 'clamped' | 'rectified' | 'straight-through'

/**
 * How values come to codes: the nearest of the values (code − zero) · scale, in some sense of near, on the
 * tape. `zero` is null for 0.
 */
export type Rounding = (x: Tensor, scale: Tensor, codes: IntegerRange, gradient: Gradient, zero: Tensor | null) => Tensor

/** To the nearest code; halves go to the even one. */
export const halfEven: Rounding = (x, scale, { min, max }, gradient, zero) => fakeQuant(x, scale, { min, max, gradient }, zero)

/** To the next code towards 0: a magnitude never grows. */
export const towardZero: Rounding = stepwise(roundToZero)

/** To the next code below, as shifting bits out does. */
export const down: Rounding = stepwise(floor)

/** The rule in single steps, by a rounding of ratios whose gradient passes straight through. */
function stepwise(round: (ratio: Tensor) => Tensor): Rounding {
  return (x, scale, { min, max }, gradient, zero) => {
    const ratio = div(gradient === 'rectified' ? relu(x) : x, scale)
    const rounded = round(zero === null ? ratio : add(ratio, zero))
    const kept = clamp(rounded, min, max)
    const code = gradient === 'straight-through' ? add(rounded, sub(kept, rounded).detach()) : kept
    return mul(zero === null ? code : sub(code, zero), scale)
  }
}

/**
 * The sign, ±1, of 0 it is 1. The gradient of x is scale times that of the result; `clamped`: none for an
 * |x| above the scale. Brevitas' `BinaryQuant` and `ClampedBinaryQuant`.
 */
export const bipolar: Rounding = (x, scale, _codes, gradient) =>
  mul(signOf(gradient === 'straight-through' ? x : minimum(maximum(x, neg(scale)), scale)), scale)

/**
 * The sign where |x| lies above `threshold` · scale, else 0. The gradient of x is scale times that of the
 * result, and none where the code is 0. Brevitas' `TernaryQuant`.
 */
export function ternary(threshold = 0.5): Rounding {
  realNumber('ternary: threshold', threshold, 0)
  return (x, scale) => mul(mul(signOf(x), sign(relu(sub(abs(x), mul(scale, threshold))))), scale)
}
