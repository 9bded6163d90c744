import { describe, EspalierError, ensure } from '../native/index.js'
import { crossEntropy, mseLoss } from '../ops/index.js'
import { hostValues, Tensor } from '../tensor/index.js'
import type { Loss } from '../train/index.js'
import { type Rows, rowsOf } from './rows.js'

// What is to be learned: how targets become a tensor, and what a network's outputs say.

/** A task as its targets define it. */
export interface Task<Target, Prediction> {
  /** Outputs of the network. */
  readonly outputs: number
  readonly loss: Loss
  /** The targets as the loss takes them, one a sample. */
  readonly targets: Tensor
  /** Whether a part held out should have each target in the proportion of the whole. */
  readonly stratified: boolean
  /** From outputs [n, outputs]. */
  predictionsOf(output: Tensor): Prediction
  /** How well outputs fit other targets: the larger the better, 1 at best. */
  score(output: Tensor, targets: Target): number
}

/** The name of a class. */
export type Label = number | string
/** A label a sample. */
export type Labels = Tensor | ArrayLike<Label>

/** Classes, in their order: numbers by size, then strings by their characters. */
export interface Classification extends Task<Labels, Label[]> {
  readonly classes: readonly Label[]
}

const inOrder = (a: Label, b: Label): number => {
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

function labelsOf(name: string, labels: Labels): Label[] {
  ensure(typeof labels === 'object' && labels !== null, 'INVALID_ARGUMENT', () => `${name} is ${describe(labels)}, expected a label a sample`)
  const values: Label[] = labels instanceof Tensor ? Array.from(hostValues(labels.storage)) : Array.from(labels)
  const bad = values.findIndex((label) => (typeof label === 'number' ? Number.isNaN(label) : typeof label !== 'string'))
  if (bad >= 0) throw new EspalierError('INVALID_ARGUMENT', `${name}: label ${bad} is ${describe(values[bad])}, expected a number or a string`)
  return values
}

/** Tells classes apart: cross-entropy of one output a class. */
export function classification(name: string, y: Labels): Classification {
  const labels = labelsOf(name, y)
  const classes = [...new Set(labels)].sort(inOrder)
  ensure(
    classes.length > 1,
    'INVALID_ARGUMENT',
    () => `${name}: there is ${classes.length === 0 ? 'no class' : `only the class ${describe(classes[0])}`}, expected two or more`,
  )
  const numbers = new Map(classes.map((label, i) => [label, i]))
  const predictionsOf = (output: Tensor): Label[] => Array.from({ length: output.shape[0] }, (_, row) => classes[largestOf(output, row)])
  return {
    classes,
    outputs: classes.length,
    loss: crossEntropy,
    targets: new Tensor(
      Int32Array.from(labels, (label) => numbers.get(label) as number),
      [labels.length],
      'int32',
    ),
    stratified: true,
    predictionsOf,
    /** The share of samples whose class is predicted. */
    score(output, other) {
      const expected = labelsOf('score: y', other)
      sameCount(output, expected.length)
      return predictionsOf(output).filter((label, i) => label === expected[i]).length / expected.length
    },
  }
}

/** The column of a row's largest value, the first of equal ones. */
function largestOf({ data, shape: [, columns] }: Tensor, row: number): number {
  let best = 0
  for (let column = 1; column < columns; column++) if (data[row * columns + column] > data[row * columns + best]) best = column
  return best
}

/** Learns numbers: mean squared error. Targets [n] give predictions [n], targets [n, k] predictions [n, k]. */
export function regression(name: string, y: Rows): Task<Rows, Tensor> {
  const flat = !(y instanceof Tensor ? y.rank > 1 : typeof (y as ArrayLike<unknown>)?.[0] === 'object')
  const targets = rowsOf(name, y, flat ? { width: 1 } : {})
  const outputs = targets.shape[1]
  return {
    outputs,
    loss: mseLoss,
    targets,
    stratified: false,
    predictionsOf: ({ storage, shape, dtype }) => new Tensor(storage, flat ? [shape[0]] : shape, dtype),
    /** R²: the share of the variance that is explained, the mean over outputs. */
    score(output, other) {
      const expected = rowsOf('score: y', other, { width: outputs })
      sameCount(output, expected.shape[0])
      return meanR2(output, expected)
    },
  }
}

function sameCount({ shape: [rows] }: Tensor, targets: number): void {
  ensure(rows === targets, 'SHAPE_MISMATCH', () => `score: there are ${rows} samples and ${targets} targets`)
}

/** 1 − Σ(y − ŷ)² / Σ(y − ȳ)², as scikit-learn has it: of targets that are all equal, 1 if all are met, else 0. */
function meanR2(predicted: Tensor, expected: Tensor): number {
  const [rows, columns] = expected.shape
  let total = 0
  for (let column = 0; column < columns; column++) {
    let [mean, residual, spread] = [0, 0, 0]
    for (let row = 0; row < rows; row++) mean += expected.data[row * columns + column] / rows
    for (let i = column; i < rows * columns; i += columns) {
      residual += (expected.data[i] - predicted.data[i]) ** 2
      spread += (expected.data[i] - mean) ** 2
    }
    total += spread === 0 ? Number(residual === 0) : 1 - residual / spread
  }
  return total / columns
}
