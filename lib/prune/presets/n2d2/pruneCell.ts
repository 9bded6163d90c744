import { existsSync } from 'node:fs'
import { noGrad } from '../../../autograd/index.js'
import { ensure, realNumber, wholeNumber } from '../../../native/index.js'
import { type Module, maskedGradient, maskOf, type NewMask, setMasks } from '../../../nn/index.js'
import { defaultGenerator, full, type Generator, type Tensor } from '../../../tensor/index.js'
import { gradual } from '../../schedules/gradual.js'
import type { Moment, Schedule } from '../../schedules/schedule.js'
import { checkedModule, checkedOptions, type Pair } from '../../weightOf.js'
import { fillers } from './fillers.js'
import { maskPath, readMasks, writeMasks } from './maskFile.js'
import { completeParameters, idleParameters, type PruneCellParameters, parameterNamed } from './parameters.js'

export interface PruneCellOptions extends Partial<PruneCellParameters> {
  /** Samples of an epoch: the period where stepsize is 0. Not needed in `fit`, which knows when an epoch ends. */
  epochSize?: number
  /** Where the filler 'Random' draws from; by default the global generator. */
  generator?: Generator
}

/** What a cell remembers beside its masks, which are saved with their modules. */
export interface PruneCellState extends Moment {
  readonly currentThreshold: number
}

/**
 * N2D2's pruning quantiser, with its parameters, modes, fillers and methods. Weights added to it are
 * masked each for itself, to the share that the threshold asks for:
 *
 * - 'Identity': to 0 (with the filler 'IterNonStruct' exact zeros are masked nevertheless);
 * - 'Static': to `threshold`;
 * - 'Gradual': to `start` at first, then by `gamma` more every `stepsize` samples (or every epoch) until it is
 *   `threshold`. In `fit` the cell is a callback; by hand `update` follows each optimiser step.
 *
 * The layer computes with weight · mask, masked weights receive no gradient, biases are never pruned.
 * Comparisons are made in float32, as there. What N2D2 lets pass is checked here: parameters out of range
 * (δ = 0 and NaN send it round for ever), and what is set without effect is warned about.
 *
 * Source: N2D2 (CEA), src/Quantizer/QAT/Cell/Prune, June 2024.
 *
 * @example
 * ```ts
 * import { data, fit, nn, ops, optim, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10))
 * const cell = new prune.PruneCell({ pruneMode: 'Gradual', pruneFiller: 'IterNonStruct', start: 0.1, gamma: 0.1, threshold: 0.3 })
 * cell.addWeights(model.at(1)!).addWeights(model.at(3)!)
 * const optimizer = new optim.Adam(model.parameters(), { lr: 0.003 })
 * await fit(model, { train: data.digits().train, epochs: 3, optimizer, loss: ops.crossEntropy, callbacks: [cell] })
 * cell.getCurrentThreshold() // 0.3, in float32
 * cell.getPrunedMasks(0)     // of the first layer
 * ```
 */
export class PruneCell {
  readonly parameters: Readonly<PruneCellParameters>
  readonly #weights: Pair[] = []
  readonly #generator: Generator
  /** How the threshold grows; null where it does not. */
  readonly #schedule: Schedule | null
  #threshold: number
  /** Filling the masks at the start is the first act. */
  #moment: Moment = { tick: 0, samples: 0, acts: 1 }

  constructor(options: PruneCellOptions = {}) {
    const { epochSize, generator = defaultGenerator, ...parameters } = checkedOptions('PruneCell', options)
    this.parameters = completeParameters(parameters)
    if (epochSize !== undefined) wholeNumber('PruneCell: epochSize', epochSize, 1)
    this.#generator = generator
    const { pruneMode, threshold, start, gamma, stepsize } = this.parameters
    this.#schedule = pruneMode === 'Gradual' ? gradual({ start, gamma, period: stepsize || (epochSize ?? 0) }) : null
    this.#threshold = Math.fround({ Identity: 0, Static: threshold, Gradual: start }[pruneMode])
    for (const idle of idleParameters(parameters, this.parameters)) process.emitWarning(`PruneCell: ${idle}`, { code: 'ESPALIER_NO_OP' })
  }

  /** Puts a weight under the cell's masks; a mask that it has is where the filler begins. The weights count from 0 in this order. */
  addWeights(module: Module, name = 'weight'): this {
    const latent = checkedModule('PruneCell.addWeights', module).latentWeight(name)
    ensure(
      this.#weights.every(([other, otherName]) => other.latentWeight(otherName) !== latent),
      'INVALID_ARGUMENT',
      () => `PruneCell.addWeights: ${name} of this ${module.constructor.name} is in the cell already`,
    )
    setMasks([this.#filled([module, name], this.#threshold)])
    this.#weights.push([module, name])
    return this
  }

  /** Takes note of a bias, which is never pruned. */
  addBiases(module: Module, name = 'bias'): this {
    checkedModule('PruneCell.addBiases', module).latentWeight(name)
    return this
  }

  /**
   * To be called after each optimiser step with the number of samples it saw: once a period is full, the
   * threshold of a 'Gradual' cell grows and the masks are drawn anew. All or nothing.
   *
   * @returns whether masks were drawn
   * @throws EspalierError STATE where stepsize is 0 and no epochSize was given
   */
  update(batchSize: number): boolean {
    wholeNumber('PruneCell.update: batchSize', batchSize)
    ensure(this.#schedule?.every !== 'epoch', 'STATE', () => 'PruneCell.update: stepsize is 0, for an epoch; say how many samples that is with epochSize')
    const { tick, samples, acts } = this.#moment
    return this.#advance({ tick: tick + 1, samples: samples + batchSize, acts })
  }

  /** In `fit`. */
  onStepEnd({ samples }: { readonly samples: number }): void {
    if (this.#schedule?.every === 'step') this.update(samples)
  }

  /** In `fit`. */
  onEpochEnd(): void {
    if (this.#schedule?.every === 'epoch') this.#advance({ ...this.#moment, tick: this.#moment.tick + 1 })
  }

  /** The share that is pruned now, in float32. */
  getCurrentThreshold(): number {
    return this.#threshold
  }

  /** A copy of the k-th weight's mask. */
  getPrunedMasks(k = 0): Tensor {
    return this.#maskOf(this.#weight('getPrunedMasks', k)).copy()
  }

  /** The k-th weight as the layer uses it: weight · mask. */
  getQuantizedWeights(k = 0): Tensor {
    const [module, name] = this.#weight('getQuantizedWeights', k)
    return noGrad(() => module.effective(name)).copy()
  }

  /** A parameter by its name here, in N2D2's Python, or in its INI files: `pruneMode`, `prune_mode`, `PruningMode`. */
  getParameter(name: string): number | string {
    return this.parameters[parameterNamed(name)]
  }

  /** Writes the masks to the file that N2D2 keeps beside `fileName`: to `conv1_masks` for `conv1`. */
  exportFreeParameters(fileName: string): void {
    writeMasks(maskPath(fileName), this.#weights.map(this.#maskOf))
  }

  /**
   * Reads the masks that `exportFreeParameters` or N2D2 wrote. All or nothing.
   *
   * @throws EspalierError FORMAT for a file that is missing (unless `ignoreNotExists`) or no mask file of these weights
   */
  importFreeParameters(fileName: string, ignoreNotExists = false): void {
    const path = maskPath(fileName)
    if (ignoreNotExists && !existsSync(path)) return
    const masks = readMasks(path, this.#weights.map(this.#maskOf))
    setMasks(this.#weights.map(([module, name], i) => ({ module, name, mask: masks[i] })))
  }

  /** What a training that is resumed needs beside the state of the model. */
  stateDict(): PruneCellState {
    return { currentThreshold: this.#threshold, ...this.#moment }
  }

  loadStateDict({ currentThreshold, ...moment }: PruneCellState): void {
    realNumber('PruneCell: currentThreshold', currentThreshold, 0, 1)
    const [tick, samples, acts] = (['tick', 'samples', 'acts'] as const).map((name) => wholeNumber(`PruneCell: ${name}`, moment[name]))
    this.#threshold = Math.fround(currentThreshold)
    this.#moment = { tick, samples, acts }
  }

  /** On to a moment, with masks of the threshold that the schedule has for it. */
  #advance(moment: Moment): boolean {
    const action = this.#schedule?.at(moment, this.parameters.threshold) ?? null
    if (action === null) {
      this.#moment = moment
      return false
    }
    const threshold = Math.fround(action.level as number)
    setMasks(this.#weights.map((pair) => this.#filled(pair, threshold)))
    this.#threshold = threshold
    this.#moment = { ...moment, acts: moment.acts + 1 }
    return true
  }

  #filled([module, name]: Pair, threshold: number): NewMask {
    const latent = module.latentWeight(name)
    const { pruneFiller, delta } = this.parameters
    const mask = maskOf(module, name) ?? full(latent.shape, 1, { dtype: latent.dtype })
    return { module, name, mask: fillers[pruneFiller]({ latent, mask, threshold, delta, generator: this.#generator }), gradient: maskedGradient }
  }

  #weight(operation: string, k: number): Pair {
    ensure(this.#weights.length > 0, 'STATE', () => `PruneCell.${operation}: no weights were added`)
    return this.#weights[wholeNumber(`PruneCell.${operation}: k`, k, 0, this.#weights.length - 1)]
  }

  readonly #maskOf = ([module, name]: Pair): Tensor => {
    const mask = maskOf(module, name)
    ensure(mask !== null, 'STATE', () => `PruneCell: the mask of ${name} of a ${module.constructor.name} was removed`)
    return mask
  }
}
