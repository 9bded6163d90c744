import { describe, ensure, realNumber } from '../../../native/index.js'
import type { Module, Removal } from '../../../nn/index.js'
import { Tensor, tensor } from '../../../tensor/index.js'
import { type Amount, fraction } from '../../amounts/amount.js'
import { perTensor } from '../../amounts/perTensor.js'
import { straightThrough } from '../../gradients/straightThrough.js'
import { Pruner, type PrunerOptions } from '../../pruner.js'
import type { PruneReport } from '../../report.js'
import { redraw as redrawn } from '../../schedules/redraw.js'
import type { Action, Schedule } from '../../schedules/schedule.js'
import { l1 } from '../../scores/l1.js'
import { column } from '../../structures/column.js'
import { depthwise } from '../../structures/depthwise.js'
import { element } from '../../structures/element.js'
import { filter } from '../../structures/filter.js'
import { inputChannel } from '../../structures/inputChannel.js'
import { kernel } from '../../structures/kernel.js'
import { kernelColumn } from '../../structures/kernelColumn.js'
import { kernelRow } from '../../structures/kernelRow.js'
import { row } from '../../structures/row.js'
import type { Structure } from '../../structures/structure.js'
import { checkedOptions } from '../../weightOf.js'
import { keepLearning } from './keepLearning.js'

/**
 * The structures by the paper's names. Rows and columns are those of a kernel, or of the matrix that a
 * convolution is lowered to.
 */
const structures = {
  filter,
  channel: inputChannel,
  depthwise,
  kernel,
  kernelRow,
  kernelColumn,
  row,
  column,
  connection: element,
} as const satisfies Record<string, Structure>

export interface DpuOptions extends Pick<PrunerOptions, 'include' | 'exclude'> {
  /** Share of the units that is masked, 0 to below 1: ⌊share · units⌋ of each layer's. */
  rate: number
  /** What falls together, by the paper's name or as a structure; `mixed(…)` for a mix. Default 'filter'. */
  structure?: keyof typeof structures | Structure
  /** How the rate is shared out: `perTensor` gives it to each layer (the default, as in the paper), `global` or `erk` to all together. */
  allocate?: (amount: Amount) => Amount
  /** How often masks are drawn anew from the dense weights: 'step', 'epoch' (the default), or at the moments of a schedule, whose levels lead up to the rate. */
  redraw?: 'step' | 'epoch' | Schedule
}

/**
 * Dynamic pruning units: all weights stay and learn; a mask, drawn anew again and again by the L1 norm,
 * says which of them take part in the forward pass. The gradient passes the mask as if it were not
 * there, so that what fell may return. The bias of a fallen filter falls with it.
 *
 * Fallen filters go on learning behind a ReLU, whose derivative at 0 is 1 for them, and behind a batch
 * norm, which is masked with them; kept filters have the gradients of ordinary pruning. Nothing of this
 * touches evaluation, or is left after `remove`.
 *
 * End to end: train with it from the beginning. In steps: train, raise `rate`, train on.
 *
 * Source: Hu et al., IEEE Access 2023, doi 10.1109/ACCESS.2023.3267469.
 *
 * @throws EspalierError INVALID_ARGUMENT for a rate outside [0, 1), or a model without a layer to prune
 * @example
 * ```ts
 * import { data, fit, nn, ops, optim, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10))
 * const dpu = new prune.Dpu(model, { rate: 0.5, structure: 'filter', include: nn.Conv2d })
 * const optimizer = new optim.Adam(model.parameters(), { lr: 0.003 })
 * await fit(model, { train: data.digits().train, epochs: 2, optimizer, loss: ops.crossEntropy, callbacks: [dpu] })
 * dpu.remove() // 4 of 8 filters are 0 from now on, bias included
 * ```
 */
export class Dpu {
  readonly #pruner: Pruner
  readonly #awake: Removal
  #rate: number

  constructor(model: Module, options: DpuOptions) {
    const { rate, structure = 'filter', allocate = perTensor, redraw = 'epoch', include, exclude } = checkedOptions('Dpu', options)
    this.#rate = checkedRate(rate)
    const chosen = typeof structure === 'string' ? structures[structure] : structure
    ensure(
      chosen !== undefined,
      'INVALID_ARGUMENT',
      () => `Dpu: the structure is ${describe(structure)}, expected one of ${Object.keys(structures).join(', ')}`,
    )
    ensure(typeof allocate === 'function', 'INVALID_ARGUMENT', () => `Dpu: allocate is ${describe(allocate)}, expected one such as perTensor or global`)
    const schedule = typeof redraw === 'string' ? redrawn({ every: redraw }) : redraw
    this.#pruner = new Pruner(model, {
      include,
      exclude,
      score: l1,
      structure: chosen,
      amount: allocate(fraction(rate, { of: 'total', round: 'floor' })),
      schedule: { ...schedule, at: (moment) => this.#redrawn(schedule.at(moment, this.#rate)) },
      gradient: straightThrough,
      bias: 'mask',
    })
    this.#awake = keepLearning(
      model,
      this.report().layers.map(({ name }) => model.getModule(name)),
    )
  }

  /** Share of the units that is masked from the next drawing on. */
  get rate(): number {
    return this.#rate
  }
  set rate(rate: number) {
    this.#rate = checkedRate(rate)
  }

  /** Draws the first masks; `step` and `fit` do so if nobody has. */
  start(): PruneReport | null {
    return this.#pruner.start()
  }

  /** One tick, by hand: after an optimiser's step, or an epoch, as `redraw` counts. Gives a report where masks were drawn. */
  step(options?: { samples?: number }): PruneReport | null {
    return this.#pruner.step(options)
  }

  /** Asked and achieved, by layer and in total. */
  report(): PruneReport {
    return this.#pruner.report()
  }

  /** Where it stands, as tensors by name; the masks of γ and β are part of the model's state. */
  stateDict(): Record<string, Tensor> {
    return { ...this.#pruner.stateDict(), rate: tensor(this.#rate, [], { dtype: 'float64' }) }
  }

  /** Takes over a saved state and puts its masks on; load the model's own state after it. All or nothing. */
  loadStateDict({ rate, ...state }: Readonly<Record<string, Tensor>>): void {
    ensure(rate instanceof Tensor && rate.size === 1, 'SHAPE_MISMATCH', () => `Dpu.loadStateDict: rate is ${describe(rate)}, expected a number`)
    const checked = checkedRate(rate.item())
    this.#pruner.loadStateDict(state)
    this.#rate = checked
  }

  /** Ends it: what is masked now becomes 0, in weights, biases, and the γ and β of batch norms. */
  remove(): void {
    this.#awake.remove()
    this.#pruner.remove()
  }

  /** As a callback of `fit`: it starts, if nobody has. */
  onEpochStart(): void {
    this.#pruner.onEpochStart()
  }
  /** As a callback of `fit`: a tick, where steps are counted. */
  onStepEnd(training: Parameters<Pruner['onStepEnd']>[0]): void {
    this.#pruner.onStepEnd(training)
  }
  /** As a callback of `fit`: a tick, where epochs are counted. */
  onEpochEnd(training: Parameters<Pruner['onEpochEnd']>[0]): void {
    this.#pruner.onEpochEnd(training)
  }

  /** Always from the dense weights, and at the present rate where the schedule has no level of its own. */
  #redrawn(action: Action | null): Action | null {
    return action && { level: this.#rate, ...action, draw: 'anew' }
  }
}

function checkedRate(rate: unknown): number {
  ensure(realNumber('Dpu: rate', rate, 0, 1) < 1, 'INVALID_ARGUMENT', () => 'Dpu: rate is 1, expected a number below 1')
  return rate as number
}
