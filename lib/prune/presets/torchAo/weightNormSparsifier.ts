import { noGrad } from '../../../autograd/index.js'
import { describe, ensure, native, realNumber, wholeNumber } from '../../../native/index.js'
import { Linear, type Module, type NewMask, removeMask, setMasks } from '../../../nn/index.js'
import { abs, slice as cropped, div, maximum, mul, pad, permute, reshape, square, sum } from '../../../ops/index.js'
import { empty, formatShape, full, ones, type Shape, sizeOf, type Tensor } from '../../../tensor/index.js'
import { type Amount, fraction } from '../../amounts/amount.js'
import { drawMasks } from '../../drawMasks.js'
import { given } from '../../scores/given.js'
import { slice } from '../../structures/slice.js'
import { checkedModule, checkedOptions, checkedPairs } from '../../weightOf.js'

/** What may differ from weight to weight. */
export interface SparsityOptions {
  /** Share of the blocks that lose weights, 0 to 1. Default 0.5. */
  sparsityLevel?: number
  /** [rows, columns] of a block of the matrix [out, in · kernel]; at its lower and right edge blocks may be cut short. Default [1, 4]. */
  sparseBlockShape?: readonly [rows: number, columns: number]
  /** Weights that fall in such a block, those of the lowest norm. Default: all of it. */
  zerosPerBlock?: number
}

export interface WeightNormSparsifierOptions extends SparsityOptions {
  /** What a weight is measured by: 1 for |w|, 2 for w², or a function of the weights, element by element. Default 2. */
  norm?: 1 | 2 | ((weight: Tensor) => Tensor)
}

/** A weight and its settings, which may be changed between steps. */
export type SparsityGroup = Required<SparsityOptions> & { readonly module: Module; readonly name: string }

const norms = { 1: abs, 2: square }

/**
 * torch.ao's sparsifier: of each weight's blocks the share `sparsityLevel` of the lowest mean norm lose
 * `zerosPerBlock` of their weights, counted against all blocks, however many fell before. 2:4 is a level of 1
 * with 2 zeros in blocks of [1, 4]. Masks are drawn from the masked weights: what fell stays at 0, and falls
 * first again. As in torch a level below 1 spares one block at least, and a block cut short by the edge counts as a block
 * like any other: by the mean of what it has, and it loses as many weights, if it has them.
 *
 * In `fit` it is a callback that steps after the optimiser.
 *
 * Source: PyTorch 1.13, torch.ao.sparsity.WeightNormSparsifier (later torch.ao.pruning).
 *
 * @throws EspalierError INVALID_ARGUMENT for settings out of range, an unknown weight, or NaN; SHAPE_MISMATCH for weights of
 *   fewer than two dimensions
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 12))
 * const sparsifier = new prune.WeightNormSparsifier({ sparsityLevel: 1, sparseBlockShape: [1, 4], zerosPerBlock: 2 })
 * sparsifier.prepare(model)
 * sparsifier.step()      // 2:4 everywhere
 * sparsifier.squashMask() // the zeros become ordinary weights
 * ```
 */
export class WeightNormSparsifier {
  /** The weights under this sparsifier. */
  readonly groups: SparsityGroup[] = []
  readonly #defaults: SparsityOptions
  readonly #norm: (weight: Tensor) => Tensor

  constructor(options: WeightNormSparsifierOptions = {}) {
    const { norm = 2, ...defaults } = checkedOptions('WeightNormSparsifier', options)
    const measure = typeof norm === 'function' ? norm : norms[norm]
    ensure(measure !== undefined, 'INVALID_ARGUMENT', () => `WeightNormSparsifier: norm is ${describe(norm)}, expected 1, 2 or a function`)
    completed(defaults)
    this.#defaults = defaults
    this.#norm = measure
  }

  /** Puts masks of ones on the weights of all linear layers, or on those listed by name (`fc1.weight`), with settings of their own where given. */
  prepare(model: Module, config?: readonly ({ readonly tensorFqn: string } & SparsityOptions)[]): void {
    checkedModule('WeightNormSparsifier.prepare', model)
    const listed =
      config ??
      Array.from(model.namedModules()).flatMap(([name, module]) => (module instanceof Linear ? [{ tensorFqn: `${name === '' ? '' : `${name}.`}weight` }] : []))
    const groups = listed.map((entry) => {
      const { tensorFqn, ...own } = checkedOptions('WeightNormSparsifier.prepare', entry)
      ensure(
        typeof tensorFqn === 'string',
        'INVALID_ARGUMENT',
        () => `WeightNormSparsifier.prepare: tensorFqn is ${describe(tensorFqn)}, expected the name of a weight`,
      )
      const dot = tensorFqn.lastIndexOf('.')
      return { module: model.getModule(tensorFqn.slice(0, Math.max(0, dot))), name: tensorFqn.slice(dot + 1), ...completed({ ...this.#defaults, ...own }) }
    })
    checkedPairs(
      'WeightNormSparsifier.prepare',
      [...this.groups, ...groups].map(({ module, name }) => [module, name]),
    )
    setMasks(groups.map(({ module, name }) => ({ module, name, mask: ones(module.latentWeight(name).shape, { dtype: module.latentWeight(name).dtype }) })))
    this.groups.push(...groups)
  }

  /** Draws all masks anew from the masked weights as they are now. All or nothing. */
  step(): void {
    ensure(this.groups.length > 0, 'STATE', () => 'WeightNormSparsifier.step: nothing is prepared')
    setMasks(this.groups.map((group) => noGrad(() => this.#masked(group))))
  }

  /** In `fit`. */
  onStepEnd(): void {
    this.step()
  }

  /** Ends the pruning: the zeros become ordinary weights. */
  squashMask(): void {
    for (const { module, name } of this.groups.splice(0)) removeMask(module, name)
  }

  #masked({ module, name, ...settings }: SparsityGroup): NewMask {
    const { sparsityLevel, sparseBlockShape, zerosPerBlock } = completed(settings)
    const weight = module.effective(name)
    const blocks = intoBlocks(weight.shape, sparseBlockShape)
    const norms = this.#norm(weight)
    const means = blocks.means(norms)
    const [count, size] = means.shape
    const [fallen] = drawMasks([{ weight: means, mask: null }], { score: given(means), structure: slice(0), amount: ofBlocks(sparsityLevel) })
    if (zerosPerBlock === size) return { module, name, mask: blocks.back(fallen) }
    const largest = empty(means.shape, weight.dtype)
    native.keepLargest(blocks.cut(norms, Infinity).data, null, 0, count, size, size - zerosPerBlock, largest.data)
    // A weight falls if its block does and it is among the smallest there.
    return { module, name, mask: blocks.back(maximum(fallen, largest)) }
  }
}

/** The settings with their defaults, or the error for one out of range. */
function completed({ sparsityLevel = 0.5, sparseBlockShape = [1, 4], zerosPerBlock }: SparsityOptions): Required<SparsityOptions> {
  realNumber('WeightNormSparsifier: sparsityLevel', sparsityLevel, 0, 1)
  ensure(
    Array.isArray(sparseBlockShape) && sparseBlockShape.length === 2,
    'INVALID_ARGUMENT',
    () => `WeightNormSparsifier: sparseBlockShape is ${describe(sparseBlockShape)}, expected [rows, columns]`,
  )
  const [rows, columns] = sparseBlockShape.map((size, i) => wholeNumber(`WeightNormSparsifier: sparseBlockShape[${i}]`, size, 1))
  const zeros = wholeNumber('WeightNormSparsifier: zerosPerBlock', zerosPerBlock ?? rows * columns, 0, rows * columns)
  return { sparsityLevel, sparseBlockShape: [rows, columns], zerosPerBlock: zeros }
}

/** A level below 1 leaves a block. */
const ofBlocks = (level: number): Amount => ({
  name: `level ${level}`,
  of: (units) => Math.min(fraction(level, { of: 'total' }).of(units), level < 1 ? units.total - 1 : units.total),
})

interface Blocks {
  /** A weight as a row a block. What a block cut short lacks is `beyond`. */
  cut(weight: Tensor, beyond: number): Tensor
  /** The same, such that the mean of a row is that of what the block has. */
  means(weight: Tensor): Tensor
  back(rows: Tensor): Tensor
}

function intoBlocks(shape: Shape, [rows, columns]: readonly [number, number]): Blocks {
  ensure(
    shape.length >= 2,
    'SHAPE_MISMATCH',
    () => `WeightNormSparsifier: the weight has shape ${formatShape(shape)}, expected two dimensions or more: it has no blocks`,
  )
  const [height, width] = [shape[0], sizeOf(shape.slice(1))]
  const [down, across] = [Math.ceil(height / rows), Math.ceil(width / columns)]
  const [below, beside] = [down * rows - height, across * columns - width]
  const whole = below === 0 && beside === 0
  const cut = (weight: Tensor, beyond: number): Tensor => {
    const matrix = reshape(weight, [height, width])
    const padded = whole ? matrix : pad(matrix, [0, beside, 0, below], { value: beyond })
    return reshape(permute(reshape(padded, [down, rows, across, columns]), [0, 2, 1, 3]), [down * across, rows * columns])
  }
  return {
    cut,
    means(weight) {
      const values = cut(weight, 0)
      if (whole) return values
      const present = sum(cut(ones(shape, { dtype: weight.dtype }), 0), { dim: 1, keepdim: true })
      return mul(values, div(full([1], rows * columns, { dtype: weight.dtype }), present))
    },
    back(values) {
      const padded = reshape(permute(reshape(values, [down, across, rows, columns]), [0, 2, 1, 3]), [down * rows, across * columns])
      return reshape(whole ? padded : cropped(cropped(padded, { end: height }), { dim: 1, end: width }), shape)
    },
  }
}
