import { ensure, wholeNumber } from '../native/index.js'
import { formatShape, hostValues, type Tensor } from '../tensor/index.js'

/** A figure of merit of one batch, a mean over its samples: batches are averaged by their sizes. */
export type Metric = (output: Tensor, target: Tensor) => number

/** Rows and columns of scores, which must go with the class numbers. */
function classes(name: string, output: Tensor, target: Tensor): [samples: number, classes: number] {
  ensure(
    output.rank === 2 && target.rank === 1 && target.shape[0] === output.shape[0],
    'SHAPE_MISMATCH',
    () => `${name}: output has shape ${formatShape(output.shape)} and target ${formatShape(target.shape)}, expected [n, classes] and [n]`,
  )
  return output.shape as unknown as [number, number]
}

/** The share of samples whose largest score, the first of equal ones, is that of their class. Scores [n, classes], class numbers [n]. */
export const accuracy: Metric = (output, target) => {
  const [samples, columns] = classes('accuracy', output, target)
  const [data, labels] = [hostValues(output.storage), hostValues(target.storage)]
  let right = 0
  for (let row = 0; row < samples; row++) {
    let best = 0
    for (let column = 1; column < columns; column++) if (data[row * columns + column] > data[row * columns + best]) best = column
    if (best === labels[row]) right++
  }
  return right / samples
}

/** The share of samples whose class is among the k with the largest scores; equal scores count by lower index. */
export function topAccuracy(k: number): Metric {
  wholeNumber('topAccuracy: k', k, 1)
  return (output, target) => {
    const [samples, columns] = classes('topAccuracy', output, target)
    const [data, labels] = [hostValues(output.storage), hostValues(target.storage)]
    let right = 0
    for (let row = 0; row < samples; row++) {
      const label = labels[row]
      const score = data[row * columns + label]
      let above = 0
      for (let column = 0; column < columns; column++) {
        const other = data[row * columns + column]
        if (other > score || (other === score && column < label)) above++
      }
      if (above < k) right++
    }
    return right / samples
  }
}
