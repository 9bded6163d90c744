// What pruning costs in accuracy: LeNet on MNIST, pruned in the field's ways while it learns or after, three seeds
// each, the dense network beside them. It takes the better part of an hour and so runs only when asked for by
// name; what is finished is kept in build-bench/accuracy.json, and a second start goes on from there.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { accuracy, type Callback, data, evaluate, fit, Generator, manualSeed, nn, ops, optim, prune } from '../../lib/index.js'
import { workshop } from '../support/package.js'
import { networks } from '../train-step/networks.js'

const seeds = [1, 2, 3]
/** The one of the goal first: what is interrupted has it. */
const levels = [0.95, 0.9, 0.98]
/** Passes over the 60,000 images: of a dense network, and of one that is pruned and trained on from there. The others take as many in all. */
const epochs = { dense: 5, after: 4 }
const batchSize = 128

/** One network, trained. */
interface Trained {
  /** Share of the test images. */
  readonly accuracy: number
  /** Share of the weights that are 0. */
  readonly sparsity: number
  readonly seconds: number
}

export interface AccuracyRow {
  readonly task: 'accuracy'
  readonly case: string
  /** Of the weights that may be pruned, that was asked for; null: the dense network. */
  readonly level: number | null
  /** Means over the seeds. */
  readonly sparsity: number
  readonly accuracy: number
  /** Of the accuracy, over the seeds. */
  readonly deviation: number
  /** Points that the mean is above the dense network's. */
  readonly points: number
  readonly seeds: number
  /** How long, in words. */
  readonly training: string
}

const normalize = data.normalize(0.1307, 0.3081)
const [train, test] = [data.mnist().train, data.mnist().test].map((part) => {
  const [[x, y]] = new data.DataLoader(part, { batchSize: part.length })
  return new data.TensorDataset(normalize(x), y)
})
const stepsPerEpoch = Math.ceil(train.length / batchSize)

/** Trains a network for some epochs, with callbacks or a pruner beside. */
async function learn(
  model: nn.Module,
  count: number,
  { seed, maxLr, pruner }: { seed: number; maxLr: number; pruner?: (optimizer: optim.Adam) => Callback },
): Promise<void> {
  const optimizer = new optim.Adam(model.parameters(), { lr: maxLr })
  const schedule = new optim.OneCycleLR(optimizer, { maxLr, totalSteps: count * stepsPerEpoch, pctStart: 0.1, cycleMomentum: false })
  const callbacks = pruner === undefined ? [] : [pruner(optimizer)]
  await fit(model, { train, epochs: count, batchSize, generator: new Generator(seed), optimizer, schedule, loss: ops.crossEntropy, callbacks, progress: false })
}

function fresh(seed: number): nn.Module {
  manualSeed(seed)
  return networks.LeNet()
}

/** The dense network that some methods start from, a copy for each. */
const denseModels = new Map<number, Promise<nn.Module>>()
async function dense(seed: number): Promise<nn.Module> {
  const trained = async (): Promise<nn.Module> => {
    const model = fresh(seed)
    await learn(model, epochs.dense, { seed, maxLr: 0.003 })
    return model
  }
  if (!denseModels.has(seed)) denseModels.set(seed, trained())
  return (await denseModels.get(seed)!).clone()
}

const steps = (epochs.dense + epochs.after) * stepsPerEpoch

/** From the trained dense network on. */
const afterwards = async (seed: number, pruner: (model: nn.Module) => Callback): Promise<nn.Module> => {
  const model = await dense(seed)
  await learn(model, epochs.after, { seed, maxLr: 0.002, pruner: () => pruner(model) })
  return model
}

/** From the first step on. */
const throughout = async (seed: number, pruner?: (model: nn.Module, optimizer: optim.Adam) => Callback): Promise<nn.Module> => {
  const model = fresh(seed)
  await learn(model, epochs.dense + epochs.after, { seed, maxLr: 0.003, pruner: pruner && ((optimizer) => pruner(model, optimizer)) })
  return model
}

type Method = (seed: number, level: number) => Promise<nn.Module>
const methods: Record<string, { levels: readonly (number | null)[]; train: Method }> = {
  dense: { levels: [null], train: (seed) => throughout(seed) },

  'one-shot + fine-tune': { levels, train: (seed, level) => afterwards(seed, (model) => new prune.Pruner(model, { amount: prune.global(level) })) },

  cubic: {
    levels,
    train: (seed, level) =>
      throughout(seed, (model) => {
        const schedule = prune.polynomial({ begin: Math.round(0.1 * steps), end: Math.round(0.5 * steps), frequency: 20 })
        return new prune.Pruner(model, { amount: prune.global(level), schedule })
      }),
  },

  DPU: {
    levels,
    train: (seed, level) =>
      throughout(seed, (model) => {
        const redraw = prune.feedback({ end: Math.round(0.5 * steps), freeze: Math.round(0.75 * steps), frequency: 20 })
        return new prune.Dpu(model, { rate: level, structure: 'connection', allocate: prune.global, redraw })
      }),
  },

  RigL: {
    levels,
    train: (seed, level) =>
      throughout(seed, (model, optimizer) => {
        const policy = prune.policies.rigl({ sparsity: level, end: Math.round(0.75 * steps), generator: new Generator(seed) })
        return new prune.Pruner(model, { ...policy, optimizer })
      }),
  },

  // Of the linear layers, whose inputs divide by four; the convolutions have 1 and 6 input channels.
  'SR-STE 2:4': { levels: [0.5], train: (seed) => throughout(seed, (model) => new prune.Pruner(model, { ...prune.policies.srSte(), include: nn.Linear })) },
}

const sparsityOf = (model: nn.Module): number => {
  const weights = [...model.modules()].filter((module) => 'weight' in module).flatMap((module) => Array.from(module.effective('weight').data))
  return weights.filter((weight) => weight === 0).length / weights.length
}

/** All runs, those of one level for all seeds together. */
const runs = [null, ...levels, 0.5].flatMap((level) =>
  seeds.flatMap((seed) =>
    Object.entries(methods).flatMap(([name, method]) => (method.levels.includes(level) ? [{ name, level, seed, train: method.train }] : [])),
  ),
)

/** Trains what is not in the file yet, until an interrupt; gives what the file then holds. */
async function collect(say: (line: string) => void): Promise<Record<string, Trained>> {
  mkdirSync(workshop, { recursive: true })
  const file = join(workshop, 'accuracy.json')
  const found: Record<string, Trained> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  let interrupted = false
  process.once('SIGINT', () => {
    interrupted = true
  })
  for (const { name, level, seed, train: method } of runs) {
    const key = keyOf(name, level, seed)
    if (key in found) continue
    if (interrupted) break
    const began = performance.now()
    const model = await method(seed, level ?? 0)
    const scores = await evaluate(model, test, { metrics: { accuracy } })
    found[key] = { accuracy: scores.accuracy, sparsity: sparsityOf(model), seconds: (performance.now() - began) / 1000 }
    writeFileSync(`${file}.part`, JSON.stringify(found, null, 1))
    renameSync(`${file}.part`, file)
    say(`${key}: accuracy ${(100 * scores.accuracy).toFixed(2)}%, ${(100 * found[key].sparsity).toFixed(2)}% zeros, ${found[key].seconds.toFixed(0)} s`)
  }
  return found
}

/** Everything that decides a result, so that a changed setting is not taken for an old one. */
const keyOf = (name: string, level: number | null, seed: number): string =>
  `${name}${level === null ? '' : ` ${level}`}, seed ${seed}, ${epochs.dense}+${epochs.after} epochs of ${batchSize}`

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The study as rows for the report, of the seeds that are finished. */
export default async function study(say: (line: string) => void): Promise<AccuracyRow[]> {
  const found = await collect(say)
  const finished = (name: string, level: number | null): Trained[] =>
    seeds.map((seed) => found[keyOf(name, level, seed)]).filter((trained): trained is Trained => trained !== undefined)
  const reference = mean(finished('dense', null).map((trained) => trained.accuracy))
  const rows = Object.entries(methods).flatMap(([name, method]) =>
    method.levels.flatMap((level): AccuracyRow[] => {
      const trained = finished(name, level)
      if (trained.length === 0) return []
      const accuracies = trained.map((one) => one.accuracy)
      const average = mean(accuracies)
      return [
        {
          task: 'accuracy',
          case: level === null ? name : `${name} ${100 * level}%`,
          level,
          sparsity: mean(trained.map((one) => one.sparsity)),
          accuracy: average,
          deviation: Math.sqrt(mean(accuracies.map((value) => (value - average) ** 2))),
          points: 100 * (average - reference),
          seeds: trained.length,
          training: `${epochs.dense} epochs and ${epochs.after} more`,
        },
      ]
    }),
  )
  for (const row of rows)
    say(
      [
        row.case.padEnd(28),
        `${(100 * row.sparsity).toFixed(2)}% zeros`.padStart(14),
        `accuracy ${(100 * row.accuracy).toFixed(2)}% ± ${(100 * row.deviation).toFixed(2)}`,
        `${row.points >= 0 ? '+' : '−'}${Math.abs(row.points).toFixed(2)} points`,
        `${row.seeds} seeds`,
      ].join('  '),
    )
  return rows
}
