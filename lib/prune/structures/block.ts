import { ensure, wholeNumber } from '../../native/index.js'
import { formatShape } from '../../tensor/index.js'
import { grid } from './grid.js'
import type { Structure } from './structure.js'

/**
 * Blocks of `rows` × `columns` of the matrix [out, in · kernel], which they must divide. Gray et al. 2017.
 *
 * @throws EspalierError INVALID_ARGUMENT for a size below 1; SHAPE_MISMATCH, when used, for a weight that does not divide
 */
export function block(rows: number, columns: number): Structure {
  wholeNumber('block: rows', rows, 1)
  wholeNumber('block: columns', columns, 1)
  const name = `block(${rows}, ${columns})`
  return grid(name, (shape) => {
    const [height, ...rest] = shape
    const width = rest.reduce((size, dimension) => size * dimension, 1)
    ensure(
      shape.length >= 2 && height % rows === 0 && width % columns === 0,
      'SHAPE_MISMATCH',
      () => `${name}: the weight ${formatShape(shape)} is a matrix of ${height} × ${width}, which does not divide into blocks of ${rows} × ${columns}`,
    )
    return { shape: [height / rows, rows, width / columns, columns], kept: [1, 0, 1, 0] }
  })
}
