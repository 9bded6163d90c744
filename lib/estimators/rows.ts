import { describe, EspalierError, ensure } from '../native/index.js'
import { converted, formatShape, Tensor } from '../tensor/index.js'

/** Numbers in rows: nested arrays, rows that are typed arrays, one typed array with the rows end to end, or a tensor [n, …]. */
export type Rows = Tensor | ArrayLike<number> | ReadonlyArray<ArrayLike<number>>

/** What rows are read with. */
export interface RowsExpected {
  /** How many rows there are, where that is known. */
  count?: number
  /** Numbers a row, where that is known. */
  width?: number
}

/** Rows as a float32 tensor [n, width] of their own; every number is finite. */
export function rowsOf(name: string, rows: Rows, { count, width }: RowsExpected): Tensor {
  const { values, shape } = rows instanceof Tensor ? ofTensor(name, rows) : isNested(rows) ? ofRows(name, rows) : ofFlat(name, rows, { count, width })
  const [n, columns] = shape
  ensure(n > 0 && columns > 0, 'SHAPE_MISMATCH', () => `${name}: ${formatShape(shape)}, expected at least one row and one column`)
  ensure(count === undefined || n === count, 'SHAPE_MISMATCH', () => `${name}: ${n} rows, expected ${count}`)
  ensure(width === undefined || columns === width, 'SHAPE_MISMATCH', () => `${name}: rows of ${columns}, expected ${width}`)
  const bad = values.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0)
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `${name}: row ${Math.floor(bad / columns)}, column ${bad % columns} is ${values[bad]}, expected a finite number`,
    )
  return new Tensor(values, shape, 'float32')
}

interface Read {
  values: Float32Array
  shape: readonly [number, number]
}

const isNested = (rows: unknown): rows is ReadonlyArray<ArrayLike<number>> => Array.isArray(rows) && typeof rows[0] === 'object'

function ofTensor(name: string, { storage, shape, size }: Tensor): Read {
  ensure(shape.length > 0, 'SHAPE_MISMATCH', () => `${name} is a scalar, expected rows`)
  return { values: converted(storage, 'float32', 'cpu') as Float32Array, shape: [shape[0], shape[0] === 0 ? 0 : size / shape[0]] }
}

function ofRows(name: string, rows: ReadonlyArray<ArrayLike<number>>): Read {
  const columns = rows[0]?.length ?? 0
  const values = new Float32Array(rows.length * columns)
  for (const [i, row] of rows.entries()) {
    ensure(
      typeof row === 'object' && row !== null && row.length === columns,
      'SHAPE_MISMATCH',
      () => `${name}: row ${i} is ${describe(row)}, expected ${columns} numbers`,
    )
    for (let j = 0; j < columns; j++) values[i * columns + j] = number(name, row[j], i)
  }
  return { values, shape: [rows.length, columns] }
}

/** Rows end to end: as wide as is known, or as many as is known. */
function ofFlat(name: string, rows: ArrayLike<number>, { count, width }: RowsExpected): Read {
  ensure(
    ArrayBuffer.isView(rows) || Array.isArray(rows),
    'INVALID_ARGUMENT',
    () => `${name} is ${describe(rows)}, expected rows of numbers: arrays, typed arrays or a tensor`,
  )
  const columns = width ?? (count === undefined ? rows.length : rows.length / count)
  ensure(columns > 0 && rows.length % columns === 0, 'SHAPE_MISMATCH', () => `${name}: ${rows.length} numbers are no ${count ?? 'whole'} rows`)
  return { values: Float32Array.from(rows, (value, i) => number(name, value, Math.floor(i / columns))), shape: [rows.length / columns, columns] }
}

function number(name: string, value: unknown, row: number): number {
  ensure(typeof value === 'number', 'INVALID_ARGUMENT', () => `${name}: row ${row} holds ${describe(value)}, expected numbers`)
  return value
}
