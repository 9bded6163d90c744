import { asTensor, defineOp } from '../autograd/index.js'
import { describe, ensure, native, type Rows, realNumber } from '../native/index.js'
import { empty, formatShape, type Shape, sameShape, type Tensor, wideOf, widerDtype } from '../tensor/index.js'

export interface LayerNormOptions {
  /** The last dimensions of x, over which it is normalised; a number stands for the last one. */
  normalizedShape: number | Shape
  /** Added to the variance. Default 1e-5. */
  eps?: number
}

/** x as [rows, size], and checks of what goes with it. */
function rowsOf(x: Tensor, weight: Tensor | null | undefined, bias: Tensor | null | undefined, normalizedShape: number | Shape): Rows {
  const { shape } = asTensor('layer_norm', 'x', x)
  const tail = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape
  ensure(
    Array.isArray(tail) && tail.length > 0 && tail.length <= shape.length && sameShape(tail, shape.slice(-tail.length)),
    'SHAPE_MISMATCH',
    () => `layer_norm: normalizedShape is ${describe(normalizedShape)}, expected the last dimensions of x, ${formatShape(shape)}`,
  )
  for (const [name, vector] of Object.entries({ weight, bias })) {
    if (vector === null || vector === undefined) continue
    widerDtype('layer_norm', x, asTensor('layer_norm', name, vector))
    ensure(sameShape(vector.shape, tail), 'SHAPE_MISMATCH', () => `layer_norm: ${name} has shape ${formatShape(vector.shape)}, expected ${formatShape(tail)}`)
  }
  const size = tail.reduce((product, dimension) => product * dimension, 1)
  const rows = shape.slice(0, shape.length - tail.length).reduce((product, dimension) => product * dimension, 1)
  return [rows, size]
}

/**
 * (x − mean) / sqrt(var + eps) · weight + bias, mean and biased variance taken over the last dimensions,
 * for each of the others. weight and bias are of `normalizedShape`, or null: 1 and 0. Ba et al. 2016.
 */
export const layerNorm = defineOp({
  name: 'layer_norm',
  forward(x: Tensor, weight: Tensor | null | undefined, bias: Tensor | null | undefined, options: LayerNormOptions) {
    ensure(
      typeof options === 'object' && options !== null,
      'INVALID_ARGUMENT',
      () => `layer_norm: options is ${describe(options)}, expected { normalizedShape }`,
    )
    const shape = rowsOf(x, weight, bias, options.normalizedShape)
    const eps = realNumber('layer_norm: eps', options.eps ?? 1e-5, 0)
    const output = empty(x.shape, x.dtype)
    const [mean, scale] = [1, 2].map(() => empty([shape[0]], wideOf(x.dtype)).storage)
    native.layerNormForward(x.storage, weight?.storage ?? null, bias?.storage ?? null, eps, mean, scale, output.storage, ...shape)
    return { output, saved: { shape, mean, scale } }
  },
  backward(grad, { args: [x, weight, bias], needs, saved: { shape, mean, scale } }) {
    const wanted = [...needs]
    const gradientOf = (argument: Tensor | null | undefined): Tensor | null => (argument && wanted.shift() ? empty(argument.shape, argument.dtype) : null)
    const [dx, dweight, dbias] = [gradientOf(x), gradientOf(weight), gradientOf(bias)]
    native.layerNormBackward(
      grad.storage,
      x.storage,
      weight?.storage ?? null,
      mean,
      scale,
      dx?.storage ?? null,
      dweight?.storage ?? null,
      dbias?.storage ?? null,
      ...shape,
    )
    return [dx, ...(weight ? [dweight] : []), ...(bias ? [dbias] : [])]
  },
  cases(sample) {
    const shapes: [Shape, Shape][] = [
      [[3], [3]],
      [[1, 2], [2]],
      [[2, 5], [5]],
      [[3, 8], [8]],
      [[2, 17], [17]],
      [[1, 33], [33]],
      [
        [2, 3, 4],
        [3, 4],
      ],
      [[2, 3, 5], [5]],
      [[0, 4], [4]],
      [[40, 3], [3]],
    ]
    return shapes.flatMap(([shape, tail]) => {
      const last: LayerNormOptions = { normalizedShape: tail, eps: 1e-2 }
      return [
        [sample(shape), sample(tail), sample(tail), last],
        [sample(shape), null, sample(tail), last],
        [sample(shape), sample(tail), null, last],
      ] as [Tensor, Tensor | null, Tensor | null, LayerNormOptions][]
    })
  },
})
