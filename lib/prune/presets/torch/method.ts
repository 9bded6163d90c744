import { describe, ensure, native } from '../../../native/index.js'
import { type Module, setMasks } from '../../../nn/index.js'
import { empty, formatShape, full, sameShape, Tensor } from '../../../tensor/index.js'
import { type BiasRule, biasMasks } from '../../biasMask.js'
import { drawMasks, type Parts, type Ranked } from '../../drawMasks.js'
import { weightOf } from '../../weightOf.js'
import { converted, type PruningType, restricted } from './restricted.js'

export interface ApplyOptions {
  /** Ranked in place of the weight, as they are: of its shape and dtype. */
  importanceScores?: Tensor
  /** Whether the bias of a filter falls with it; only for filters. Default 'keep', as in PyTorch. */
  bias?: BiasRule
}

/**
 * A way of pruning, as in `torch.nn.utils.prune`: a subclass says in `computeMask` what falls of a tensor.
 * `apply` puts it to work on a module, where it sees only what earlier calls left: by its
 * `pruningType` the entries whose mask is 1 (as a tensor of one dimension), or the slices along `dim`
 * whose mask is not all 0, or everything.
 *
 * @example
 * ```ts
 * import { nn, prune, tensor, type Tensor } from 'espalier'
 * class EveryOther extends prune.BasePruningMethod {
 *   readonly pruningType = 'unstructured'
 *   computeMask(t: Tensor, defaultMask: Tensor) {
 *     return tensor(defaultMask.data.map((entry: number, i: number) => (i % 2 === 0 ? 0 : entry)), t.shape)
 *   }
 * }
 * const layer = new nn.Linear(3, 2)
 * new EveryOther().apply(layer, 'weight') // 3 of 6 weights fall
 * new EveryOther().apply(layer, 'weight') // and 2 of the other 3
 * ```
 */
export abstract class BasePruningMethod {
  abstract readonly pruningType: PruningType
  /** The dimension whose slices a structured method takes. */
  readonly dim?: number

  /** @internal Its masks are made anew for each call, not kept by it or its user. */
  readonly makesMasks: boolean = false

  /** The mask of `t` under this method: `defaultMask` with more entries at 0. It writes to neither. */
  abstract computeMask(t: Tensor, defaultMask: Tensor): Tensor

  /** `t` · mask: what the method makes of a tensor. `importanceScores`, of its shape, are ranked in its place. */
  prune(t: Tensor, defaultMask: Tensor = onesFor(t), importanceScores: Tensor = t): Tensor {
    for (const other of [defaultMask, importanceScores])
      ensure(
        other instanceof Tensor && sameShape(other.shape, t.shape),
        'SHAPE_MISMATCH',
        () => `prune: ${describe(other)} ${other instanceof Tensor ? formatShape(other.shape) : ''} does not have the shape ${formatShape(t.shape)}`,
      )
    const pruned = empty(t.shape, t.dtype)
    native.applyMask(t.data, this.computeMask(importanceScores, defaultMask).data, pruned.data)
    return pruned
  }

  /**
   * Prunes a parameter of a module: it becomes `<name>_orig`, the mask the buffer `<name>_mask`, and
   * what fell before stays fallen. All or nothing.
   */
  apply(module: Module, name: string, { importanceScores, bias = 'keep' }: ApplyOptions = {}): this {
    const operation = this.constructor.name
    const [mask] = this.masksAfter([weightOf(operation, module, name, importanceScores)])
    setMasks([{ module, name, mask }, ...biasMasks(operation, bias, module, name, this.dim, mask)], { handOver: this.makesMasks })
    return this
  }

  /** @internal The masks of weights taken together after the method acted on what their masks left. */
  masksAfter(weights: readonly Ranked[]): Tensor[] {
    return restricted(this, weights)
  }
}

/** A method that is a composition of parts. */
export abstract class ComposedMethod extends BasePruningMethod {
  /** @internal */
  override readonly makesMasks = true

  constructor(readonly parts: Parts) {
    super()
  }

  /** Counts and ranks all of `t`, whatever the mask. */
  computeMask(t: Tensor, defaultMask: Tensor): Tensor {
    const [fresh] = drawMasks([{ weight: t, mask: null }], this.parts)
    const mask = empty(t.shape, t.dtype)
    native.applyMask(fresh.data, converted(defaultMask, t).data, mask.data)
    return mask
  }

  /** @internal */
  override masksAfter(weights: readonly Ranked[]): Tensor[] {
    return drawMasks(weights, this.parts)
  }
}

const onesFor = (t: Tensor): Tensor => full(t.shape, 1, { dtype: t.dtype })
