import { ensure, wholeNumber } from '../../native/index.js'
import { formatShape, type Shape } from '../../tensor/index.js'
import { count } from '../amounts/amount.js'
import { isTransposed } from './along.js'
import { element } from './element.js'
import type { Structure } from './structure.js'

/**
 * Of every `m` neighbouring input channels, at each filter and kernel position, `n` weights stay. The
 * number of input channels must be a multiple of m. It brings its own amount; another one is counted in each
 * group of m. Zhou et al. 2021; 2:4 is what NVIDIA's sparse tensor cores multiply.
 *
 * @throws EspalierError INVALID_ARGUMENT unless 0 ≤ n ≤ m, m ≥ 1; SHAPE_MISMATCH, when used, for a weight that does not divide
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const layer = new nn.Linear(8, 2)
 * new prune.Pruner(layer, { structure: prune.nm(2, 4) }).step()
 * prune.isPruned(layer) // 8 of 16 weights are left, 2 of every 4 neighbours
 * ```
 */
export function nm(n: number, m: number): Structure {
  wholeNumber('nm: m', m, 1)
  wholeNumber('nm: n', n, 0, m)
  const name = `nm(${n}, ${m})`
  const inputsAt =
    (axis: 0 | 1) =>
    (shape: Shape): readonly [number, number, number] => {
      ensure(
        shape.length >= 2 && shape[axis] % m === 0,
        'SHAPE_MISMATCH',
        () => `${name}: the weight ${formatShape(shape)} has ${shape[axis] ?? 'no'} input channels, expected a multiple of ${m}`,
      )
      const outer = axis === 0 ? 1 : shape[0]
      const inner = shape.slice(axis + 1).reduce((size, dimension) => size * dimension, 1)
      return [(outer * shape[axis]) / m, m, inner]
    }
  const cut = (groups: (shape: Shape) => readonly [number, number, number]): Structure => ({
    ...element,
    name,
    groups,
    units(shape) {
      groups(shape)
      return element.units(shape)
    },
    amount: count(m - n, { of: 'total' }),
  })
  const [usual, transposed] = [cut(inputsAt(1)), cut(inputsAt(0))]
  return { ...usual, on: (module) => (isTransposed(name, module) ? transposed : usual) }
}
