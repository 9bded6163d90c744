import { asTensor, defineOp } from '../autograd/index.js'
import { ensure, native, RoundingGradient } from '../native/index.js'
import { empty, formatShape, sameDtype, type Tensor, widerDtype } from '../tensor/index.js'
import { Binary, combine, sumTo } from './binary.js'
import { elementwiseShapes } from './cases.js'

export interface FakeQuantOptions {
  /** Smallest and largest code, whole numbers. */
  min: number
  max: number
  /**
   * `clamped`: no gradient for an x whose rounded code lies outside (activations, learned scales).
   * `rectified`: the same of max(x, 0), in one pass: no gradient for x ≤ 0 either; min is 0.
   * `straight-through`: the gradient of x passes everywhere (weights scaled by their own maximum).
   */
  gradient: 'clamped' | 'rectified' | 'straight-through'
}

/** The options' rules, as the kernels number them. */
export const rules = {
  clamped: RoundingGradient.clamp,
  rectified: RoundingGradient.clampPositive,
  'straight-through': RoundingGradient.clampSte,
} as const

/** The dimension of x that has a scale for each index; −1 where the scale's shape fits none. */
function channelAxis(x: Tensor, scale: Tensor): number {
  const broad = scale.shape.findIndex((dimension) => dimension !== 1)
  const axis = scale.rank === x.rank ? broad : 0
  return scale.size === x.shape[axis] && scale.shape[broad] === scale.size ? axis : -1
}

/** How the kernels see x: every scale serves runs of `inner` elements. */
export function channelsOf(name: string, x: Tensor, scale: Tensor): readonly [outer: number, channels: number, inner: number] {
  if (scale.size === 1) return [1, 1, x.size]
  const axis = channelAxis(x, scale)
  ensure(
    axis >= 0,
    'SHAPE_MISMATCH',
    () => `${name}: scale has shape ${formatShape(scale.shape)}, x ${formatShape(x.shape)}; expected one scale, or one a channel`,
  )
  const inner = x.shape.slice(axis + 1).reduce((size, dimension) => size * dimension, 1)
  return [x.size / (scale.size * inner || 1), scale.size, inner]
}

/**
 * The nearest of the values ({min, …, max} − zero) · scale: scale · (clamp(round(x / scale + zero), min,
 * max) − zero), rounding half to even. `scale` has one element, or one for each index of a dimension of
 * x: of the first, or of the one its shape broadcasts along ([1, c, 1, 1]). `zero`, whole numbers in the
 * scale's shape, is 0 where it is absent. The gradient passes straight through the rounding; the scale's
 * is Σ grad · (code − zero − x/scale), the last term only where x receives a gradient; that of zero is
 * −scale · Σ grad over the x that receive none. Jacob et al. 2018; learned scales: Esser et al. 2020;
 * rules as in Brevitas.
 *
 * @returns x's shape and dtype, float32 or float64
 */
export const fakeQuant = defineOp({
  name: 'fake_quant',
  forward(x: Tensor, scale: Tensor, { min, max }: FakeQuantOptions, zero: Tensor | null = null) {
    asTensor('fakeQuant', 'x', x)
    asTensor('fakeQuant', 'scale', scale)
    widerDtype('fakeQuant', x, scale)
    sameDtype('fakeQuant', scale, zero)
    const y = empty(x.shape, x.dtype)
    native.fakeQuantForward(x.storage, scale.storage, zero?.storage ?? null, null, ...channelsOf('fakeQuant', x, scale), min, max, y.storage, null)
    return y
  },
  backward(grad, { args: [x, scale, { min, max, gradient }, zero], needs }) {
    const gradX = needs[0] || needs[2] ? empty(x.shape, x.dtype) : null
    const gradScale = needs[1] ? empty(scale.shape, scale.dtype) : null
    native.fakeQuantBackward(
      grad.storage,
      x.storage,
      scale.storage,
      zero?.storage ?? null,
      null,
      ...channelsOf('fakeQuant', x, scale),
      min,
      max,
      rules[gradient],
      gradX?.storage ?? null,
      gradScale?.storage ?? null,
    )
    if (!zero) return [gradX, gradScale]
    // Minus what x does not receive.
    const gradZero = needs[2] ? sumTo(combine('fakeQuant', Binary.mul, combine('fakeQuant', Binary.sub, gradX as Tensor, grad), scale), zero.shape) : null
    return [gradX, gradScale, gradZero]
  },
  // Rounding has no useful derivative: see test/ops/fakeQuant.test.ts for what the rules must give.
  estimator: true,
  cases: (sample): [Tensor, Tensor, FakeQuantOptions][] =>
    elementwiseShapes.map((shape) => [sample(shape), sample([], { min: 0.2, max: 0.4 }), { min: -3, max: 3, gradient: 'clamped' }]),
})
