import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join, parse } from 'node:path'
import { EspalierError, ensure } from '../../../native/index.js'
import { empty, type Tensor } from '../../../tensor/index.js'

/** N2D2 keeps the masks of the cell file `conv1.syntxt` in `conv1_masks.syntxt`, those of `conv1` in `conv1_masks`. */
export function maskPath(fileName: string): string {
  const { dir, name, ext } = parse(fileName)
  return join(dir, `${name}_masks${ext}`)
}

/** Writes 0 and 1 with spaces between them, a line for each output of each weight; whole or not at all. */
export function writeMasks(path: string, masks: readonly Tensor[]): void {
  const lines = masks.flatMap(({ data, shape, size }) => {
    const row = size / (shape[0] || 1)
    return Array.from({ length: shape[0] }, (_, output) => `${data.subarray(output * row, (output + 1) * row).join(' ')} \n`)
  })
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, lines.join(''))
  renameSync(unfinished, path)
}

/**
 * Reads masks for weights like these, wherever the lines end.
 *
 * @throws EspalierError FORMAT for a file that is missing, holds something else than 0 and 1, or another number of them
 */
export function readMasks(path: string, weights: readonly Tensor[]): Tensor[] {
  const wanted = weights.reduce((sum, { size }) => sum + size, 0)
  ensure(existsSync(path), 'FORMAT', () => `importFreeParameters: there is no file ${path}`)
  // A digit and what separates it; a file of another size is not read at all.
  ensure(statSync(path).size <= 16 * wanted + 4096, 'FORMAT', () => `importFreeParameters: ${path} is too large for ${wanted} entries`)
  const entries = readFileSync(path, 'utf8').match(/\S+/g) ?? []
  ensure(entries.length === wanted, 'FORMAT', () => `importFreeParameters: ${path} holds ${entries.length} entries, the weights have ${wanted}`)
  let next = 0
  return weights.map(({ shape, dtype, size }) => {
    const mask = empty(shape, dtype)
    for (let i = 0; i < size; i++, next++) {
      if (entries[next] !== '0' && entries[next] !== '1')
        throw new EspalierError('FORMAT', `importFreeParameters: entry ${next} of ${path} is ${entries[next].slice(0, 40)}, expected 0 or 1`)
      mask.data[i] = Number(entries[next])
    }
    return mask
  })
}
